"""What both accelerators are estimated in: memories in LUTs or block RAM, and rows of usage."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

LUT_WORDS = 64  # of one bit, in a LUT6
LUT_MEMORY_WORDS = 256
BRAM_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


@dataclass(frozen=True)
class Memory:
    """`count` memories of `words` words of `bits` bits."""

    count: int
    words: int
    bits: int

    @property
    def in_luts(self) -> bool:
        """Whether it is shallow enough for LUTs."""
        return self.words <= LUT_MEMORY_WORDS

    @property
    def luts(self) -> int:
        """LUTs, wherever it lies."""
        return self.count * self.bits * ceil(self.words / LUT_WORDS)

    @property
    def brams(self) -> int:
        """Blocks of 18 kbit, wherever it lies."""
        blocks = (ceil(self.words / deep) * ceil(self.bits / wide) for deep, wide in BRAM_SHAPES)
        return self.count * min(blocks)


@dataclass(frozen=True)
class Usage:
    """What one layer takes, all its copies together (estimate)."""

    layer: str
    copies: int
    multipliers: int = 0
    dsp: int = 0
    dsp_paired: int = 0
    lut_memory: int = 0
    bram: int = 0


def total(rows: Sequence[Usage]) -> Usage:
    """Return the sum of all rows."""
    names = ("multipliers", "dsp", "dsp_paired", "lut_memory", "bram")
    return Usage("total", 1, **{name: sum(getattr(row, name) for row in rows) for name in names})
