"""Import an INT8 network from C++ headers, the authors' or ours, instead of training one.

This is a command, not a stage of the pipeline. Run it in the folder of params.yaml; then run the
stages verify, generate_headers, plan (with the published folding), csim and synthesize with the
same name. Writes data/<name>/int8.pkl, qat_logits.npz (computed by numpy, because there is no QAT
network) and samples.pkl.
"""

import argparse
import dataclasses
import logging
from pathlib import Path

import numpy as np

from hls.headers.parser import HEADER_FILES, read_arrays
from hls.headers.reader import HeaderSamples, read_network, read_samples
from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import Array, IntResMlp, save_int_params, save_samples
from stages.pipeline.command import guarded
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import IMAGE_SIZE, Params, check_name, load_params
from stages.pipeline.paths import DATASET, artifact

log = logging.getLogger(__name__)

_PATCH_SIZES = (1, 2, 4, 8, 16)  # pixels per side of a patch; the images have 32
_BATCH = 500  # images that are quantised at a time; limits the memory
_UNKNOWN = -1  # the label of a sample that is not in the data set


def check_new_name(params: Params, name: str) -> None:
    """Raise PipelineError if the name cannot be a folder under data/, or is in params.yaml."""
    check_name(name, "--name " + ascii(name))
    if name in {**params.variants, **params.designs}:
        kind = "variant" if name in params.variants else "design"
        raise PipelineError(
            f"--name {name} is a {kind} of params.yaml, whose files the pipeline makes; choose "
            f"another name, for example published_{name}."
        )


def read(headers: Path, abs_max: float, dataset: Dataset) -> tuple[IntResMlp, HeaderSamples | None]:
    """Read a folder of headers; return the network and the samples, None if there are none.

    `abs_max` is the normalised pixel value that the integer 128 represents. PipelineError if the
    sizes do not fit the data set.
    """
    arrays = read_arrays(headers)
    network = read_network(arrays, headers)
    size = round((network.patch_dim / 3) ** 0.5)
    tokens = (IMAGE_SIZE // size) ** 2 if size in _PATCH_SIZES else 0
    found = (network.num_patches, network.patch_dim, network.num_classes)
    if found != (tokens, 3 * size * size, len(dataset.class_names)):
        raise PipelineError(
            f"{headers} holds a network of {found[0]} patches of {found[1]} values and {found[2]} "
            f"classes, which {DATASET} (32 x 32 x 3, {len(dataset.class_names)} classes) does not "
            "fit."
        )
    lut = int_resmlp.make_input_lut(abs_max, dataset.mean.tolist(), dataset.std.tolist())
    return dataclasses.replace(network, input_lut=lut), read_samples(arrays, network, headers)


def labels_of(network: IntResMlp, tokens: Array, dataset: Dataset) -> Array:
    """Return the labels int32 [n] of the samples; -1 for samples that are not in the data set."""
    wanted = {sample.astype(np.int8).tobytes(): index for index, sample in enumerate(tokens)}
    labels = np.full(len(tokens), _UNKNOWN, dtype=np.int32)
    for split in (dataset.test, dataset.validation, dataset.train):
        for start in range(0, len(split.images), _BATCH):
            batch = slice(start, start + _BATCH)
            images = int_resmlp.quantize_images(network, split.images[batch]).astype(np.int8)
            for image, label in zip(images, split.labels[batch], strict=True):
                if (index := wanted.get(image.tobytes())) is not None:
                    labels[index] = label
    return labels


def compare(network: IntResMlp, samples: HeaderSamples) -> str:
    """Describe how the headers' samples differ from the network's results."""
    ours = int_resmlp.make_samples(network, samples.input, np.zeros(len(samples.input), np.int32))
    theirs = [*samples.inter, samples.output]
    pairs = zip([*ours.inter[: len(samples.inter)], ours.output], theirs, strict=True)
    differences = np.concatenate([np.abs(a - b).ravel() for a, b in pairs])
    count = f"{len(samples.input)} samples of the headers"
    if not differences.any():
        return f"the {count} come out bit for bit"
    return (
        f"of the {count}, {np.count_nonzero(differences)} of {differences.size} values come out "
        f"different, by up to {differences.max()} (the published LERP networks' do: by up to 18)"
    )


def main(name: str, headers: Path, abs_max: float) -> None:
    """Import one network."""
    params = load_params()
    check_new_name(params, name)
    dataset = Dataset.load(DATASET)
    network, samples = read(headers, abs_max, dataset)
    if samples is None:
        images = dataset.test.images[: params.csim.samples]
        if len(images) < params.csim.samples:
            log.warning(
                "csim.samples is %d, but there are %d test images, so %d samples are written",
                params.csim.samples,
                *(len(images), len(images)),
            )
        tokens = int_resmlp.quantize_images(network, images)
    else:
        tokens = samples.input
        log.info("%s: %s", name, compare(network, samples))
    labels = labels_of(network, tokens, dataset)
    if (labels == _UNKNOWN).all():
        log.warning(
            "none of the samples is an image of the data set: --input-abs-max %s may be wrong",
            abs_max,
        )
    logits = int_resmlp.evaluate(network, dataset.test.images)
    save_int_params(network, artifact(name, "int8.pkl"))
    save_samples(int_resmlp.make_samples(network, tokens, labels), artifact(name, "samples.pkl"))
    with replace_on_success(artifact(name, "qat_logits.npz")) as temporary:
        np.savez(temporary, logits=logits.astype(np.int8))
    accuracy = int_resmlp.accuracy(logits, dataset.test.labels)
    log.info("%s: %.2f %% of %d test images", name, accuracy, len(logits))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    files = ", ".join(HEADER_FILES)
    parser.add_argument("--headers", required=True, type=Path, help=f"the folder of {files}")
    parser.add_argument(
        "--input-abs-max",
        required=True,
        type=_magnitude,
        help="the normalised pixel value that int8's 128 means (published ReLU-96: 2.0901384)",
    )
    parser.add_argument(
        "--name", required=True, help="what to call it under data/, no variant's or design's"
    )
    return parser.parse_args()


def _magnitude(text: str) -> float:
    value = float(text)
    if not 1e-3 <= value <= 1e3:
        raise argparse.ArgumentTypeError(f"{text} is not between 0.001 and 1000")
    return value


if __name__ == "__main__":
    arguments = _arguments()
    guarded(lambda: main(arguments.name, arguments.headers, arguments.input_abs_max))
