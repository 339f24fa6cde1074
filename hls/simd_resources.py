"""What a SIMD design takes, before any synthesis: an estimate by part, from sizes and array.

The rules for memories, LUTs and DSPs are those of hls/resources.py. S is the larger one of rows and
columns, ceil to whole squares, groups or words where a size does not divide.

    array       rows x columns multipliers; paired, as two rows share an input:
                columns x ceil(rows / 2)
    affines     affine_1 for what enters (columns multipliers), affine_2 and the residual for what
                leaves (rows each)
    store       S x S memories of 8 bits, a word per square of any map; twice, because operand and
                shortcut are read in the same cycle
    sums        rows memories of as many words as vectors, as wide as the widest sum
    channels    9 parameters per channel for the token mixer: 6 x 8 and 3 x 5 bits
    tables      one memory per lane of S, {knot, slope} in 17 bits, 64 words per channel; always in
                LUTs (BIND_STORAGE)
    FIFOs       FIFO_WORDS words of columns x 8 bits, for parameters and for images

The two tiles of weights are registers. Logic, wiring and the adapters of the memory ports are left
to the tool.
"""

from math import ceil

from hls.folding import Sizes
from hls.resources import SEGMENT_BITS, SHIFT_BITS, Memory, Usage
from hls.simd_program import FIFO_WORDS, Program
from models.fixed_point import TABLE_KNOTS

_CHANNEL_BITS = 6 * 8 + 3 * SHIFT_BITS


def usage(sizes: Sizes, array: tuple[int, int]) -> list[Usage]:
    """Return a row per part; PipelineError if the array cannot be built (estimate)."""
    program = Program(sizes, *array)
    rows, columns, side = program.rows, program.columns, program.side
    steps = program.steps()
    vectors = max(step.vectors for step in steps)
    sum_bits = (max(step.inputs for step in steps) << 14).bit_length() + 1
    lookups = (sizes.embed_dim, sizes.hidden_dim) if sizes.has_tables else ()
    tables = [Memory(side, (TABLE_KNOTS - 1) * ceil(n / side), SEGMENT_BITS) for n in lookups]
    affines = columns + 2 * rows
    return [
        Usage("array", 1, rows * columns, rows * columns, columns * ceil(rows / 2)),
        Usage("affines", 1, affines, affines, affines),
        _memory("store", 2, Memory(side * side, program.store_squares, 8)),
        _memory("sums", 1, Memory(rows, vectors, sum_bits)),
        _memory("channels", 1, Memory(1, sizes.embed_dim, _CHANNEL_BITS)),
        Usage("tables", 1, lut_memory=sum(table.luts for table in tables)),
        _memory("FIFOs", 2, Memory(1, FIFO_WORDS, 8 * columns)),
    ]


def _memory(name: str, copies: int, memory: Memory) -> Usage:
    if memory.in_luts:
        return Usage(name, copies, lut_memory=copies * memory.luts)
    return Usage(name, copies, bram=copies * memory.brams)
