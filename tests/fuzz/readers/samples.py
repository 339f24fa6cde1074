"""samples.pkl, with and without its seal."""

from models.integer.params import load_samples, save_samples
from tests.fuzz.harness import Reader
from tests.support import specimens


def _seeds() -> list[bytes]:
    samples = specimens.samples()
    sealed = specimens.content_of(lambda path: save_samples(samples, path), "samples.pkl")
    return [sealed, sealed[: sealed.rindex(b"\nsha256 ")]]


READER = Reader(file="samples.pkl", seeds=_seeds, read=load_samples)
