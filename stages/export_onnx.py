"""Write a network as ONNX, INT8 and float, and compare what onnxruntime computes with PyTorch.

Every INT8 logit of every test image must be the QAT network's. The float logits of the first test
images must be PyTorch's, to rounding. One difference fails the stage. Writes
data/<variant>/int8.onnx, float.onnx and data/metrics/onnx/<variant>.json.
"""

import logging
import time
from pathlib import Path

import numpy as np
import torch

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params
from models.onnx import float_network, int8_network
from models.onnx.runtime import evaluate
from stages.networks.evaluation import predict, to_tensors
from stages.networks.resmlp import load_inputs, load_network
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import IMAGE_SIZE, Params
from stages.pipeline.paths import artifact, metrics
from stages.pipeline.threads import processors
from stages.results.logits import compare, load_logits
from stages.results.metrics import Metric, write_metrics

FLOAT_IMAGES = 500  # test images on which the float network is compared
FLOAT_TOLERANCE = 1e-4  # of the largest logit; sums of float32 in another order differ by less

log = logging.getLogger(__name__)


def export_int8(name: str, dataset: Dataset) -> tuple[bytes, dict[str, Metric]]:
    """Return the INT8 file and its metrics; PipelineError names the first logit that differs."""
    network = load_int_params(artifact(name, "int8.pkl"))
    content = int8_network.write(network, name, IMAGE_SIZE)
    images, start = dataset.test.images, time.perf_counter()
    logits = evaluate(content, images, processors())
    rate = len(images) / (time.perf_counter() - start)
    compare(load_logits(artifact(name, "qat_logits.npz")), logits, "onnxruntime")
    log.info(
        "%s: INT8 accuracy %.2f%% on %d test images in onnxruntime, every logit equal to the QAT "
        "network's; %.0f images/s on %d processors",
        name,
        int_resmlp.accuracy(logits, dataset.test.labels),
        len(images),
        rate,
        processors(),
    )
    return content, {"mismatches": 0, "images": len(images)}


def export_float(params: Params, name: str, dataset: Dataset) -> bytes:
    """Return the float file; PipelineError if its logits are not those of PyTorch."""
    network = load_network(params, name, dataset).eval()
    content = float_network.write(network, name)
    split = dataset.test.take(np.arange(min(FLOAT_IMAGES, len(dataset.test))))
    expected = predict(network, to_tensors(split)[0], torch.device("cpu")).numpy()
    computed = evaluate(content, split.images, processors())
    difference, largest = np.abs(computed - expected).max(), np.abs(expected).max()
    if not difference <= FLOAT_TOLERANCE * largest:  # not a number: false
        raise PipelineError(
            f"the float logits of {name} differ between PyTorch and onnxruntime by up to "
            f"{difference:.2g}, the largest is {largest:.3g}; this is a fault of the export or of "
            "the installed onnxruntime, compare its version with constraints.txt."
        )
    log.info(
        "%s: float logits in onnxruntime differ from PyTorch's by at most %.1e on %d images",
        name,
        difference,
        len(split),
    )
    return content


def main(name: str) -> None:
    """Write and check the two files of one variant."""
    params, dataset = load_inputs(name)
    int8, result = export_int8(name, dataset)
    files = {"int8.onnx": int8, "float.onnx": export_float(params, name, dataset)}
    for file, content in files.items():
        _write(artifact(name, file), content)
    write_metrics(metrics("onnx", name), result)


def _write(path: Path, content: bytes) -> None:
    with replace_on_success(path) as temporary:
        temporary.write_bytes(content)


if __name__ == "__main__":
    run_variant_stage(main)
