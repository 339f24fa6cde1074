"""Classify images on the accelerator, check it bit by bit, measure its rate.

    python3 host.py check                    the golden samples: every logit must equal numpy's
    python3 host.py throughput [--images N]  images per second, with and without transfers
    python3 host.py classify IMAGES.npy      labels of uint8 images [n, 32, 32, 3]

In Python: `from host import open_classifier; labels = open_classifier().classify(images)`.
Needs numpy, and pynq or pyxrt (driver.py). Runs on Python 3.8, which PYNQ 2.7 has.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt  # since numpy 1.20; a board may have an older one

HERE = Path(__file__).resolve().parent


class Accelerator(Protocol):
    """What driver.py has for a board."""

    most_images: int  # images per call

    def run(self, tokens: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the logits [n, classes] of tokens [n, patches, patch_dim], n <= most_images."""


class Classifier:
    """A network on an accelerator. `settings` is network.json, `lut` the table of input_lut.npy.

    `lut` is int8 [3, 256], the input for a pixel value of each colour; None if the network came
    without one. Then only tokens can be classified.
    """

    def __init__(
        self,
        accelerator: Accelerator,
        settings: dict[str, Any],
        lut: npt.NDArray[np.int8] | None = None,
    ) -> None:
        self.accelerator = accelerator
        self.settings = settings
        self.lut = lut

    def classify(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.intp]:
        """Return the class indices [n] of uint8 images [n, height, width, 3]."""
        labels: npt.NDArray[np.intp] = self.logits(images).argmax(axis=1)
        return labels

    def logits(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """Return the int8 scores [n, classes] of uint8 images [n, height, width, 3]."""
        return self.logits_of_tokens(self.tokens(images))

    def logits_of_tokens(self, tokens: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
        """Return the int8 scores [n, classes] of int8 tokens [n, patches, patch_dim]."""
        most = self.accelerator.most_images
        parts = [self.accelerator.run(tokens[i : i + most]) for i in range(0, len(tokens), most)]
        empty = np.empty((0, self.settings["num_classes"]), np.int8)
        return np.concatenate([empty, *parts])

    def tokens(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.int8]:
        """Return the int8 patches [n, patches, patch_dim] of uint8 images [n, height, width, 3].

        Patches are in the order of rows, values in a patch by row, column and colour.
        """
        if self.lut is None:
            raise ValueError("this network has no input_lut.npy; pass tokens to logits_of_tokens")
        patches, patch_dim = self.settings["num_patches"], self.settings["patch_dim"]
        side = round((patch_dim / 3) ** 0.5)  # pixels of a patch
        pixels = round((patches * side * side) ** 0.5)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (pixels, pixels, 3):
            raise ValueError(
                f"images are {images.dtype} {list(images.shape)}, but must be "
                f"uint8 [n, {pixels}, {pixels}, 3]"
            )
        values = np.stack([self.lut[colour][images[..., colour]] for colour in range(3)], axis=-1)
        grid = values.reshape(len(images), pixels // side, side, pixels // side, side, 3)
        return np.ascontiguousarray(
            grid.transpose(0, 1, 3, 2, 4, 5).reshape(len(images), patches, patch_dim)
        )


def check(classifier: Classifier, golden: dict[str, npt.NDArray[Any]]) -> str:
    """Compare the logits of the golden samples with numpy's; return one sentence.

    `golden` holds tokens and logits, and images where the samples were drawn. Raises
    AssertionError, which names the first difference.
    """
    wanted = golden["logits"]
    compare("tokens", classifier.logits_of_tokens(golden["tokens"]), wanted)
    one_by_one = [classifier.logits_of_tokens(token[np.newaxis]) for token in golden["tokens"]]
    compare("tokens, one image per call", np.concatenate(one_by_one), wanted)
    if "images" in golden:
        compare("images", classifier.logits(golden["images"]), wanted)
    return f"{wanted.size} logits of {len(wanted)} golden samples equal numpy's."


def compare(name: str, got: npt.NDArray[np.int8], wanted: npt.NDArray[np.int8]) -> None:
    """Raise AssertionError with the first difference between two arrays of logits."""
    if got.shape != wanted.shape:
        raise AssertionError(f"{name}: {list(got.shape)} logits, want {list(wanted.shape)}")
    for image, logit in np.argwhere(got != wanted):
        raise AssertionError(
            f"{name}, image {image}, logit {logit}: got {got[image, logit]}, "
            f"want {wanted[image, logit]}"
        )


def throughput(classifier: Classifier, count: int) -> str:
    """Measure the rate on `count` random inputs; return one sentence.

    The first run is not measured. The rate includes the transfers between host and accelerator, and
    the copies of driver.py; tokens are prepared before.
    """
    settings = classifier.settings
    shape = (count, settings["num_patches"], settings["patch_dim"])
    tokens = np.random.RandomState(0).randint(-128, 128, shape).astype(np.int8)
    classifier.logits_of_tokens(tokens[: classifier.accelerator.most_images])
    start = time.perf_counter()
    classifier.logits_of_tokens(tokens)
    seconds = time.perf_counter() - start
    return (
        f"{count} images in {seconds:.3f} s: {count / seconds:.0f} images/s with transfers; the "
        f"model says {settings['model_images_per_second']} images/s at {settings['clock_mhz']} MHz."
    )


def load(folder: Path = HERE) -> tuple[dict[str, Any], npt.NDArray[np.int8] | None]:
    """Return network.json and input_lut.npy (None if absent) of a folder."""
    settings = json.loads((folder / "network.json").read_text())
    path = folder / "input_lut.npy"
    return settings, np.load(path, allow_pickle=False) if path.is_file() else None


def open_classifier(folder: Path = HERE) -> Classifier:
    """Load the bitstream and return the classifier of this folder."""
    from driver import open_accelerator  # type: ignore[import-not-found]

    settings, lut = load(folder)
    return Classifier(open_accelerator(settings, folder), settings, lut)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one of the three commands."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("command", choices=("check", "throughput", "classify"))
    parser.add_argument("file", nargs="?", type=Path, help="classify: an .npy file of images")
    parser.add_argument("--images", type=int, default=4096, help="throughput: how many")
    options = parser.parse_args(arguments)
    if (options.command == "classify") != (options.file is not None):
        parser.error("classify, and only classify, needs a file of images")
    classifier = open_classifier()
    if options.command == "classify":
        images = np.load(options.file, allow_pickle=False)
        text = "\n".join(str(label) for label in classifier.classify(images))
    elif options.command == "throughput":
        text = throughput(classifier, options.images)
    else:
        with np.load(HERE / "golden.npz", allow_pickle=False) as golden:
            text = check(classifier, dict(golden))
    sys.stdout.write(f"{text}\n")


if __name__ == "__main__":
    try:
        main()
    except (AssertionError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
