"""What a SIMD design takes, before any synthesis: an estimate by part, from sizes and array.

The rules for LUTs, block RAMs and DSPs are those of hls/plan/streaming/resources.py: a memory lies
in LUTs up to 256 words (w x ceil(d / 64) LUTs), else in block RAM. hls/cpp/simd/memory.hpp says the
same to the tool, memory by memory (BIND_STORAGE), so both move at the same depth. S is the larger
one of rows and columns, ceil to whole squares, groups or words where a size does not divide.

    array       rows x columns multipliers; paired, as two rows share an input:
                columns x ceil(rows / 2)
    affines     affine_1 for what enters (columns multipliers), affine_2 and the residual for what
                leaves (rows each)
    store       S x S memories of 8 bits, a word per square of any map; twice, because operand and
                shortcut are read in the same cycle
    sums        rows memories of as many words as vectors, as wide as the widest sum
    channels    9 memories of 8 bits, one for each parameter that the token mixer needs of a
                channel; a word per channel
    tables      two of S memories of 16 bits, both knots of a segment; 64 words per channel of a
                lane's share
    FIFOs       FIFO_WORDS words of columns x 8 bits, for parameters and for images, in block RAM

The two tiles of weights are registers. Logic, wiring and the adapters of the memory ports are left
to the tool.
"""

from math import ceil

from hls.plan.estimate import Memory, Usage
from hls.plan.simd.program import CHANNEL_PARAMETERS, FIFO_WORDS, Program
from hls.plan.sizes import Sizes

_SEGMENT_BITS = 2 * 8


def usage(sizes: Sizes, array: tuple[int, int]) -> list[Usage]:
    """Return a row per part; PipelineError if the array cannot be built (estimate)."""
    program = Program(sizes, *array)
    rows, columns, side = program.rows, program.columns, program.side
    steps = program.steps()
    sum_bits = (max(step.inputs for step in steps) << 14).bit_length() + 1
    depths = (program.act_in_words, program.act_hidden_words) if sizes.has_tables else ()
    affines = columns + 2 * rows
    return [
        Usage("array", 1, rows * columns, rows * columns, columns * ceil(rows / 2)),
        Usage("affines", 1, affines, affines, affines),
        _memory("store", 2, Memory(side * side, program.store_squares, 8)),
        _memory("sums", 1, Memory(rows, program.max_vectors, sum_bits)),
        _memory("channels", 1, Memory(len(CHANNEL_PARAMETERS), sizes.embed_dim, 8)),
        _memory("tables", 1, *(Memory(side, depth, _SEGMENT_BITS) for depth in depths)),
        _memory("FIFOs", 2, Memory(1, FIFO_WORDS, 8 * columns)),
    ]


def _memory(name: str, copies: int, *memories: Memory) -> Usage:
    return Usage(
        name,
        copies,
        lut_memory=copies * sum(memory.luts for memory in memories if memory.in_luts),
        bram=copies * sum(memory.brams for memory in memories if not memory.in_luts),
    )
