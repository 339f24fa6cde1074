"""Write a file completely or not at all."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_on_success(path: Path | str) -> Iterator[Path]:
    """Yield a temporary path beside `path`; move it over `path` if the body succeeds.

    The parent folder is created. On any exception, Ctrl-C included, the temporary file is removed
    and an existing `path` keeps its old contents. The temporary name ends in the suffix of `path`,
    because some writers (numpy, matplotlib) choose the format by suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.stem}-", suffix=path.suffix, dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, 0o666 & ~_umask())  # mkstemp makes files private to their owner
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
