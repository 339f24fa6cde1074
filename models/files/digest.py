"""What a file holds, as one hash."""

import hashlib
from pathlib import Path


def file_digest(path: Path | str) -> str:
    """Return the sha256 of a file's content in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
