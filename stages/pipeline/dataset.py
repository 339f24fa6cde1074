"""The data set of a run: three splits, class names and normalisation, stored as one npz file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line
from models.files.zips import read_npz

IMAGE_SHAPE = (32, 32, 3)  # rows, columns, red-green-blue
SPLITS = ("train", "validation", "test")
_ARRAYS = (
    *(f"{name}_{part}" for name in SPLITS for part in ("images", "labels")),
    *("class_names", "mean", "std"),
)


@dataclass(frozen=True)
class Split:
    """Images uint8 [n, 32, 32, 3] and class indices int64 [n]; other arrays raise ValueError."""

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]

    def __post_init__(self) -> None:
        """Raise ValueError for other shapes and types."""
        if self.images.dtype != np.uint8 or self.images.shape[1:] != IMAGE_SHAPE:
            found = f"{self.images.dtype} {list(self.images.shape)}"
            raise ValueError(f"images must be uint8 [n, 32, 32, 3], found {found}")
        if self.labels.dtype != np.int64 or self.labels.shape != self.images.shape[:1]:
            found = f"{self.labels.dtype} {list(self.labels.shape)}"
            raise ValueError(f"labels must be int64 [{len(self.images)}], found {found}")

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.labels)

    def take(self, indices: npt.NDArray[np.int64]) -> "Split":
        """Return the images and labels at `indices`, in that order."""
        return Split(self.images[indices], self.labels[indices])


@dataclass(frozen=True)
class LabelledImages:
    """Training and test images as a source returns them, and the class names by label.

    Raises ValueError for a label without a name, and for a class without images.
    """

    train: Split
    test: Split
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raise ValueError unless train and test each contain exactly the named classes."""
        for name in ("train", "test"):
            labels = set(np.unique(getattr(self, name).labels).tolist())
            expected = set(range(len(self.class_names)))
            if labels != expected:
                raise ValueError(
                    f"{name} must have images of classes 0..{len(expected) - 1} and no others, "
                    f"but differs in {sorted(labels ^ expected)}"
                )


@dataclass(frozen=True)
class Dataset:
    """Three disjoint splits, the class names by label, and the normalisation.

    mean and std are those of pixel / 255 per channel, float64 [3]. Impossible values raise
    ValueError.
    """

    train: Split
    validation: Split
    test: Split
    class_names: tuple[str, ...]
    mean: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        """Raise ValueError for labels without a name, and for mean or std that cannot be used."""
        for name in SPLITS:
            labels, last = getattr(self, name).labels, len(self.class_names) - 1
            if len(labels) and not 0 <= labels.min() <= labels.max() <= last:
                raise ValueError(f"{name} has labels outside 0..{last}")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if value.shape != (3,) or value.dtype != np.float64 or not np.isfinite(value).all():
                raise ValueError(f"{name} must be three finite float64 numbers, found {value!r}")
        if not (self.std > 0).all():
            raise ValueError(f"std must be > 0, found {self.std.tolist()}")

    def with_all_for_training(self) -> "Dataset":
        """Return the data set with the validation images among those for training, at the end.

        They also stay where they are, so validation then measures images that are trained on.
        """
        parts = (self.train, self.validation)
        images, labels = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels")
        )
        return replace(self, train=Split(images, labels))

    def save(self, path: Path | str) -> None:
        """Write an uncompressed npz file; equal data sets give equal bytes."""
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name in SPLITS:
            split = getattr(self, name)
            arrays |= {f"{name}_images": split.images, f"{name}_labels": split.labels}
        names = np.array(self.class_names, dtype=np.str_)
        arrays |= {"class_names": names, "mean": self.mean, "std": self.std}
        with replace_on_success(path) as temporary:
            np.savez(
                temporary, allow_pickle=False, **arrays
            )  # numpy dates every member 1980-01-01, hence the bytes

    @staticmethod
    def load(path: Path | str) -> "Dataset":
        """Read a file that `save` wrote; PipelineError if it is missing, damaged or foreign."""
        if not Path(path).exists():
            raise PipelineError(f"{path} is missing; make it with `dvc repro prepare_data`")
        mend = "make it again with `dvc repro prepare_data --force`"
        arrays = read_npz(path, _ARRAYS, mend)
        try:
            return _from_arrays(arrays)
        except (ValueError, TypeError) as error:
            raise PipelineError(f"{path} cannot be used ({one_line(error)}); {mend}") from error


def _from_arrays(arrays: Mapping[str, npt.NDArray[Any]]) -> Dataset:
    splits = {name: Split(arrays[f"{name}_images"], arrays[f"{name}_labels"]) for name in SPLITS}
    names = tuple(str(name) for name in arrays["class_names"])
    return Dataset(**splits, class_names=names, mean=arrays["mean"], std=arrays["std"])


def hold_out(split: Split, count: int, seed: int) -> tuple[Split, Split]:
    """Split off `count` images; return the remaining images and the held-out ones.

    Both keep their order. Each class contributes in proportion to its size (largest remainders
    first); `seed` determines which images are taken. PipelineError if a class would have no image
    left.
    """
    sizes = np.bincount(split.labels)
    exact = count * sizes / len(split)
    quotas = exact.astype(np.int64)
    most_cut = np.argsort(quotas - exact, kind="stable")
    quotas[most_cut[: count - quotas.sum()]] += 1  # [classes], sum: count
    if (quotas >= sizes)[sizes > 0].any():
        raise PipelineError(
            f"data.validation_images is {count}, but the {len(split)} training images in "
            f"{np.count_nonzero(sizes)} classes must leave at least one of each class for training"
            "; choose a smaller number"
        )
    random = np.random.default_rng(seed)
    taken = np.zeros(len(split), dtype=bool)
    for label, quota in enumerate(quotas):
        members = np.flatnonzero(split.labels == label)
        taken[random.permutation(members)[:quota]] = True
    return split.take(np.flatnonzero(~taken)), split.take(np.flatnonzero(taken))


def channel_statistics(
    images: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return mean and standard deviation of pixel / 255 per channel, both float64 [3].

    `images` are uint8 [n, height, width, 3]. A constant channel gets the standard deviation 1, so
    that it normalises to 0. The sums are over counts of each pixel value, so the result does not
    depend on the order of the images.
    """
    counts = np.zeros((3, 256), dtype=np.int64)
    for start in range(0, len(images), 1024):  # chunks, because bincount copies to int64
        chunk = images[start : start + 1024]
        for channel in range(3):
            counts[channel] += np.bincount(chunk[..., channel].ravel(), minlength=256)
    # counts: [3, 256], pixels of each value per channel
    values = np.arange(256) / 255
    shares = counts / counts.sum(axis=1, keepdims=True)
    mean = shares @ values
    std = np.sqrt((shares * (values - mean[:, None]) ** 2).sum(axis=1))
    return mean, np.where((counts > 0).sum(axis=1) == 1, 1.0, std)
