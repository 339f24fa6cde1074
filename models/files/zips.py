"""Read zip files of tensors and arrays (.pt, .npz) and compare every checksum.

torch does not compare the CRC-32 of a zip's members, and numpy only if it reads a member to its
end. These readers always do, so a changed byte is either an error or has no effect.
"""

import io
import math
import struct
import zipfile
import zlib
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from models.files.errors import PipelineError, one_line

ZIP = b"PK\x03\x04"
_DAMAGE = (  # exceptions of zipfile and numpy on damaged or forged files
    *(OSError, EOFError, RuntimeError, ValueError, TypeError, LookupError, OverflowError),
    *(zipfile.BadZipFile, zlib.error, struct.error),
)


class DamagedError(Exception):
    """A zip, or an array in it, that is not what was written; the message is a clause."""


def checked_zip(data: bytes) -> bytes:
    """Return a new zip of the members of `data`, whose names and CRC-32 are checked.

    Other readers get the new one, because a byte of the directory that zipfile ignores may matter
    to them: torch takes a member that is marked as a folder for empty, and returns what happened to
    be in memory. Raises DamagedError unless `data` is a zip of uncompressed members.
    """
    target = io.BytesIO()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(target, "w") as new:
            _check_members(archive)
            for name in archive.namelist():
                new.writestr(zipfile.ZipInfo(name), archive.read(name))
    except _DAMAGE as error:
        raise DamagedError(one_line(error) or type(error).__name__) from error
    return target.getvalue()


def read_npz(path: Path | str, names: tuple[str, ...], mend: str) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays `names` of an .npz file, as numpy.savez writes it.

    Raises PipelineError if the file is missing, damaged or lacks an array, or if an array holds
    Python objects; the sentence ends in `mend`.
    """
    try:
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            _check_members(archive)
            stored = archive.namelist()
            missing = [name for name in names if f"{name}.npy" not in stored]
            if missing:
                raise PipelineError(f"{path} has no array {missing[0]!r}; {mend}.")
            return {name: _array(archive, f"{name}.npy") for name in names}
    except FileNotFoundError:
        raise PipelineError(f"{path} is missing; {mend}.") from None
    except (DamagedError, *_DAMAGE) as error:
        reason = one_line(error) or type(error).__name__
        raise PipelineError(f"{path} is damaged or not a .npz file ({reason}); {mend}.") from error


def _check_members(archive: zipfile.ZipFile) -> None:
    """Raise DamagedError for compressed members (they could unpack to any size) and doubles."""
    names = archive.namelist()
    if len(set(names)) != len(names):
        raise DamagedError("two of its members have one name")
    if any(info.compress_type != zipfile.ZIP_STORED for info in archive.infolist()):
        raise DamagedError("its members are compressed")


def _array(archive: zipfile.ZipFile, member: str) -> npt.NDArray[Any]:
    """Read one array to the end of its member, where zipfile compares the checksum."""
    size = archive.getinfo(member).file_size
    with archive.open(member) as stream:
        header = io.BytesIO(stream.read(min(size, 1 << 12)))
        shape, _, dtype = _header(header)
        if dtype.hasobject or not dtype.itemsize:
            raise DamagedError(f"{member} is of the type {dtype}")
        if header.tell() + math.prod(shape) * dtype.itemsize != size:
            raise DamagedError(f"{member} does not have the size that its header says")
    with archive.open(member) as whole:
        array = np.lib.format.read_array(whole, allow_pickle=False)
        if whole.read(1):  # reading past the array compares the checksum
            raise DamagedError(f"{member} does not end after its array")
    return np.asarray(array)


def _header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    try:
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            return np.lib.format.read_array_header_1_0(file)
        return np.lib.format.read_array_header_2_0(file)
    except Exception as error:  # numpy parses the header as Python and raises what its parsers do
        raise DamagedError(f"an array has no header ({one_line(error)[:80]})") from error
