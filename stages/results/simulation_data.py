"""What simulations of the hardware read, and what they must compute: test images and samples."""

import logging
from pathlib import Path

import numpy as np

from hls.simulate.gpp import ImageFiles
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import IntResMlp, Samples, load_int_params, load_samples
from models.integer.sample_check import check_samples
from stages.pipeline.dataset import Dataset
from stages.pipeline.paths import DATASET, artifact
from stages.pipeline.sample_images import sample_images
from stages.results.logits import load_logits

BATCH_SIZE = 500  # images that are quantised to tokens at a time; limits the memory


def write_images(name: str, count: int, folder: Path) -> ImageFiles:
    """Write int8 tokens and expected logits of the first `count` test images.

    Writes all test images, with a warning, if there are fewer than `count`. Raises PipelineError if
    the logits do not have the shape [test images, classes].
    """
    network = load_int_params(artifact(name, "int8.pkl"))
    images = Dataset.load(DATASET).test.images
    logits = load_logits(artifact(name, "qat_logits.npz"))
    expected = (len(images), network.num_classes)
    if logits.shape != expected:
        raise PipelineError(
            f"{artifact(name, 'qat_logits.npz')} holds logits of shape {logits.shape}, but "
            f"{DATASET} and the network require {expected}; run `dvc repro dump_params`."
        )
    if count > len(images):
        logging.warning("%d test images are asked for, but there are %d", count, len(images))
        count = len(images)
    files = ImageFiles(folder / "tokens.bin", folder / "logits.bin", count)
    with files.tokens.open("wb") as file:
        for start in range(0, count, BATCH_SIZE):
            batch = images[start : min(start + BATCH_SIZE, count)]
            file.write(int_resmlp.quantize_images(network, batch).astype(np.int8).tobytes())
    files.logits.write_bytes(logits[:count].tobytes())
    return files


def golden_samples(variant: str, network: IntResMlp, count: int, imported: bool) -> Samples:
    """Return inputs, layer outputs and logits of `count` synthetic images, computed by numpy.

    A synthetic image has no true label, so the predicted class is its label. For an imported
    network the samples are read from the file that came with it; PipelineError if they are not
    the network's.
    """
    if imported:
        samples = load_samples(artifact(variant, "samples.pkl"))
        check_samples(samples, network, artifact(variant, "samples.pkl"))
        return samples
    tokens = int_resmlp.quantize_images(network, sample_images(count))
    labels = int_resmlp.forward(network, tokens).argmax(axis=1)
    return int_resmlp.make_samples(network, tokens, labels)
