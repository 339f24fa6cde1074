"""Read the QAT network's integer logits on the test set, with which numpy and C++ are compared."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError


def load_logits(path: Path | str) -> npt.NDArray[np.int8]:
    """Return int8 logits [n, classes] from the npz file that dump_params writes.

    PipelineError if the file is missing, damaged or has another shape or type.
    """
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            logits = np.asarray(arrays["logits"])
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise PipelineError(
            f"{path} holds no array `logits` ({error}); run `dvc repro dump_params`."
        ) from error
    if logits.ndim != 2 or logits.dtype != np.int8:
        raise PipelineError(
            f"{path}: logits must be int8 [n, classes], found {logits.dtype} "
            f"{logits.shape}; run `dvc repro dump_params`."
        )
    return logits
