"""Read the files of a folder, or of an untrusted .zip, .tar or .tar.gz archive.

Nothing is unpacked to disk: 60,000 images do not become 60,000 files, and a name inside an archive
never becomes a path on this machine. One rule holds for both: folders come before what is in them,
hidden names are skipped, links and special files are passed over with one warning that names them
(in a folder, links to what is inside it are followed), and bad names are refused.
"""

import gzip
import io
import logging
import lzma
import os
import re
import reprlib
import stat
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, TypeAlias

from models.files.errors import PipelineError, one_line

log = logging.getLogger(__name__)

_ZIP, _GZIP = b"PK\x03\x04", b"\x1f\x8b"
_HIDDEN = (".", "__MACOSX")  # prefixes of names that are skipped
# Characters that no name may have: control characters, and bytes that are not UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f\ud800-\udfff]")
# What precedes a member of a tar: long names and PAX headers, which tarfile reads into memory.
_NOTES = (
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
)
_LARGEST_NOTE = 1 << 20  # bytes
_SPECIAL = "a link or special file; pack with `tar -h --hard-dereference`"
_LONGEST_NAME = 4096  # characters of a path
_NAMED = 3  # names in the warning about what is passed over
_DAMAGE = (  # exceptions of the zip, tar and gzip readers on damaged or forged files
    *(OSError, EOFError, RuntimeError, ValueError, LookupError, struct.error),
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
# name, "file", "folder" or what else it is, size in bytes, function that opens it
_Found: TypeAlias = tuple[str, str, int, Callable[[], IO[bytes] | None]]


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

    A folder is read in sorted order, an archive in its own order; each folder is yielded once,
    before what is in it, also if the archive has no entry for it. Names that begin with a dot, and
    macOS's __MACOSX, are skipped.

    Raises PipelineError if `path` is neither file nor folder or cannot be read, if a name leads out
    of it or is no plain text, and if an archive is too large, damaged or cut short (the latter is
    reported when the end is reached).
    """
    folders: set[tuple[str, ...]] = {()}
    passed: list[str] = []
    with _readable(str(path)):
        if not (path.is_dir() or path.is_file()):
            raise PipelineError(f"{path} is neither a file nor a folder, so it cannot be read")
        found = _in_folder(path) if path.is_dir() else _in_archive(path, limits)
        for name, kind, size, opener in found:
            _check_name(path, name)
            parts = PurePosixPath(name).parts
            visible = tuple(takewhile(lambda part: not part.startswith(_HIDDEN), parts))
            is_file = bool(parts) and visible == parts and kind != "folder"
            for depth in range(1, len(visible) + 1 - is_file):
                if visible[:depth] not in folders:
                    folders.add(visible[:depth])
                    yield Member(visible[:depth], True, 0, bytes)
            if is_file and kind == "file":
                content = partial(_content, path, limits, name, size, opener)
                yield Member(parts, False, size, content)
            elif is_file and kind != "file":
                passed.append(f"{name!r} ({kind})")
    if passed:
        more = ", ..." if len(passed) > _NAMED else ""
        names = ", ".join(passed[:_NAMED]) + more
        log.warning("%s: skipped %d links or special files: %s", path, len(passed), names)


def _check_name(path: Path, name: str) -> None:
    windows = PureWindowsPath(name)
    bad = windows.anchor or ".." in windows.parts or "\\" in name or _UNPRINTABLE.search(name)
    if bad or len(name) > _LONGEST_NAME:
        raise PipelineError(
            f"{path} holds {reprlib.repr(name)}, which leads out of it or is not a plain path with "
            "slashes in UTF-8; rename it or pack the archive again"
        )


@contextmanager
def _readable(what: str) -> Iterator[None]:
    """Convert the exceptions of a damaged archive or file to a PipelineError about `what`."""
    try:
        yield
    except MemoryError:
        raise PipelineError(f"{what} needs more memory than there is") from None
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.strerror:  # from the system, not from a decoder
            where = f", {error.filename}" if error.filename not in (None, what) else ""
            raise PipelineError(
                f"{what} cannot be read ({error.strerror}{where}); mend its permissions or disk"
            ) from error
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
    root = folder.resolve()
    for place, folders, files in os.walk(root, onerror=_failed, followlinks=True):
        real = Path(place).resolve()
        names = [name for name in sorted(folders) + sorted(files) if not name.startswith(_HIDDEN)]
        folders.clear()
        for name in names:
            path = Path(place, name)
            inner, size, kind = path.relative_to(root).as_posix(), 0, _kind(path, root, real)
            if kind == "folder":
                folders.append(name)
            elif kind == "file":
                size = path.stat().st_size
            yield inner, kind, size, partial(_opened, path)


def _failed(error: OSError) -> None:
    raise error


def _kind(path: Path, root: Path, place: Path) -> str:
    """Return "file", "folder" or what else `path` is; `place` is its folder without links."""
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    if path.is_symlink() and not os.path.exists(path):
        return "a link that leads nowhere"
    if not target.is_relative_to(root):
        return "a link that leads out of the folder"
    if path.is_file():
        return "file"
    if not path.is_dir():
        return "a special file"
    # Follow at most one link to a folder per path: more could form a cycle.
    if target == path or (place == path.parent and not place.is_relative_to(target)):
        return "folder"
    return "a link in a circle"


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
        for count, member in enumerate(found, 1):
            total += member[2]
            if member[2] < 0 or count > limits.members or total > limits.total_bytes:
                raise too_large
            yield member


def _in_zip(file: IO[bytes]) -> Iterator[_Found]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = "folder" if info.is_dir() else "file"
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                kind = _SPECIAL
            yield info.filename, kind, info.file_size, partial(archive.open, info)


def _in_tar(stream: "_Tar") -> Iterator[_Found]:
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
        for member in archive:
            kind = "folder" if member.isdir() else "file" if member.isreg() else _SPECIAL
            yield member.name, kind, member.size, partial(archive.extractfile, member)
            kept: Any = archive  # tarfile keeps all headers in memory
            kept.members.clear()
        while stream.read(1 << 16):  # read up to the checksum: a cut gzip may end between members
            pass
        # tarfile mistakes a damaged header, or the end of a cut file, for the end of the archive
        end = archive.offset + 2 * tarfile.BLOCKSIZE  # two blocks of zeros mark the end
        if stream.last_byte > archive.offset or stream.length < end:
            raise tarfile.ReadError("what follows its last file is not the mark of its end")


class _Header(tarfile.TarInfo):
    """A header of a tar, except those that make tarfile fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """Return the header; tarfile.ReadError for sparse files and very long names or notes."""
        header = super().frombuf(buf, encoding, errors)
        if header.type == tarfile.GNUTYPE_SPARSE:
            raise tarfile.ReadError("it holds a sparse file; pack without --sparse")
        if header.type in _NOTES and header.size > _LARGEST_NOTE:
            raise tarfile.ReadError("it holds a name or note of more than a megabyte")
        return header

    def _proc_gnusparse_10(self, *_: object) -> None:  # tarfile's name
        raise tarfile.ReadError("it holds a sparse file; pack without --sparse")


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
