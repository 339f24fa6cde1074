"""Run one variant's C++ on golden samples and test images; every value must be the expected one.

Each layer of the golden samples is compared with numpy, each logit of the test images with the QAT
network's. Writes data/<variant>/golden/golden.hpp (it holds images: never shared) and
data/metrics/csim/<variant>.json. The stage fails on one difference and then leaves
data/<variant>/csim.log.
"""

import logging
import tempfile
from pathlib import Path

import numpy as np

from hls import gpp
from hls.headers import golden_text, header_files
from models import int_resmlp
from models.atomic_file import replace_on_success
from models.errors import PipelineError
from models.int_params import load_int_params, load_samples
from stages._dataset import Dataset
from stages._integer_name import check_integer_name
from stages._logits import load_logits
from stages._metrics import Metric, write_metrics
from stages._params import Csim, load_params
from stages._paths import DATASET, artifact, metrics
from stages._stage import run_variant_stage

BATCH_SIZE = 500  # images turned into tokens at a time: bounds the memory


def write_images(name: str, count: int, folder: Path) -> gpp.ImageFiles:
    """Write the tokens and expected logits of the first `count` test images, or of all."""
    network = load_int_params(artifact(name, "int8.pkl"))
    images = Dataset.load(DATASET).test.images
    logits = load_logits(artifact(name, "qat_logits.npz"))
    expected = (len(images), network.num_classes)
    if logits.shape != expected:
        raise PipelineError(
            f"{artifact(name, 'qat_logits.npz')} holds logits of shape {logits.shape}, but "
            f"{DATASET} and the network ask for {expected}; run `dvc repro dump_params`."
        )
    count = min(count, len(images))
    files = gpp.ImageFiles(folder / "tokens.bin", folder / "logits.bin", count)
    with files.tokens.open("wb") as file:
        for start in range(0, count, BATCH_SIZE):
            batch = images[start : min(start + BATCH_SIZE, count)]
            file.write(int_resmlp.quantize_images(network, batch).astype(np.int8).tobytes())
    files.logits.write_bytes(logits[:count].tobytes())
    return files


def simulate(name: str, settings: Csim, log: Path) -> dict[str, Metric]:
    """Compile and run the test bench of one variant; return the metrics of a run without a flaw."""
    samples = load_samples(artifact(name, "samples.pkl"))
    headers, golden = artifact(name, "headers"), artifact(name, "golden")
    header_files(headers)
    with replace_on_success(golden / "golden.hpp") as temporary:
        temporary.write_text(golden_text(samples))
    with tempfile.TemporaryDirectory(prefix="csim-") as path:
        folder = Path(path)
        binary = gpp.build(settings.compiler, [headers, golden], folder, log)
        images = write_images(name, settings.images, folder) if settings.images else None
        count = gpp.simulate(binary, log, images, gpp.default_jobs())
    logging.info(
        "%s: C++ equals numpy on %d golden samples and the QAT network on %d test images",
        name,
        len(samples.input),
        count,
    )
    return {
        "csim": "PASS",
        "csim_golden_samples": len(samples.input),
        "csim_images": count,
        "csim_mismatches": 0,
    }


def main(name: str) -> None:
    """C-simulate one variant."""
    params = load_params()
    check_integer_name(params, name)
    log = artifact(name, "csim.log")
    log.unlink(missing_ok=True)
    result = simulate(name, params.csim, log)
    write_metrics(metrics("csim", name), result)
    log.unlink(missing_ok=True)


if __name__ == "__main__":
    run_variant_stage(main)
