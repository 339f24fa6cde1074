"""qat_logits.npz."""

from pathlib import Path

import numpy as np

from stages.results.logits import load_logits
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens


def _write(path: Path) -> None:
    np.savez(path, **specimens.logits())


READER = Reader(
    file="qat_logits.npz",
    seeds=lambda: [specimens.content_of(_write, "qat_logits.npz")],
    read=load_logits,
    mutate=changed_zip,
)
