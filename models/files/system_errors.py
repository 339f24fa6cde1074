"""Errors of the operating system, of memory and of decoders, in one sentence for the user."""

import csv
import errno
import json
import lzma
import os
import zipfile
import zlib

from models.files.errors import one_line

# What was wrong with a file, and how to mend it, by error number
_CAUSES = {
    errno.ENOSPC: "cannot be written: the disk is full; free some space and run the command again",
    errno.EDQUOT: "cannot be written: the disk quota is used up; free some space and run again",
    errno.EFBIG: "cannot be written: it is larger than this file system or `ulimit -f` allows",
    errno.EROFS: "cannot be written: its file system is read-only; make it writable, or use "
    "a clone elsewhere",
    errno.EACCES: "cannot be used: permission denied; give this user the permission (`ls -ld` "
    "shows who has it)",
    errno.EPERM: "cannot be used: the operation is not permitted for this user",
    errno.ENOENT: "does not exist; run `dvc pull` or `dvc repro` if it is a file of the pipeline",
    errno.EISDIR: "is a folder, but a file must be there; move the folder away",
    errno.ENOTDIR: "cannot be reached: a file is where a folder must be; move that file away",
    errno.EEXIST: "is a file, but a folder must be there; move the file away",
    errno.ENAMETOOLONG: "cannot be made: its name or its path is too long for this file system; "
    "use shorter names",
    errno.ELOOP: "cannot be reached: its links form a circle",
    errno.ENOEXEC: "cannot be started: it is not a program for this machine",
    errno.EMFILE: "cannot be opened: this process has too many open files; raise `ulimit -n`",
    errno.EIO: "cannot be read or written: the disk reports an error (EIO)",
    errno.ESTALE: "cannot be used: the network file system lost it (stale handle); run again",
}
_NO_MEMORY = (
    "The memory is not enough; close other programs, or lower training.batch_size in params.yaml."
)
_TORCH_NO_MEMORY = ("not enough memory", "out of memory", "bad_alloc", "bad allocation")
_DECODERS = (
    *(UnicodeDecodeError, json.JSONDecodeError, csv.Error, zipfile.BadZipFile, zlib.error),
    *(lzma.LZMAError, EOFError),
)


def explained(error: BaseException) -> str | None:
    """Return one sentence for an error that the user can mend; None for any other, a defect.

    >>> explained(PermissionError(errno.EROFS, "Read-only file system", "data/report.md"))[:50]
    'data/report.md cannot be written: its file system '
    """
    if isinstance(error, OSError):
        return _of_the_system(error)
    if isinstance(error, MemoryError):
        return _NO_MEMORY
    if isinstance(error, RuntimeError):
        text = str(error).lower()
        return _NO_MEMORY if any(words in text for words in _TORCH_NO_MEMORY) else None
    if isinstance(error, _DECODERS):
        return (
            f"A file is damaged or of another kind ({type(error).__name__}: {one_line(error)}); "
            "make the inputs of this command again with `dvc pull` or `dvc repro`."
        )
    return None


def _of_the_system(error: OSError) -> str:
    what = error.filename if error.filename is not None else "A file"
    name = os.fsdecode(what) if isinstance(what, str | bytes) else f"File {what}"
    if error.errno in _CAUSES:
        return f"{name} {_CAUSES[error.errno]}."
    return f"{name} cannot be used ({one_line(error) or type(error).__name__})."
