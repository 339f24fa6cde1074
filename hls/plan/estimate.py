"""Resource estimates for both accelerators: memories, LUTs of logic, and rows of usage.

The counts of LUTs are round numbers from published reports of Vitis HLS and Vivado.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

LUT_WORDS = 64  # one-bit words that a LUT6 holds
LUT_MEMORY_WORDS = 256  # the deepest memory that is built of LUTs
MULTIPLIER_LUTS = 41  # int8 x int8
ADDER_LUTS = 20  # sums of 17 to 24 bits
REQUANTISE_LUTS = 80  # shift, bias, saturation
INTERPOLATE_LUTS = 30  # between two knots of a table
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


def tool_dsps(products: int) -> int:
    """Return how many of the products of one sum Vitis HLS puts into DSPs if nothing is bound.

    About every third product becomes a multiplier of LUTs, the others multiply-add units in DSPs
    (published reports: 11 DSPs of 17 products, 64 of 96). A product that is not part of a sum, as
    in an affine, becomes LUTs.
    """
    return products - products // 3


def total(rows: Sequence[Usage]) -> Usage:
    """Return the sum of all rows as a row named "total"."""
    names = ("multipliers", "dsp", "dsp_paired", "lut_memory", "bram", "lut_logic")
    return Usage("total", 1, **{name: sum(getattr(row, name) for row in rows) for name in names})
