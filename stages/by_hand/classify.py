"""Print the three likeliest classes of images, and their scores, by one network.

The images may have any size and format; they are converted as the data set was, and the output
says where that loses something. `--numeric` chooses what computes: PyTorch in floats, numpy in
INT8, onnxruntime with the INT8 file of export_onnx, or the compiled C++ of the network's first
design. The last three give the same scores. A score is the network's output for a class, in INT8 an
integer.
"""

import argparse
import logging
import stat
import sys
from collections.abc import Callable, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from hls.cpp.accelerators import SIMD
from hls.headers.design import design_text
from hls.headers.golden import golden_text
from hls.headers.network import config_text, params_text
from hls.headers.simd_parameters import parameters_text
from hls.plan.design import read_design
from hls.plan.sizes import Sizes
from hls.simulate import gpp
from models.files.errors import PipelineError
from models.files.temporary import temporary_folder
from models.files.zips import read_npz
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params
from stages.pipeline.command import guarded
from stages.pipeline.dataset import IMAGE_SHAPE, Dataset, Split
from stages.pipeline.names import check_integer_name
from stages.pipeline.params import IMAGE_SIZE, Params, load_params
from stages.pipeline.paths import DATASET, artifact, design_artifact
from stages.pipeline.sample_images import sample_images
from stages.sources.decoding import UnfitImageError, decode
from stages.sources.registry import CIFAR10_CLASSES

DEFAULT_NETWORK = "lerp_psa_h96"
LARGEST_FILE = 1 << 28  # bytes, as for the images of a data set
SHOWN = 3  # classes per image

Images = npt.NDArray[np.uint8]  # [n, 32, 32, 3]
Logits = npt.NDArray[np.number]  # [n, classes]


def read_image(path: Path) -> tuple[Images, list[str]]:
    """Return the pixels uint8 [32, 32, 3] of an image file, and what the conversion lost.

    PipelineError if the file cannot be read or is no image.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            raise PipelineError(
                f"{path} is no file of at most {LARGEST_FILE} bytes; name an image file."
            )
        content = path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        reason = getattr(error, "strerror", None) or str(error)
        raise PipelineError(f"{path} cannot be read ({reason}); name an image file.") from error
    try:
        decoded = decode(content, named=True)
    except UnfitImageError as error:
        raise PipelineError(f"{path} {error}; name another image, or save it as PNG.") from error
    assert decoded is not None  # decode gives None only where `named` is false
    return decoded.pixels, _losses(content)


def _losses(content: bytes) -> list[str]:
    """Say what `decode` dropped of an image that it has read."""
    image = Image.open(BytesIO(content))
    (width, height), losses = image.size, []
    side = min(width, height)
    if width != height:
        losses.append(f"only the middle square of {width}x{height} pixels was used")
    if side != IMAGE_SIZE:
        losses.append(f"{side}x{side} pixels were resized to {IMAGE_SIZE}x{IMAGE_SIZE}")
    if image.has_transparency_data:
        losses.append("transparency was dropped")
    if getattr(image, "n_frames", 1) > 1:
        losses.append(f"only the first of {getattr(image, 'n_frames', 1)} pictures was used")
    if image.mode[0] in "IF":
        losses.append(f"values of mode {image.mode} were reduced to 8 bits")
    elif image.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
        losses.append(f"{image.mode} was converted to RGB")
    return losses


def described_dataset(params: Params) -> Dataset:
    """Return the data set without its images: class names, mean and std.

    Without data/dataset.npz, CIFAR-10 is known; the float network's file holds mean and std itself.
    """
    if not DATASET.exists() and params.data.source == "cifar10":
        names, mean, std = CIFAR10_CLASSES, np.zeros(3), np.ones(3)
    elif not DATASET.exists():
        raise PipelineError(f"{DATASET} is missing; make it with `dvc repro prepare_data`.")
    else:
        mend = "make it again with `dvc repro prepare_data --force`"
        arrays = read_npz(DATASET, ("class_names", "mean", "std"), mend)
        names = tuple(str(name) for name in arrays["class_names"])
        mean, std = arrays["mean"], arrays["std"]
    none = Split(np.empty((0, *IMAGE_SHAPE), np.uint8), np.empty(0, np.int64))
    try:
        return Dataset(none, none, none, names, mean, std)
    except ValueError as error:
        raise PipelineError(
            f"{DATASET} cannot be used ({error}); make it again with "
            "`dvc repro prepare_data --force`."
        ) from error


def by_float(params: Params, name: str, images: Images) -> Logits:
    """Compute with PyTorch in float32."""
    from stages.networks.evaluation import predict, to_tensors
    from stages.networks.resmlp import device, load_network

    params.variant(name)
    network = load_network(params, name, described_dataset(params)).to(device())
    pixels, _ = to_tensors(Split(images, np.zeros(len(images), np.int64)))
    return predict(network, pixels, device()).numpy()


def by_int8(params: Params, name: str, images: Images) -> Logits:
    """Compute with numpy in integers."""
    check_integer_name(params, name)
    return int_resmlp.evaluate(load_int_params(artifact(name, "int8.pkl")), images)


def by_onnx(params: Params, name: str, images: Images) -> Logits:
    """Compute with onnxruntime; the file must be, byte for byte, that of the network's integers."""
    from models.onnx import int8_network
    from models.onnx.runtime import evaluate

    check_integer_name(params, name)
    network = load_int_params(artifact(name, "int8.pkl"))
    content, file = int8_network.write(network, name, IMAGE_SIZE), artifact(name, "int8.onnx")
    if not file.is_file() or file.read_bytes() != content:
        fault = "is not what the integers give" if file.exists() else "is missing"
        raise PipelineError(
            f"{file} {fault}; get it with `dvc pull {file}`, or make it with "
            f"`dvc repro export_onnx@{name}`."
        )
    return evaluate(content, images, threads=1)


