"""int8.pkl, with and without its seal."""

from models.integer.params import load_int_params, save_int_params
from tests.fuzz.harness import Reader
from tests.support import specimens


def _seeds() -> list[bytes]:
    network = specimens.int_network()
    sealed = specimens.content_of(lambda path: save_int_params(network, path), "int8.pkl")
    return [sealed, sealed[: sealed.rindex(b"\nsha256 ")]]


READER = Reader(file="int8.pkl", seeds=_seeds, read=load_int_params)
