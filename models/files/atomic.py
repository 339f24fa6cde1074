"""Write a file or a folder completely or not at all."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.files.temporary import is_temporary, temporary_file, temporary_folder

_CHUNK = 1 << 20  # bytes
_TORCH = ("inline_container.cc", "PytorchStreamWriter")  # its writer of archives


@contextmanager
def replace_on_success(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it over `path` if the body succeeds.

    The parent folder is created. On any exception, Ctrl-C included, the temporary file is removed
    and an existing `path` keeps its old contents; an OSError names `path`. If the process is
    killed, the next one that writes into the folder removes the temporary file. The temporary name
    ends in the suffix of `path`, because some writers (numpy, matplotlib) choose the format by
    suffix.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as temporary:
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private to their owner
            os.replace(temporary, path)
    except (OSError, RuntimeError) as error:
        raise _about(error, path) from None


@contextmanager
def replace_folder(folder: Path) -> Iterator[Path]:
    """Yield a new empty folder; it takes the place of `folder` if the body succeeds.

    The parent folder is created. On any exception, Ctrl-C included, what was written is removed and
    an existing `folder` stays as it is.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(folder.name, folder.parent) as temporary:
        new = temporary / folder.name
        new.mkdir()
        yield new
        if folder.exists():
            shutil.move(folder, temporary / "old")
        shutil.move(new, folder)


def check_writable(path: Path, size: int) -> None:
    """Raise OSError if `path` cannot be written now, or if there is no room for `size` bytes.

    `path` itself stays as it is.
    """
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary_file(path) as temporary, temporary.open("wb") as file:
            for start in range(0, size, _CHUNK):
                file.write(bytes(min(_CHUNK, size - start)))
    except OSError as error:
        raise _about(error, path) from None


def _about(error: OSError | RuntimeError, path: Path) -> Exception:
    """Return an error of the operating system as one about `path`, any other as it is.

    torch.save replaces the former by a RuntimeError, which has it as its context.
    """
    of_torch = isinstance(error, RuntimeError) and any(part in str(error) for part in _TORCH)
    cause = error.__context__ if of_torch else error
    if not isinstance(cause, OSError):
        return error
    name = cause.filename
    if name is not None and not (isinstance(name, str) and is_temporary(name)):
        return error  # about another file, which the body read
    return OSError(cause.errno or errno.EIO, cause.strerror or str(cause), str(path))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
