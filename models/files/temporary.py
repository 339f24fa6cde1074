"""Temporary files and folders; those of a killed process are removed by the next one.

Each is locked as long as its process lives. A lock ends with its process, so whatever has the name
of one of them and no lock is a leftover. A name is `.NAME-RANDOM.part.SUFFIX`; .gitignore and
.dvcignore list this pattern.
"""

import fcntl
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_MARK = ".part"
_LEFTOVER = re.compile(r"\.[^/]+-[a-z0-9_]{8}\.part(\.[^./]+)?")
_STEM = 40  # characters of the target's name in a temporary name, which must not become too long


@contextmanager
def temporary_file(beside: Path) -> Iterator[Path]:
    """Yield a new empty file in the folder of `beside`, with its suffix; remove it at the end.

    Leftovers of killed processes in that folder are removed, too. OSError if the folder cannot be
    written.
    """
    folder = beside.parent
    _remove_leftovers(folder)
    while True:
        handle, name = tempfile.mkstemp(_MARK + beside.suffix, _prefix(beside.stem), folder)
        with _locked(handle, Path(name)) as is_ours:
            if not is_ours:
                continue
            try:
                yield Path(name)
            finally:
                Path(name).unlink(missing_ok=True)
        return


@contextmanager
def temporary_folder(name: str, parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder in `parent` (default: TMPDIR) with `name` in its name; remove it later.

    Leftovers of killed processes in `parent` are removed, too. OSError if it cannot be written.
    """
    parent = Path(tempfile.gettempdir()) if parent is None else parent
    _remove_leftovers(parent)
    while True:
        path = Path(tempfile.mkdtemp(_MARK, _prefix(name), parent))
        with _locked(os.open(path, os.O_RDONLY), path) as is_ours:
            if not is_ours:
                continue
            try:
                yield path
            finally:
                shutil.rmtree(path, ignore_errors=True)
        return


def is_temporary(path: str) -> bool:
    """Return whether a path has the name of a temporary file or folder of this module."""
    return _LEFTOVER.fullmatch(os.path.basename(path)) is not None


def _prefix(name: str) -> str:
    return f".{name[:_STEM]}-"


@contextmanager
def _locked(handle: int, path: Path) -> Iterator[bool]:
    """Lock an open file and close it at the end; yield False if `path` was removed before that."""
    try:
        with suppress(OSError):  # a file system without locks: then its leftovers stay
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield path.exists() and os.path.samestat(os.fstat(handle), path.lstat())
    finally:
        os.close(handle)


def _remove_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders of this user that no living process has locked."""
    with suppress(OSError):  # a missing or unreadable folder
        for name in os.listdir(folder):
            if _LEFTOVER.fullmatch(name):
                with suppress(OSError):  # locked, another user's, or removed by another process
                    _remove_unlocked(folder / name)


def _remove_unlocked(path: Path) -> None:
    found = path.lstat()
    if found.st_uid != os.geteuid() or not (stat.S_ISREG(found.st_mode) or path.is_dir()):
        return
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if stat.S_ISDIR(found.st_mode):
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        os.close(handle)
