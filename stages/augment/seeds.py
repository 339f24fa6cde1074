"""Random generators that depend on their purpose, and not on earlier draws."""

import hashlib

from torch import Generator


def generator_of(seed: int, *purpose: object) -> Generator:
    """Return a CPU generator for one purpose (JSON-like values) of a seed."""
    digest = hashlib.sha256(f"{seed}/{[*purpose]}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 2)
