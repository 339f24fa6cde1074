"""Read the QAT network's integer logits on the test set, and compare others with them."""

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


def compare(
    expected: npt.NDArray[np.integer], computed: npt.NDArray[np.integer], computer: str
) -> None:
    """Raise PipelineError unless the logits [n, classes] of `computer` are the QAT network's.

    The error names the first logit that differs.
    """
    if expected.shape != computed.shape:
        raise PipelineError(
            f"the QAT logits have shape {expected.shape}, the integer network's {computed.shape}; "
            "run `dvc repro dump_params` so that both come from one data set."
        )
    wrong = np.argwhere(expected != computed)
    if len(wrong):
        image, output = wrong[0]
        raise PipelineError(
            f"{len(wrong)} of {expected.size} logits differ between the QAT network and "
            f"{computer}, first at image {image}, class {output}: QAT {expected[image, output]}, "
            f"{computer} {computed[image, output]}."
        )
