"""The state of a training in .ckpt/: it is resumed from, or set aside with a warning."""

from pathlib import Path

from stages.training.checkpoint import read_checkpoint
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens


def _read(path: Path) -> object:
    state = read_checkpoint(path, *specimens.trained())
    if state is None and path.exists():
        raise AssertionError("what cannot be resumed from is still in the way")
    return state


READER = Reader(
    file=".ckpt/toy-0123.pt",
    seeds=lambda: [specimens.content_of(specimens.write_state_of_training, "state.pt")],
    read=_read,
    mutate=changed_zip,
)
