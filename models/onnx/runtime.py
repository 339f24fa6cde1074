"""Run an ONNX file of this pipeline in onnxruntime, on the processor.

Only this module imports the package onnxruntime, and only when it is used.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError, one_line
from models.onnx.graph import missing_package

BATCH = 50  # images; the fastest of 16 to 100, their values fit the processor's caches
_ERRORS = 3  # onnxruntime's level for messages: errors, no advice about the file


def evaluate(
    content: bytes, images: npt.NDArray[np.uint8], threads: int, batch: int = BATCH
) -> npt.NDArray[Any]:
    """Return the logits [n, classes] of uint8 images [n, height, width, 3], n >= 1.

    `content` is a file that this room wrote. Each of the `threads` runs whole batches. Raises
    PipelineError if onnxruntime is not installed, or does not run the file.
    """
    run = _session(content).run
    batches = [images[start : start + batch] for start in range(0, len(images), batch)]
    with ThreadPoolExecutor(threads) as pool:
        parts = pool.map(lambda part: run(None, {"images": part})[0], batches)
        return np.concatenate(list(parts))


def _session(content: bytes) -> Any:  # noqa: ANN401 - onnxruntime has no types
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_package("onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its classes have no common parent
        raise PipelineError(
            f"onnxruntime {onnxruntime.__version__} cannot load the network ({one_line(error)}); "
            "install the version that constraints.txt pins."
        ) from error
