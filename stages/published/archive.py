"""Read one file from the authors' archive of checkpoints, or from a folder with the same layout."""

from pathlib import Path

from models.files.archives import Limits, members
from models.files.errors import PipelineError

# The authors' archive holds some 20 files; the largest, the teacher, has 1.3 MB.
LIMITS = Limits(members=10_000, member_bytes=1 << 25, total_bytes=1 << 28)


def read_checkpoint(source: Path, name: str) -> bytes:
    """Return the content of the file whose path ends in `name`.

    `source` is a folder or a .zip, .tar or .tar.gz archive. PipelineError if it is damaged or
    unsafe, or does not hold exactly one such file.
    """
    found, others = [], []
    for member in members(source, LIMITS):
        if f"/{member.name}".endswith(f"/{name}"):
            found.append(member.content())
        elif member.name.endswith(".bin") and member.name.isprintable():
            others.append(member.name)
    if len(found) != 1:
        what = f"{len(found)} files {name}" if found else f"no {name}"
        raise PipelineError(
            f"{source} holds {what}, but must hold one; its other .bin files are: "
            f"{', '.join(sorted(others)[:20]) or 'none'}."
        )
    return found[0]


def check_archive(source: Path) -> None:
    """Read an archive to its end; PipelineError if it is damaged or unsafe."""
    for member in members(source, LIMITS):
        member.content()
