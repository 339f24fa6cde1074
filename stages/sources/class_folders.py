"""Read a tree `train/<class>/<image>`, `test/<class>/<image>` into 32x32 RGB images."""

import logging
from collections import Counter
from itertools import product
from pathlib import Path, PurePosixPath

import numpy as np

from models.files.archives import Member
from models.files.errors import PipelineError
from stages.pipeline.dataset import LabelledImages, Split
from stages.sources.decoding import Pixels, UnfitImageError, decode, image_suffixes

log = logging.getLogger(__name__)

_SPLITS = ("train", "test")
_LAYOUT = "train/<class>/<image> and test/<class>/<image>, at most one folder further down"


class ClassFolders:
    """Collects the files of one tree in any order; `finish` checks the tree and sorts the images.

    Classes are the sorted folder names; images are sorted by class, then by file name. Files that
    are not images, and everything outside `train` and `test`, are passed over, and one warning
    counts them.
    """

    def __init__(self, path: Path, member_bytes: int) -> None:
        self._path, self._member_bytes = path, member_bytes
        self._classes: dict[tuple[str, ...], dict[str, Pixels]] = {}  # by path, then by file name
        self._seen: set[str] = set()  # top-level folders, for the error if train or test is missing
        self._passed: Counter[str] = Counter()  # files passed over, by kind
        self._resized = self._cropped = 0

    def add(self, member: Member) -> None:
        """Add a file or folder; PipelineError if an image is damaged or in the wrong place."""
        suffix = PurePosixPath(member.name).suffix.lower()
        if member.is_folder:
            self._seen.add(member.parts[0])
            self._classes.setdefault(member.parts, {})
        elif set(_SPLITS).isdisjoint(member.parts[:2]):
            self._passed["outside train and test"] += 1
        elif not self._add_image(member, suffix in image_suffixes()):
            self._passed[suffix or "without a suffix"] += 1

    def __bool__(self) -> bool:
        """Return whether any image was found."""
        return any(self._classes.values())

    def finish(self) -> LabelledImages:
        """Return the images of both splits; PipelineError unless there is one complete tree."""
        tops = {folder[:-2] for folder, images in self._classes.items() if images}
        if len(tops) > 1:
            found = " and ".join(sorted("/".join((*top, "train|test")) for top in tops))
            raise PipelineError(f"{self._path} holds more than one tree of images: {found}")
        top = next(iter(tops), ())  # the path above train and test: () or (folder,)
        classes = self._checked_classes(top)
        self._warn()
        train, test = (self._split((*top, split), classes) for split in _SPLITS)
        return LabelledImages(train, test, tuple(classes))

    def _add_image(self, member: Member, named: bool) -> bool:
        """Add an image of a class; return whether the file is one by its name or its content."""
        *folder, name = member.parts
        if not any(
            split in _SPLITS and len(member.parts) == depth + 3
            for depth, split in enumerate(member.parts[:2])
        ):
            if not named:
                return False
            raise PipelineError(
                f"{self._path} holds the image {member.name}, but expected is {_LAYOUT}"
            )
        if not named and member.size > self._member_bytes:
            return False
        try:
            image = decode(member.content(), named)
        except UnfitImageError as error:
            raise PipelineError(
                f"{self._path} holds {member.name}, which {error}; mend or remove it"
            ) from error
        if image is None:
            return False
        images = self._classes.setdefault(tuple(folder), {})
        if name in images:
            raise PipelineError(f"{self._path} holds {member.name} twice; keep one of them")
        images[name] = image.pixels
        self._resized += image.resized
        self._cropped += image.cropped
        return True

    def _warn(self) -> None:
        """Say which files were passed over, and what was done to images of another size."""
        if self._passed:
            kinds = ", ".join(f"{count} {kind}" for kind, count in self._passed.most_common(8))
            log.warning(
                "%s: skipped %d files that are not images of train and test: %s%s",
                self._path,
                self._passed.total(),
                kinds,
                ", ..." if len(self._passed) > 8 else "",
            )
        if self._resized:
            log.warning(
                "%d of %d images in %s are not 32x32 pixels; they were resized (bilinear), after "
                "%d that are not square were cropped to the square in their middle",
                self._resized,
                sum(map(len, self._classes.values())),
                self._path,
                self._cropped,
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