def by_csim(params: Params, name: str, images: Images) -> Logits:
    """Compile the C++ of the network's first design and run it on the images.

    The test bench compares every logit with numpy's, and one difference is an error. So the logits
    that it accepts are those of the C++.
    """
    check_integer_name(params, name)
    rows = [design for design, row in params.designs.items() if row.variant == name]
    if not rows:
        known = sorted({row.variant for row in params.designs.values()})
        raise PipelineError(
            f"{name} has no row under designs in params.yaml, so there is no C++ of it; add one, "
            f"or choose --network from: {', '.join(known)}."
        )
    network = load_int_params(artifact(name, "int8.pkl"))
    plan = read_design(design_artifact(rows[0], "design.json"), Sizes.of(network))
    golden = int_resmlp.quantize_images(network, sample_images(1))
    samples = int_resmlp.make_samples(network, golden, np.zeros(1, np.int32))
    texts = {"config.hpp": config_text(network), "design.hpp": design_text(plan)}
    texts |= {"params.hpp": params_text(network), "golden.hpp": golden_text(samples)}
    if plan.accelerator == SIMD and plan.array is not None:
        texts["parameters.hpp"] = parameters_text(network, plan.array)
    logits = int_resmlp.evaluate(network, images)
    logging.info("Compiling the C++ of %s (a minute or so) ...", rows[0])
    with temporary_folder("classify") as folder:
        headers, log = folder / "headers", folder / "csim.log"
        headers.mkdir()
        for file, text in texts.items():
            (headers / file).write_text(text)
        tested = gpp.ImageFiles(folder / "tokens.bin", folder / "logits.bin", len(images))
        tokens = int_resmlp.quantize_images(network, images)
        tested.tokens.write_bytes(tokens.astype(np.int8).tobytes())
        tested.logits.write_bytes(logits.astype(np.int8).tobytes())
        compiler, accelerator = params.csim.compiler, plan.accelerator
        binary = gpp.build(compiler, [headers], folder, log, accelerator=accelerator)
        gpp.simulate(binary, log, tested)
    return logits


NUMERICS: dict[str, Callable[[Params, str, Images], Logits]] = {
    "float": by_float,
    "int8": by_int8,
    "onnx": by_onnx,
    "csim": by_csim,
}


def likeliest(logits: Logits, names: Sequence[str]) -> list[tuple[str, float | int]]:
    """Return the names and scores of the classes with the largest logits [classes].

    Of equal ones the first counts, as in the accuracy.
    """
    order = np.argsort(-logits.astype(np.float64), kind="stable")[:SHOWN]
    return [(names[index], logits[index].item()) for index in order]


def main(paths: Sequence[Path], name: str, numeric: str) -> None:
    """Classify the images and print the result."""
    params = load_params()
    images, losses = zip(*map(read_image, paths), strict=True)
    names = described_dataset(params).class_names
    logits = NUMERICS[numeric](params, name, np.stack(images))
    if logits.shape[1] != len(names):
        raise PipelineError(
            f"{name} has {logits.shape[1]} classes, but the data set {len(names)}; make the "
            "network's files again with `dvc repro`."
        )
    for path, lost, row in zip(paths, losses, logits, strict=True):
        shown = str(path) if str(path).isprintable() else ascii(str(path))[1:-1]
        sys.stdout.write(shown + (f" ({'; '.join(lost)})" if lost else "") + "\n")
        for label, score in likeliest(row, names):
            text = f"{score:.2f}" if isinstance(score, float) else str(score)
            sys.stdout.write(f"  {label:<20} {text:>7}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", metavar="IMAGE", nargs="+", type=Path, help="an image file")
    parser.add_argument(
        "--network",
        default=DEFAULT_NETWORK,
        help=f"a key under `variants` in params.yaml, e.g. {DEFAULT_NETWORK} (the default)",
    )
    parser.add_argument("--numeric", choices=NUMERICS, default="int8", help="default: int8")
    arguments = parser.parse_args()
    guarded(lambda: main(arguments.images, arguments.network, arguments.numeric))
