"""The sources of images by name; all return `LabelledImages`.

`cifar10` downloads the official archive, `folder` reads a local tree or archive, `digits` returns
the handwritten digits that scikit-learn contains. To add a source, write a function and add it to
`SOURCES`.
"""

import http.client
import logging
import os
import socket
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from models.files.archives import Limits, members
from models.files.errors import PipelineError
from stages.pipeline.dataset import LabelledImages, Split
from stages.sources.cifar_batches import CifarBatches
from stages.sources.class_folders import ClassFolders

log = logging.getLogger(__name__)

PATH_VARIABLE = "PIPELINE_DATA"  # has priority over data.path
CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)
_ACCEPTED = (
    "a folder or .tar.gz, .tar or .zip archive with train/<class>/<image> and "
    "test/<class>/<image>, or cifar-10-python.tar.gz or cifar-10-binary.tar.gz"
)
# Published mean and std of pixel / 255 per channel; other sources have theirs measured.
PUBLISHED_STATISTICS = {"cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))}
# A hundred times CIFAR-10; its largest single file, a batch, has 2**25 bytes.
LIMITS = Limits(members=6_000_000, member_bytes=1 << 28, total_bytes=1 << 34)
_STALL_SECONDS = 30  # a connection without data for this long is given up
_DIGITS_TEST_EVERY = 5


def read_images(source: str, path: str | None) -> LabelledImages:
    """Return the training and test images of the source called `source`.

    `path` is the local data that `folder` reads, and optionally `cifar10`; the environment variable
    PIPELINE_DATA has priority over it. Raises PipelineError for every fault that the user can fix.
    """
    if source not in SOURCES:
        raise PipelineError(
            f"data.source is {source!r}, but must be one of: {', '.join(sorted(SOURCES))}"
        )
    return SOURCES[source](path)


def read_folder(path: str | None) -> LabelledImages:
    """Read a class-folder tree, an archive of one, or an official CIFAR-10 archive."""
    local = _local_path(path)
    if local is None:
        raise PipelineError(
            f"data.path is null, but data.source folder needs it; set data.path or the environment "
            f"variable {PATH_VARIABLE} to {_ACCEPTED}"
        )
    return _read_local(local)


def read_cifar10(path: str | None) -> LabelledImages:
    """Read CIFAR-10 from `path`, or download it once and check its hash."""
    local = _local_path(path)
    images = _read_local(local if local is not None else _download_cifar10())
    if images.class_names != CIFAR10_CLASSES:
        raise PipelineError(
            f"{local} has the classes {', '.join(images.class_names[:10])}, which are not those of "
            f"CIFAR-10; set data.source to folder, or unset data.path and {PATH_VARIABLE}"
        )
    return images


def read_digits(path: str | None) -> LabelledImages:
    """Return scikit-learn's 1,797 digits, 8x8 enlarged to 32x32; `path` is not used.

    Values 0..16 become 0..255 on all three channels. In each class every fifth image, starting with
    the first, is a test image (364 in all). Nothing is random.
    """
    for name, value in ((PATH_VARIABLE, os.environ.get(PATH_VARIABLE)), ("data.path", path)):
        if value:
            log.warning("%s (%s) does not apply: data.source digits reads no file", name, value)
    from sklearn.datasets import load_digits

    digits = load_digits()
    grey = np.rint(digits.images * (255 / 16)).astype(np.uint8)
    images = np.repeat(grey.repeat(4, axis=1).repeat(4, axis=2)[..., np.newaxis], 3, axis=3)
    labels = digits.target.astype(np.int64)
    is_test = np.zeros(len(labels), dtype=bool)
    for label in range(10):
        is_test[np.flatnonzero(labels == label)[::_DIGITS_TEST_EVERY]] = True
    whole = Split(images, labels)
    train, test = whole.take(np.flatnonzero(~is_test)), whole.take(np.flatnonzero(is_test))
    return LabelledImages(train, test, tuple(map(str, range(10))))


SOURCES: dict[str, Callable[[str | None], LabelledImages]] = {
    "cifar10": read_cifar10,
    "digits": read_digits,
    "folder": read_folder,
}


def _local_path(path: str | None) -> Path | None:
    """Return the local path from PIPELINE_DATA or else from `path`; None if neither is set.

    PipelineError if the path does not exist.
    """
    name, value = PATH_VARIABLE, os.environ.get(PATH_VARIABLE)
    if value and path:
        log.warning("data.path (%s) does not apply: %s has priority", path, PATH_VARIABLE)
    if not value:
        name, value = "data.path", path
    if not value:
        return None
    local = os.path.expanduser(value)
    if not os.path.exists(local):  # False, too, for a name that no file can have
        raise PipelineError(
            f"{name} is {value[:300]}, which does not exist; it must name {_ACCEPTED}"
        )
    return Path(local)


def _read_local(path: Path) -> LabelledImages:
    batches, tree = CifarBatches(path), ClassFolders(path, LIMITS.member_bytes)
    log.info("reading %s", path)
    for member in members(path, LIMITS):
        if batches.wants(member):
            batches.add(member)
        else:
            tree.add(member)
    if batches and tree:
        raise PipelineError(
            f"{path} holds both the official CIFAR-10 and a tree of images; name one of the two"
        )
    return batches.finish() if batches else tree.finish()


def _download_cifar10() -> Path:
    """Return the folder of the official batches in the user's cache; download them if necessary.

    torchvision compares the archive and every batch with their published hashes.
    """
    from stages.sources.torchvision_import import import_torchvision

    cache = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "lerp-psa"
    cifar10 = import_torchvision().datasets.CIFAR10
    try:
        with _stall_limit():
            cifar10(root=cache, download=True)
    except (OSError, RuntimeError, EOFError, http.client.HTTPException, tarfile.TarError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise PipelineError(
            f"CIFAR-10 could not be downloaded from {cifar10.url} into {cache} ({reason}); put "
            f"cifar-10-python.tar.gz or an archive of its class folders anywhere and name it in "
            f"data.path or {PATH_VARIABLE}, or run the demo that needs no download with `make demo`"
        ) from error
    return cache / str(cifar10.base_folder)


@contextmanager
def _stall_limit() -> Iterator[None]:
    """Limit how long network connections may be silent; by default there is no limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_STALL_SECONDS)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
