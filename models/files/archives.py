"""Read the files of a folder, or of an untrusted .zip, .tar or .tar.gz archive.

Nothing is unpacked to disk: 60,000 images do not become 60,000 files, and a name inside an archive
never becomes a path on this machine. An archive that breaks a rule is refused with one sentence.
"""

import gzip
import io
import logging
import lzma
import os
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, TypeAlias

from models.files.errors import PipelineError, one_line

log = logging.getLogger(__name__)

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_HIDDEN = (".", "__MACOSX")  # prefixes of names that are skipped
_DAMAGE = (  # exceptions of the zip, tar and gzip readers on damaged or forged files
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, struct.error),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
# name, whether it is a folder (None: neither file nor folder), size in bytes, function that opens
# it
_Found: TypeAlias = tuple[str, bool | None, int, Callable[[], IO[bytes] | None]]


@dataclass(frozen=True)
class Limits:
    """The limits of an archive; for a folder only `member_bytes` applies."""

    members: int  # files and folders
    member_bytes: int  # size of one file that is read
    total_bytes: int  # unpacked size of all files


@dataclass(frozen=True)
class Member:
    """A file or folder. `content()` reads the file; call it before the next member is requested."""

    parts: tuple[str, ...]  # components of the path, relative to the folder or archive
    is_folder: bool
    size: int  # bytes
    content: Callable[[], bytes]

    @property
    def name(self) -> str:
        """The path with slashes."""
        return "/".join(self.parts)


def members(path: Path, limits: Limits) -> Iterator[Member]:
    """Yield the files and folders in the folder or archive `path`.

    A folder is read in sorted order, an archive in its own order. Names that begin with a dot, and
    macOS's __MACOSX, are skipped. In a folder, links to files and folders inside it are followed;
    other links and special files are skipped with one warning.

    Raises PipelineError if an archive is too large, damaged or cut short (the latter is reported
    when the end is reached), or contains links, devices or names that lead out of it.
    """
    with _readable(str(path)):
        found = _in_folder(path) if path.is_dir() else _in_archive(path, limits)
        for name, is_folder, size, opener in found:
            parts = PurePosixPath(name).parts
            if parts and not any(part.startswith(_HIDDEN) for part in parts):
                content = partial(_content, path, limits, name, size, opener)
                yield Member(parts, bool(is_folder), size, content)


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Convert the exceptions of a damaged archive to a PipelineError about `what`."""
    try:
        yield
    except _DAMAGE as error:
        raise PipelineError(
            f"{what} cannot be read to its end ({one_line(error) or type(error).__name__}); it is "
            "damaged, cut short or no .tar.gz, .tar or .zip archive, so copy or download it again"
        ) from error


def _content(
    path: Path, limits: Limits, name: str, size: int, opener: Callable[[], IO[bytes] | None]
) -> bytes:
    if size > limits.member_bytes:
        raise PipelineError(
            f"{path} holds {name!r} of {size} bytes, but a file in it has at most "
            f"{limits.member_bytes}, so it is not what it should be; copy or download it again"
        )
    with _readable(f"{path}: {name!r}"), opener() or io.BytesIO() as file:
        content = file.read(size + 1)  # bounded, because the size in a zip may be forged
        if len(content) != size:
            raise EOFError(f"it does not have the {size} bytes it should have")
    return content


def _in_folder(folder: Path) -> Iterator[_Found]:
    root, skipped = folder.resolve(), 0
    for place, folders, files in os.walk(root, followlinks=True):
        real = Path(place).resolve()
        names = [name for name in sorted(folders) + sorted(files) if not name.startswith(_HIDDEN)]
        folders.clear()
        for name in names:
            path = Path(place, name)
            target = Path(os.path.realpath(path)) if path.is_symlink() else path
            inside, inner = target.is_relative_to(root), path.relative_to(root).as_posix()
            # Follow at most one link to a folder per path: more could form a cycle.
            straight = target == path or (real == Path(place) and not real.is_relative_to(target))
            if inside and path.is_file():
                yield inner, False, path.stat().st_size, partial(_opened, path)
            elif inside and straight and path.is_dir():
                folders.append(name)
                yield inner, True, 0, io.BytesIO
            else:
                skipped += 1
    if skipped:
        what = "links or special files: they lead out of it, in circles or to no file"
        log.warning("%s: passed over are %d %s", folder, skipped, what)


def _opened(file: Path) -> IO[bytes]:
    return file.open("rb")


def _in_archive(path: Path, limits: Limits) -> Iterator[_Found]:
    too_large = PipelineError(
        f"{path} holds more than {limits.members} files or unpacks to more than "
        f"{limits.total_bytes} bytes, so it is not what it should be; copy or download it again"
    )
    with path.open("rb") as file:
        start = file.read(512)
        file.seek(0)
        if start.lstrip().startswith(b"<"):
            raise PipelineError(
                f"{path} is a web page, not an archive: what the browser saved is the page in "
                "front of the download; click through it and save the archive itself"
            )
        tar = gzip.GzipFile(fileobj=file) if start.startswith(_GZIP) else file
        found = _in_zip(file) if start.startswith(_ZIP) else _in_tar(_Tar(tar, limits, too_large))
        total = 0
        for count, (name, is_folder, size, opener) in enumerate(found, 1):
            total += size
            if count > limits.members or total > limits.total_bytes:
                raise too_large
            windows = PureWindowsPath(name)
            if is_folder is None:
                fault = (
                    "is neither a file nor a folder; pack links with `tar -h --hard-dereference`"
                )
            elif windows.anchor or ".." in windows.parts or "\\" in name:
                fault = "leads out of the archive or is no plain path with slashes; pack it again"
            else:
                yield name, is_folder, size, opener
                continue
            raise PipelineError(f"{path} holds {name!r}, which {fault}")


def _in_zip(file: IO[bytes]) -> Iterator[_Found]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            plain = stat.S_IFMT(info.external_attr >> 16) in (0, stat.S_IFREG, stat.S_IFDIR)
            is_folder = info.is_dir() if plain else None
            yield info.filename, is_folder, info.file_size, partial(archive.open, info)


def _in_tar(stream: "_Tar") -> Iterator[_Found]:
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        for member in archive:
            is_folder = member.isdir() if member.isdir() or member.isreg() else None
            yield member.name, is_folder, member.size, partial(archive.extractfile, member)
        while stream.read(1 << 16):  # read up to the checksum: a cut gzip may end between members
            pass
        # tarfile mistakes a damaged header, or the end of a cut file, for the end of the archive
        end = archive.offset + 2 * tarfile.BLOCKSIZE  # two blocks of zeros mark the end
        if stream.last_byte > archive.offset or stream.length < end:
            raise tarfile.ReadError("what follows its last file is not the mark of its end")


class _Tar(io.RawIOBase):
    """A tar stream with a size limit. `last_byte` is the position after the last non-zero byte."""

    def __init__(
        self, stream: IO[bytes] | gzip.GzipFile, limits: Limits, too_large: PipelineError
    ) -> None:
        self._stream, self._limit, self._too_large = stream, limits.total_bytes, too_large
        self.length = self.last_byte = 0

    def read(self, size: int = -1) -> bytes:
        """Read up to `size` bytes; raise `too_large` if the stream exceeds its limit."""
        content = self._stream.read(size)
        used = len(content.rstrip(b"\0"))
        if used:
            self.last_byte = self.length + used
        self.length += len(content)
        if self.length > self._limit:
            raise self._too_large
        return content
