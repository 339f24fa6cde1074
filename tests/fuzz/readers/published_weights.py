"""A published .bin file: today's zip, the form before PyTorch 1.6, and with wrappings."""

import copy
import io
from functools import cache

import torch

from models.float.published import load_published_into, published_state
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_bytes, changed_zip
from tests.support import specimens


def _seeds() -> list[bytes]:
    state = published_state(specimens.float_network())
    wrapped = {"epoch": 3, "state_dict": {f"module.{key}": t for key, t in state.items()}}
    return [_saved(state, True), _saved(wrapped, True), _saved(state, False)]


def _saved(content: object, as_zip: bool) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=as_zip)
    return buffer.getvalue()


_network = cache(specimens.float_network)

READER = Reader(
    file="model.bin",
    seeds=_seeds,
    read=lambda path: load_published_into(copy.deepcopy(_network()), path),
    mutate=lambda content, random: (
        changed_zip(content, random)
        if content.startswith(b"PK")
        else changed_bytes(content, random)
    ),
)
