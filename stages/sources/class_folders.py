"""Read a tree `train/<class>/<image>`, `test/<class>/<image>` into 32x32 RGB images."""

import logging
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from models.files.archives import Member
from models.files.errors import PipelineError
from stages.pipeline.dataset import IMAGE_SHAPE, LabelledImages, Split

log = logging.getLogger(__name__)

_SPLITS = ("train", "test")
_LAYOUT = "train/<class>/<image> and test/<class>/<image>, at most one folder further down"
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".ppm", ".tif", ".tiff", ".webp")
Pixels: TypeAlias = npt.NDArray[np.uint8]


class ClassFolders:
    """Collects the files of one tree in any order; `finish` checks the tree and sorts the images.

    Classes are the sorted folder names; images are sorted by class, then by file name. Files that
    are not images, and everything outside `train` and `test`, are ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._classes: dict[tuple[str, ...], dict[str, Pixels]] = {}  # by path, then by file name
        self._seen: set[str] = set()  # top-level folders, for the error if train or test is missing
        self._resized = 0

    def add(self, member: Member) -> None:
        """Add a file or folder; PipelineError if an image is damaged or in the wrong place."""
        if member.is_folder:
            self._seen.add(member.parts[0])
            self._classes.setdefault(member.parts, {})
        elif member.name.lower().endswith(_SUFFIXES) and self._in_tree(member):
            *folder, name = member.parts
            image, resized = _decode(member, self._path)
            self._classes.setdefault(tuple(folder), {})[name] = image
            self._resized += resized

    def finish(self) -> LabelledImages:
        """Return the images of both splits; PipelineError unless there is one complete tree."""
        tops = {folder[:-2] for folder, images in self._classes.items() if images}
        if len(tops) > 1:
            found = " and ".join(sorted("/".join((*top, "train|test")) for top in tops))
            raise PipelineError(f"{self._path} holds more than one tree of images: {found}")
        top = next(iter(tops), ())  # the path above train and test: () or (folder,)
        classes = self._checked_classes(top)
        if self._resized:
            log.warning(
                "%d of %d images in %s are not 32x32 pixels; they were resized (bilinear)",
                self._resized,
                sum(map(len, self._classes.values())),
                self._path,
            )
        train, test = (self._split((*top, split), classes) for split in _SPLITS)
        return LabelledImages(train, test, tuple(classes))

    def _in_tree(self, member: Member) -> bool:
        """Return whether an image belongs to a class.

        PipelineError for an image below train or test that is not in a class folder.
        """
        for depth, split in enumerate(member.parts[:2]):
            if split in _SPLITS and len(member.parts) == depth + 3:
                return True
        if set(_SPLITS).isdisjoint(member.parts[:2]):
            return False
        raise PipelineError(
            f"{self._path} holds the image {member.name}, but expected is {_LAYOUT}"
        )

    def _checked_classes(self, top: tuple[str, ...]) -> list[str]:
        """Return the sorted class names.

        PipelineError if train and test differ or a class has no image.
        """
        train, test = (
            {folder[-1] for folder in self._classes if folder[:-1] == (*top, split)}
            for split in _SPLITS
        )
        for split, classes in zip(_SPLITS, (train, test), strict=True):
            if not classes:
                seen = f" (found: {_few(self._seen)})" if self._seen else ""
                raise PipelineError(
                    f"{self._path} has no folder {split} with class folders in it{seen}; "
                    f"expected is {_LAYOUT}"
                )
        sides = {"train": train - test, "test": test - train}
        alone = [f"only {split} has {_few(names)}" for split, names in sides.items() if names]
        if alone:
            raise PipelineError(
                f"{self._path} has different classes in train and test: {', '.join(alone)}; "
                "both need the same class folders"
            )
        for split, label in product(_SPLITS, sorted(train)):
            if not self._classes[*top, split, label]:
                raise PipelineError(
                    f"{self._path} has no image in the class folder {split}/{label}; "
                    "add images or remove the folder from train and test"
                )
        return sorted(train)

    def _split(self, parent: tuple[str, ...], classes: list[str]) -> Split:
        folders = [self._classes.pop((*parent, label)) for label in classes]
        images = np.stack([folder[name] for folder in folders for name in sorted(folder)])
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), list(map(len, folders)))
        return Split(images, labels)


def _few(names: set[str]) -> str:
    """Return at most five of the names, as text."""
    return ", ".join(sorted(names)[:5]) + (", ..." if len(names) > 5 else "")


def _decode(member: Member, path: Path) -> tuple[Pixels, bool]:
    """Return the image as uint8 [32, 32, 3], and whether it was resized.

    Grey and palette images become RGB, 16-bit grey is scaled to 8 bits, transparency is dropped.
    """
    from PIL import Image

    content = member.content()
    try:
        image: Image.Image = Image.open(BytesIO(content))
        if image.mode.startswith("I"):  # convert() would clip 16-bit grey at 255
            image = Image.fromarray((np.asarray(image, np.uint32) // 257).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")  # the palette may have transparent entries
        image = image.convert("RGB")
    except Exception as error:  # decoders raise nearly every built-in exception on damaged files
        raise PipelineError(
            f"{path} holds {member.name}, which cannot be decoded as an image "
            f"({type(error).__name__}); mend or remove it"
        ) from error
    resized = image.size != IMAGE_SHAPE[:2]
    if resized:
        image = image.resize(IMAGE_SHAPE[:2], Image.Resampling.BILINEAR)
    return np.array(image), resized
