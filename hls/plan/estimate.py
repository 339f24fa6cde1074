"""Resource estimates for both accelerators: memories in LUTs or block RAM, and rows of usage.

LUTs of logic are counted for the streaming accelerator alone; SIMD counts those of memories.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

LUT_WORDS = 64  # one-bit words that a LUT6 holds
LUT_MEMORY_WORDS = 256  # the deepest memory that is built of LUTs
BRAM_SHAPES = ((512, 36), (1024, 18), (2048, 9), (4096, 4), (8192, 2), (16384, 1))


@dataclass(frozen=True)
class Memory:
    """`count` memories, each with `words` words of `bits` bits."""

    count: int
    words: int
    bits: int

    @property
    def in_luts(self) -> bool:
        """Whether the memory is shallow enough for LUTs."""
        return self.words <= LUT_MEMORY_WORDS

    @property
    def luts(self) -> int:
        """LUTs of the memory if it is built of LUTs, whether or not `in_luts`."""
        return self.count * self.bits * ceil(self.words / LUT_WORDS)

    @property
    def brams(self) -> int:
        """18-kbit block RAMs of the memory if it is built of them, whether or not `in_luts`."""
        blocks = (ceil(self.words / deep) * ceil(self.bits / wide) for deep, wide in BRAM_SHAPES)
        return self.count * min(blocks)


@dataclass(frozen=True)
class Usage:
    """Resources of one layer, summed over all its copies (estimate).

    `lut_memory`: LUTs of memories; `lut_logic`: of multipliers, adders and requantisation.
    """

    layer: str
    copies: int
    multipliers: int = 0
    dsp: int = 0
    dsp_paired: int = 0
    lut_memory: int = 0
    bram: int = 0
    lut_logic: int = 0


def total(rows: Sequence[Usage]) -> Usage:
    """Return the sum of all rows as a row named "total"."""
    names = ("multipliers", "dsp", "dsp_paired", "lut_memory", "bram", "lut_logic")
    return Usage("total", 1, **{name: sum(getattr(row, name) for row in rows) for name in names})
