"""One file out of the authors' archive of checkpoints, or out of a folder like it."""

from pathlib import Path

from models.files.archives import Limits, members
from models.files.errors import PipelineError

# The authors' archive holds some 20 files, and the largest, the teacher, has 1.3 MB.
LIMITS = Limits(members=10_000, member_bytes=1 << 25, total_bytes=1 << 28)


def read_checkpoint(source: Path, name: str) -> bytes:
    """Return the file of a folder or of a .zip, .tar.gz or .tar archive whose path ends in `name`.

    PipelineError where the source is damaged or not to be trusted, or does not hold it just once.
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
    """Read an archive to its end; PipelineError where it is damaged or not to be trusted."""
    for member in members(source, LIMITS):
        member.content()
