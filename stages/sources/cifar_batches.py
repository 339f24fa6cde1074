"""Read CIFAR-10 in its two official forms: Python 2 pickles, or files of binary records."""

from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from models.files.archives import Member
from models.files.errors import PipelineError
from models.files.restricted_pickle import restricted_load
from stages.pipeline.dataset import LabelledImages, Split

_TRAIN = tuple(f"data_batch_{number}" for number in range(1, 6))
_BATCHES = (*_TRAIN, "test_batch")
_NAMES = "batches.meta"
_CHANNELS_FIRST = (-1, 3, 32, 32)
_RECORD = 1 + 3 * 32 * 32  # a label, then the red, green and blue planes
Pixels: TypeAlias = npt.NDArray[np.uint8]
Labels: TypeAlias = npt.NDArray[np.int64]


class CifarBatches:
    """Collects the batches in any order; `finish` checks them and sorts the images.

    Images are sorted by class, then by the file name that the Python form records, i.e. in the
    order of a class-folder tree of the same files. The binary form has no file names and keeps its
    order. torchvision's CIFAR10 is not used because it drops the file names.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._batches: dict[str, tuple[Pixels, Labels, list[str]]] = {}
        self._class_names: tuple[str, ...] | None = None

    def wants(self, member: Member) -> bool:
        """Return whether a member is one of the official files, at most one folder deep."""
        name = member.parts[-1]
        known = name.removesuffix(".bin") in _BATCHES or name.removesuffix(".txt") == _NAMES
        return known and not member.is_folder and len(member.parts) <= 2

    def add(self, member: Member) -> None:
        """Add one official file; PipelineError if it is damaged."""
        name, content = member.parts[-1], member.content()
        where = f"{self._path}: {name}"
        if name.removesuffix(".bin") in self._batches:
            raise PipelineError(f"{self._path} holds {name} more than once; keep one of them")
        if name == _NAMES:
            self._class_names = _checked_names(_load(content, where).get("label_names"), where)
        elif name == f"{_NAMES}.txt":
            self._class_names = _checked_names(content.decode("latin1").split(), where)
        elif name.endswith(".bin"):
            self._batches[name.removesuffix(".bin")] = _binary_batch(content, where)
        else:
            self._batches[name] = _python_batch(_load(content, where), where)

    def __bool__(self) -> bool:
        """Return whether any official file was found."""
        return bool(self._batches) or self._class_names is not None

    def finish(self) -> LabelledImages:
        """Return the images of both splits; PipelineError if a file or a class name is missing."""
        missing = [name for name in _BATCHES if name not in self._batches]
        missing += [_NAMES] if self._class_names is None else []
        if missing:
            raise PipelineError(
                f"{self._path} looks like the official CIFAR-10 but lacks {', '.join(missing)}; "
                "copy or download it again"
            )
        train, test = self._split(_TRAIN), self._split(("test_batch",))
        try:
            return LabelledImages(train, test, self._class_names or ())
        except ValueError as error:
            raise PipelineError(
                f"{self._path} is not CIFAR-10: {error}; copy or download it again"
            ) from error

    def _split(self, names: tuple[str, ...]) -> Split:
        images, labels, files = zip(*(self._batches.pop(name) for name in names), strict=True)
        joined, file_names = np.concatenate(labels), np.array(list(chain(*files)))
        order = np.lexsort((file_names, joined))
        planes = np.concatenate(images)[order]
        return Split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), joined[order])


def _load(content: bytes, where: str) -> dict[Any, Any]:
    loaded = restricted_load(BytesIO(content), where)
    if not isinstance(loaded, dict):
        raise _unexpected(where, f"a {type(loaded).__name__} instead of a dictionary")
    return loaded


def _python_batch(batch: dict[Any, Any], where: str) -> tuple[Pixels, Labels, list[str]]:
    data, labels = batch.get("data"), batch.get("labels")
    if not isinstance(data, np.ndarray) or data.dtype != np.uint8 or data.shape[1:] != (3072,):
        raise _unexpected(where, "no uint8 array 'data' of shape [n, 3072]")
    if not isinstance(labels, list) or any(type(label) is not int for label in labels):
        raise _unexpected(where, "no list 'labels' of integers")
    files = batch.get("filenames", [""] * len(labels))
    if not len(labels) == len(files) == len(data):
        raise _unexpected(
            where, f"{len(labels)} labels and {len(files)} file names for {len(data)} images"
        )
    return data.reshape(_CHANNELS_FIRST), np.array(labels, np.int64), list(map(str, files))


def _binary_batch(content: bytes, where: str) -> tuple[Pixels, Labels, list[str]]:
    if not content or len(content) % _RECORD:
        raise _unexpected(where, f"{len(content)} bytes, which is not a multiple of {_RECORD}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
    images, labels = records[:, 1:].reshape(_CHANNELS_FIRST), records[:, 0].astype(np.int64)
    return images, labels, [""] * len(labels)


def _checked_names(names: object, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or len(names) < 1 or len(set(map(str, names))) < len(names):
        raise _unexpected(where, "no list of different class names")
    return tuple(map(str, names))


def _unexpected(where: str, found: str) -> PipelineError:
    return PipelineError(f"{where} holds {found}; copy or download the archive again")
