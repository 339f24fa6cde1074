"""The files below a folder, or inside a .tar, .tar.gz or .zip archive, one after the other.

Archives are read as a stream and never unpacked: 60,000 images make no 60,000 files, and a name
inside an archive never becomes a path on this machine.
"""

import gzip
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

from models.files.errors import PipelineError

_MAX_DEPTH = 5  # top folder / train / class / image, and one more to notice what is too deep
_MAX_BYTES = 1 << 28  # of one file; a CIFAR-10 batch has 2**25
_GZIP, _ZIP = b"\x1f\x8b", b"PK\x03\x04"
_DAMAGE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,  # an encrypted zip
    NotImplementedError,  # a zip with a rare compression
)


@dataclass(frozen=True)
class Entry:
    """A file or folder; `parts` is its path without `.`, `content` is to be called at once."""

    parts: tuple[str, ...]
    is_folder: bool
    content: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path as people write it."""
        return "/".join(self.parts)


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn whatever a damaged archive raises in the body into one sentence about `path`."""
    try:
        yield
    except _DAMAGE as error:
        raise PipelineError(
            f"{path} cannot be read to its end ({error or type(error).__name__}); it is damaged, "
            "cut short or no .tar.gz, .tar or .zip archive, so copy or download it again"
        ) from error


def entries(path: Path) -> Iterator[Entry]:
    """Yield all that is in the folder or archive `path`; folders sorted, archives in their order.

    Hidden files, and names that climb out of the archive (absolute or with `..`), are passed over.
    Read errors come as they are: consume inside `readable(path)`.
    """
    if path.is_dir():
        found = _folder_entries(path)
    else:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == _ZIP:
            found = _zip_entries(path)
        elif magic[:2] == _GZIP:
            found = _gzip_entries(path)
        else:
            found = _tar_file_entries(path)
    for entry in found:
        if entry.parts and not any(part.startswith((".", "__MACOSX")) for part in entry.parts):
            yield entry


def _parts(name: str) -> tuple[str, ...]:
    """Split a name from an archive; a leading slash becomes `..`, which `entries` passes over."""
    parts = name.replace("\\", "/").removesuffix("/").split("/")
    return tuple(part or ".." for part in parts if part != ".")


def _folder_entries(path: Path) -> Iterator[Entry]:
    for place, folders, files in os.walk(path, followlinks=True):
        parts = Path(place).relative_to(path).parts
        folders.sort()
        yield from (Entry((*parts, name), True, bytes) for name in folders)
        for name in sorted(files):
            yield Entry((*parts, name), False, Path(place, name).read_bytes)
        if len(parts) + 1 >= _MAX_DEPTH:
            folders.clear()  # links may lead in circles


def _gzip_entries(path: Path) -> Iterator[Entry]:
    with gzip.open(path) as stream:
        yield from _tar_entries(path, stream)
        while stream.read(1 << 20):  # on to the checksum: a cut file may end between two members
            pass


def _tar_file_entries(path: Path) -> Iterator[Entry]:
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(0, end - 1024))
        if end < 1024 or any(file.read()):  # tarfile takes a missing end mark for the end
            raise tarfile.ReadError("no end-of-archive mark")
        file.seek(0)
        yield from _tar_entries(path, file)


def _tar_entries(path: Path, stream: BinaryIO | gzip.GzipFile) -> Iterator[Entry]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            parts = _parts(member.name)
            if member.issym() or member.islnk():
                raise PipelineError(
                    f"{path} holds {member.name} as a link, which a stream cannot follow; "
                    "pack it with `tar --dereference --hard-dereference`"
                )
            if member.isdir():
                yield Entry(parts, True, bytes)
            elif member.isfile():
                yield Entry(parts, False, partial(_member, path, archive, member))


def _member(path: Path, archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    _check_size(path, member.name, member.size)
    return file.read() if file else b""


def _zip_entries(path: Path) -> Iterator[Entry]:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            yield Entry(
                _parts(info.filename),
                info.is_dir(),
                partial(_zip_member, path, archive, info),
            )


def _zip_member(path: Path, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    _check_size(path, info.filename, info.file_size)
    return archive.read(info)


def _check_size(path: Path, name: str, size: int) -> None:
    if size > _MAX_BYTES:
        raise PipelineError(
            f"{path} holds {name} of {size} bytes; an image or a batch has at most {_MAX_BYTES}, "
            "so this is not the archive it should be"
        )
