"""The SHA-256 hash of a file."""

import hashlib
from pathlib import Path

from models.files.errors import PipelineError


def file_digest(path: Path | str) -> str:
    """Return the SHA-256 of a file's content in hexadecimal.

    Raises PipelineError if the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise PipelineError(
            f"{path} cannot be read ({error.strerror}); run `dvc pull` or `dvc repro` to make it."
        ) from error
