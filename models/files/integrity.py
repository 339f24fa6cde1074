"""Know a file's bytes: a digest at its end, or the hash that DVC recorded for it.

A format without a checksum of its own (a pickle) is written with a seal: a mark and the SHA-256 of
everything before it. Files that were written without one are compared with `dvc.lock`, if it lists
them. Formats with checksums are read by `models.files.zips`.
"""

import hashlib
import os
from pathlib import Path

from models.files.errors import PipelineError, restore

_MARK = b"\nsha256 "
_SEAL = len(_MARK) + 64  # bytes
LOCK = Path("dvc.lock")


def sealed(content: bytes) -> bytes:
    """Return the content with a seal: 8 bytes of mark, 64 hexadecimal digits of SHA-256."""
    return content + _MARK + hashlib.sha256(content).hexdigest().encode()


def read_sealed(path: Path | str) -> bytes:
    """Return a file's content without its seal.

    Raises PipelineError if the file cannot be read, or if its bytes are not those that were
    written: by its seal, or without a seal by `dvc.lock` in the working directory. A file that has
    no seal and is not listed there is returned as it is.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise PipelineError(
            f"{path} cannot be read ({error.strerror}); run `dvc pull` or `dvc repro` to make it."
        ) from error
    content, seal = data[:-_SEAL], data[-_SEAL:]
    if not seal.startswith(_MARK):
        check_recorded(path, data)
        return data
    if sealed(content) != data:
        raise PipelineError(
            f"{path} is damaged (its digest is not that of its content); {restore(path)}."
        )
    return content


def check_recorded(path: Path | str, data: bytes) -> None:
    """Raise PipelineError if `dvc.lock` lists the file with another MD5 than that of `data`."""
    recorded = _recorded_md5(Path(path))
    if recorded is not None and hashlib.md5(data, usedforsecurity=False).hexdigest() != recorded:
        raise PipelineError(
            f"{path} is not the file that dvc.lock lists: it is damaged, or of another version; "
            f"{restore(path)}."
        )


def _recorded_md5(path: Path) -> str | None:
    """Return the MD5 of a file that is an output in `dvc.lock`; None if it is not listed there.

    Only the stage that writes a file has its current hash: entries under `deps` are those of the
    last runs of other stages. The lines are searched as text, because parsing the whole lock takes
    a second.
    """
    if path.is_absolute():
        path = Path(os.path.relpath(path))
    try:
        lines = LOCK.read_text().splitlines()
    except (OSError, ValueError):
        return None
    section, entry = "", ""
    for line in lines:
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        if line.startswith("    ") and line[4:5].isalpha():
            section = line.strip()
        elif key == "path":
            entry = value
        elif key == "md5" and (section, entry) == ("outs:", path.as_posix()):
            return value
    return None


def set_aside(path: Path) -> str:
    """Rename a damaged file to `NAME.damaged`, over an earlier one; return words about its fate."""
    kept = path.with_name(f"{path.name}.damaged")
    try:
        os.replace(path, kept)
    except OSError as error:
        return f"it cannot be renamed ({error.strerror})"
    return f"it is kept as {kept}"
