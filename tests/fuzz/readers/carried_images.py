"""The labels beside the pictures of carry_images; the pictures are as packed."""

from pathlib import Path

import numpy as np

from stages.by_hand.carry_images import pack, unpack
from stages.pipeline.dataset import Dataset, Split
from tests.fuzz.harness import Reader
from tests.fuzz.mutations import changed_zip


def _seeds() -> list[bytes]:
    splits = (
        Split(np.full((count, 32, 32, 3), count, np.uint8), np.arange(count) % 2)
        for count in (5, 3, 2)
    )
    folder = Path("carried")
    pack(Dataset(*splits, ("a", "b"), np.full(3, 0.5), np.ones(3)), folder)
    return [(folder / "0" / "labels.npz").read_bytes()]


READER = Reader(
    file="carried/0/labels.npz",
    seeds=_seeds,
    read=lambda path: unpack(path.parents[1]),
    mutate=changed_zip,
    names="carried",
)
