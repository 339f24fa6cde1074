"""Read the QAT network's integer logits on the test set, with which numpy and C++ are compared."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError
from models.files.zips import read_npz

_MEND = "remove it and run `dvc repro dump_params`"


def load_logits(path: Path | str) -> npt.NDArray[np.int8]:
    """Return int8 logits [n, classes] from the npz file that dump_params writes.

    PipelineError if the file is missing, damaged or has another shape or type.
    """
    logits = read_npz(path, ("logits",), _MEND)["logits"]
    if logits.ndim != 2 or logits.dtype != np.int8:
        raise PipelineError(
            f"{path}: logits must be int8 [n, classes], found {logits.dtype} "
            f"{logits.shape}; {_MEND}."
        )
    return logits
