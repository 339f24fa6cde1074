"""Carry the training and validation images to a machine without a network, in little space.

`carry_images --pack DIR` writes data/dataset.npz, without its test images, as lossless WebP
pictures of a thousand images each, in folders DIR/0, DIR/1, … of at most some 40 MB. `carry_images
--unpack DIR` writes data/dataset.npz from them, on the machine that trains. The pictures are for
the way only: the images' licence does not let us publish them, so DIR belongs under build/.
"""

import argparse
import io
import logging
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line
from models.files.zips import read_npz
from stages.pipeline.command import guarded
from stages.pipeline.dataset import Dataset, Split
from stages.pipeline.paths import DATASET

_ROWS, _COLUMNS = 25, 40  # images in a picture
_FOLDER_BYTES = 40_000_000
_LABELS = "labels.npz"
_ARRAYS = ("train", "validation", "class_names", "mean", "std", "checksum")
_MEND = "pack the images again"

Pixels = npt.NDArray[np.uint8]


def pack(dataset: Dataset, folder: Path) -> None:
    """Write the training and validation images and all else but the test images into `folder`."""
    images = np.concatenate([dataset.train.images, dataset.validation.images])
    count, number, size = _ROWS * _COLUMNS, 0, 0
    for first in range(0, len(images), count):
        content = _picture(images[first : first + count])
        if size + len(content) > _FOLDER_BYTES:
            number, size = number + 1, 0
        size += len(content)
        with replace_on_success(folder / str(number) / f"{first:06d}.webp") as temporary:
            temporary.write_bytes(content)
        logging.info("%d of %d images", min(first + count, len(images)), len(images))
    with replace_on_success(folder / "0" / _LABELS) as temporary, temporary.open("wb") as file:
        np.savez(
            file,
            train=dataset.train.labels,
            validation=dataset.validation.labels,
            class_names=np.array(dataset.class_names, dtype=np.str_),
            mean=dataset.mean,
            std=dataset.std,
            checksum=np.array([_checksum(images)], np.uint32),
        )


def unpack(folder: Path) -> Dataset:
    """Return the data set that `pack` wrote, with an empty test split.

    PipelineError if a picture is missing or has other pixels.
    """
    path = folder / "0" / _LABELS
    labels = read_npz(path, _ARRAYS, _MEND)
    pictures = sorted(folder.glob("*/*.webp"), key=lambda picture: picture.name)
    images = np.concatenate([np.empty((0, 32, 32, 3), np.uint8), *map(_images, pictures)])
    try:
        return _dataset(images, labels)
    except (ValueError, TypeError, IndexError) as error:
        reason = one_line(error)
        raise PipelineError(f"{path} does not fit the pictures ({reason}); {_MEND}.") from error


def _dataset(images: Pixels, labels: Mapping[str, npt.NDArray[Any]]) -> Dataset:
    """Return the data set; ValueError, TypeError or IndexError for what `pack` does not write."""
    train, validation = labels["train"], labels["validation"]
    count = len(train) + len(validation)
    if len(images) < count or _checksum(images[:count]) != labels["checksum"][0]:
        raise ValueError(f"they are not the {count} images that were packed")
    return Dataset(
        Split(images[: len(train)], train),
        Split(images[len(train) : count], validation),
        Split(images[:0], train[:0]),
        tuple(str(name) for name in labels["class_names"]),
        labels["mean"],
        labels["std"],
    )


def _checksum(images: Pixels) -> int:
    return zlib.crc32(np.ascontiguousarray(images).data)


def _picture(images: Pixels) -> bytes:
    """Return images [up to 1000, 32, 32, 3] as one picture; what is missing is black."""
    full = np.zeros((_ROWS * _COLUMNS, 32, 32, 3), np.uint8)
    full[: len(images)] = images
    grid = full.reshape(_ROWS, _COLUMNS, 32, 32, 3).transpose(0, 2, 1, 3, 4)
    file = io.BytesIO()
    picture = Image.fromarray(grid.reshape(_ROWS * 32, _COLUMNS * 32, 3))
    picture.save(file, "WEBP", lossless=True, quality=50, method=4, exact=True)
    return file.getvalue()


def _images(path: Path) -> Pixels:
    try:
        with Image.open(path, formats=["WEBP"]) as picture:
            pixels = np.asarray(picture.convert("RGB"))
        grid = pixels.reshape(_ROWS, 32, _COLUMNS, 32, 3).transpose(0, 2, 1, 3, 4)
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        raise PipelineError(f"{path} is damaged or another picture; {_MEND}.") from error
    return grid.reshape(-1, 32, 32, 3)


def main(target: Path | None, source: Path | None) -> None:
    """Pack data/dataset.npz into the folder `target`, or write it from the folder `source`."""
    if target is not None:
        pack(Dataset.load(DATASET), target)
    if source is None:
        return
    if DATASET.exists():
        raise PipelineError(f"{DATASET} exists, with its test images; unpack in another folder.")
    unpack(source).save(DATASET)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--pack", metavar="DIR", type=Path, help="folder to write")
    action.add_argument("--unpack", metavar="DIR", type=Path, help="folder to read")
    arguments = parser.parse_args()
    guarded(lambda: main(arguments.pack, arguments.unpack))
