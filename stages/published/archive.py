"""One file out of the authors' archive of checkpoints, or out of a folder like it.

Nothing is unpacked: a name inside an archive never becomes a path on this machine. An archive with
links, with names that lead out of it, or larger than any archive of checkpoints is refused whole.
"""

import gzip
import io
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from models.files.errors import PipelineError

MAX_MEMBERS = 10_000  # the authors' archive holds some 20
MAX_FILE_BYTES = 1 << 25  # of one file; the teacher has 1.3 MB
MAX_BYTES = 1 << 28  # of all together, unpacked
_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_DAMAGE = (  # what the readers of zip, tar and gzip raise over damaged or forged files
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, struct.error),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)


def read_checkpoint(source: Path, name: str) -> bytes:
    """Return the file of a folder or of a .zip, .tar.gz or .tar archive whose path ends in `name`.

    PipelineError where the source is damaged or not to be trusted, or does not hold it just once.
    """
    files = _folder_files(source) if source.is_dir() else _archive_files(source)
    found, others = [], []
    with _readable(source):
        for path, size, file in files:
            if f"/{path}".endswith(f"/{name}"):
                found.append(_content(source, path, size, file))
            elif path.endswith(".bin") and path.isprintable():
                others.append(path)
    if len(found) != 1:
        what = f"{len(found)} files {name}" if found else f"no {name}"
        raise PipelineError(
            f"{source} holds {what}, but must hold one; its other .bin files are: "
            f"{', '.join(sorted(others)[:20]) or 'none'}."
        )
    return found[0]


def check_archive(source: Path) -> None:
    """Read an archive to its end; PipelineError where it is damaged or not to be trusted."""
    with _readable(source):
        for path, size, file in _archive_files(source):
            _content(source, path, size, file)


@contextmanager
def _readable(source: Path) -> Iterator[None]:
    try:
        yield
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise PipelineError(
            f"{source} cannot be read to its end ({reason}); it is damaged, cut short or no .zip, "
            ".tar.gz or .tar archive."
        ) from error


_File = tuple[str, int, BinaryIO]  # path, size, content


def _folder_files(folder: Path) -> Iterator[_File]:
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if name.endswith(".bin"):
                with path.open("rb") as file:
                    yield path.relative_to(folder).as_posix(), path.stat().st_size, file


def _archive_files(source: Path) -> Iterator[_File]:
    with source.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.lstrip()[:1] == b"<":
            raise PipelineError(
                f"{source} is a web page, not an archive: what the browser saved is the page in "
                "front of the download; click through it and save the archive itself."
            )
        files = _zip_files(source) if start.startswith(_ZIP) else _tar_files(source, file, start)
        total = 0
        for count, (path, size, content) in enumerate(files):
            total += size
            if count >= MAX_MEMBERS or total > MAX_BYTES:
                raise PipelineError(
                    f"{source} holds more than {MAX_MEMBERS} files or {MAX_BYTES} bytes, so it is "
                    "no archive of these checkpoints."
                )
            yield path, size, content


def _zip_files(source: Path) -> Iterator[_File]:
    with zipfile.ZipFile(source) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            _check_member(source, info.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            if not info.is_dir():
                with archive.open(info) as file:
                    yield info.filename, info.file_size, file  # type: ignore[misc]


def _tar_files(source: Path, file: BinaryIO, start: bytes) -> Iterator[_File]:
    limited = _Limited(source, gzip.GzipFile(fileobj=file) if start.startswith(_GZIP) else file)
    with tarfile.open(fileobj=limited, mode="r|") as archive:
        for member in archive:
            _check_member(source, member.name, member.isdir() or member.isreg())
            content = archive.extractfile(member)
            if content is not None:
                yield member.name, member.size, content  # type: ignore[misc]
    while limited.read(1 << 16):  # on to the checksum: a cut file may end between two members
        pass


class _Limited(io.RawIOBase):
    """A stream that refuses to give more than an archive of checkpoints can hold."""

    def __init__(self, source: Path, stream: BinaryIO | gzip.GzipFile) -> None:
        self._source, self._stream, self._left = source, stream, MAX_BYTES

    def read(self, size: int = -1) -> bytes:
        """Read like any stream."""
        content = self._stream.read(min(size, self._left + 1) if size >= 0 else self._left + 1)
        self._left -= len(content)
        if self._left < 0:
            raise PipelineError(
                f"{self._source} unpacks to more than {MAX_BYTES} bytes, so it is no archive of "
                "these checkpoints."
            )
        return content


def _check_member(source: Path, name: str, plain: bool) -> None:
    parts = name.replace("\\", "/").split("/")
    if not plain:
        raise PipelineError(f"{source} holds {name!r}, which is neither a file nor a folder.")
    if name.startswith(("/", "\\")) or ".." in parts or ":" in parts[0]:
        raise PipelineError(f"{source} holds {name!r}, a path that leads out of the archive.")


def _content(source: Path, path: str, size: int, file: BinaryIO) -> bytes:
    content = file.read(MAX_FILE_BYTES + 1) if size <= MAX_FILE_BYTES else b""
    if max(size, len(content)) > MAX_FILE_BYTES:
        raise PipelineError(
            f"{source} holds {path!r} of {size} bytes; a checkpoint has at most {MAX_FILE_BYTES}."
        )
    return content
