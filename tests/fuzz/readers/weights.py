"""float.pt, through load_state."""

import copy
from functools import cache

from models.float.checkpoint import load_state
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens

_network = cache(specimens.float_network)

READER = Reader(
    file="float.pt",
    seeds=lambda: [specimens.content_of(specimens.write_weights, "float.pt")],
    read=lambda path: load_state(copy.deepcopy(_network()), path),
    mutate=changed_zip,
)
