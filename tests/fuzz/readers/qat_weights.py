"""qat.pt, up to the integers that are exported from it."""

import copy
from functools import cache
from pathlib import Path

from models.files.errors import PipelineError
from models.float.checkpoint import load_state, save_state
from models.qat.layers import export
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens

_network = cache(specimens.qat_network)


def _read(path: Path) -> object:
    network = copy.deepcopy(_network())
    load_state(network, path)
    try:
        return export(network)
    except ValueError as error:  # as stages/dump_params.py says it
        raise PipelineError(f"{path}: {error}") from error


READER = Reader(
    file="qat.pt",
    seeds=lambda: [specimens.content_of(lambda path: save_state(_network(), path), "qat.pt")],
    read=_read,
    mutate=changed_zip,
)
