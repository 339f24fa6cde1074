"""Random draws that depend on what they are for, and on nothing that was drawn before."""

import hashlib

from torch import Generator


def generator_of(seed: int, *purpose: object) -> Generator:
    """Return a source of random draws, on the CPU, for one purpose (JSON-like values) of a seed."""
    digest = hashlib.sha256(f"{seed}/{[*purpose]}".encode()).digest()
    return Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 2)
