"""float.pt, through load_state."""

from models.float.checkpoint import load_state
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip
from tests.support import specimens

READER = Reader(
    file="float.pt",
    seeds=lambda: [specimens.content_of(specimens.write_weights, "float.pt")],
    read=lambda path: load_state(specimens.float_network(), path),
    mutate=changed_zip,
)
