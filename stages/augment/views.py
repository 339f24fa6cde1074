"""Stored views: logits of a slow network on randomly changed copies of all training images.

A view is the whole training set, changed once. Its images are computed again from the seed when
they are needed (a quarter of a second). Only the logits are stored, so no image leaves the data
set.
"""

import hashlib
import io
import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Generator, Tensor

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError
from models.files.zips import read_npz
from stages.augment.augment import augment
from stages.augment.seeds import generator_of
from stages.pipeline.params import Augment

_CHUNK = 5000  # images that are changed in one call
_SPARE = 0.125  # part of a GPU's memory that stays free, because others may train on it, too


def view_images(images: Tensor, how: Augment, seed: int, view: int) -> Tensor:
    """Return a view of pixels uint8 [n, 3, 32, 32]: crop and RandAugment, without the flip.

    Flips are left out: training flips at random in every epoch, so each stored view serves as two
    at no cost.
    """
    generator: Generator = generator_of(seed, "view", view)
    unflipped = replace(how, flip=False)
    parts = [augment(part, unflipped, generator) for part in images.split(_CHUNK)]
    return torch.cat(parts)


def checksum(images: Tensor) -> int:
    """Return the CRC-32 of the pixels."""
    return zlib.crc32(images.contiguous().numpy().data)


@dataclass(frozen=True)
class Views:
    """Logits float16 [views, n, classes] of all views, and how the views are computed.

    `checksums` uint32 [views] are the CRC-32 of each view's pixels. `source` is the file that the
    logits come from, for error messages. Other shapes and types, and logits that are no
    numbers, raise ValueError.
    """

    logits: npt.NDArray[np.float16]
    checksums: npt.NDArray[np.uint32]
    how: Augment
    seed: int
    source: Path | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for other shapes and types."""
        for name, array, dtype, axes in (
            ("logits", self.logits, np.float16, 3),
            ("checksums", self.checksums, np.uint32, 1),
        ):
            if array.dtype != dtype or array.ndim != axes:
                raise ValueError(f"{name} must be {dtype.__name__} of {axes} axes")
        if not 1 <= len(self.logits) == len(self.checksums):
            raise ValueError("there must be a view, and a checksum for each")
        if not np.isfinite(self.logits).all():
            raise ValueError("logits must be finite numbers")

    def __len__(self) -> int:
        """Return the number of views."""
        return len(self.logits)

    def view(self, images: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the images uint8 [n, 3, 32, 32] and logits float32 [n, classes] for an epoch.

        PipelineError if the images are not those from which the logits were computed.
        """
        index = epoch % len(self)
        changed = view_images(images, self.how, self.seed, index)
        if checksum(changed) != self.checksums[index]:
            raise PipelineError(
                f"{self.source or 'The stored views'}: the logits are of other images than those "
                "that this machine draws from the same seed; delete the file, and the next "
                "training makes it again."
            )
        return changed, torch.from_numpy(self.logits[index].astype(np.float32))

    def save(self, path: Path | str) -> None:
        """Write logits and checksums to an npz file."""
        with replace_on_success(path) as temporary:
            temporary.write_bytes(self._content())

    def digest(self) -> str:
        """Return the SHA-256 of the file that `save` writes, in hexadecimal."""
        return hashlib.sha256(self._content()).hexdigest()

    def _content(self) -> bytes:
        file = io.BytesIO()
        arrays: dict[str, Any] = {"logits": self.logits, "checksums": self.checksums}
        np.savez(file, **arrays)
        return file.getvalue()


class ViewCache:
    """The views of a run: kept on a GPU that has room for them, else computed every time."""

    def __init__(self, views: Views, device: torch.device) -> None:
        self.views, self.device = views, device
        self.kept: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def how(self) -> Augment:
        """The random changes of the images."""
        return self.views.how

    def view(self, images: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Return the result of `Views.view`, on the device if it is kept there."""
        index = epoch % len(self.views)
        if index in self.kept:
            return self.kept[index]
        view = self.views.view(images, index)
        if self._has_room(view[0].nbytes):
            self.kept[index] = view = (view[0].to(self.device), view[1].to(self.device))
        return view

    def _has_room(self, size: int) -> bool:
        if self.device.type != "cuda":
            return False
        free, total = torch.cuda.mem_get_info(self.device)
        return free > size + _SPARE * total


def load_views(path: Path | str, how: Augment, seed: int) -> Views:
    """Read a file that `Views.save` wrote; PipelineError if it is not one."""
    mend = "delete it, and the next training makes it again"
    arrays = read_npz(path, ("logits", "checksums"), mend)
    try:
        return Views(arrays["logits"], arrays["checksums"], how, seed, Path(path))
    except ValueError as error:
        raise PipelineError(f"{path} is not a file of stored views ({error}); {mend}.") from error
