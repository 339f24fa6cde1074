"""Resource estimate of a SIMD design by part, from its sizes and array, before synthesis.

The rules for DSPs and LUTs are those of hls/plan/streaming/resources.py with multipliers left to
the tool. A memory of up to 256 words is built of LUTs (w x ceil(d / 64) LUTs), a deeper one of
block RAM. hls/cpp/simd/memory.hpp requests the same binding from the tool (BIND_STORAGE), so
estimate and C++ switch at the same depth. S is the larger of rows and columns. Sizes that do not
divide are rounded up to whole squares, groups or words.

    array       rows x columns multipliers; as pairs of products that share an input:
                columns x ceil(rows / 2); a requantisation per row
    affines     affine_1 on the inputs of the array (columns multipliers); affine_2 and the residual
                on its outputs (rows multipliers each)
    store       S x S memories of 8 bits with one word per square of each map; two copies, because
                operand and shortcut are read in the same cycle
    sums        `rows` memories, as deep as the most vectors and as wide as the widest sum
    channels    9 memories of 8 bits, one for each parameter of a channel in the token mixer; one
                word per channel
    tables      S memories for act_in and S for act_hidden, of 16 bits (the two knots of a segment);
                64 words for each channel of a lane
    FIFOs       FIFO_WORDS words of columns x 8 bits, one for parameters and one for images, in
                block RAM

The two tiles of weights are registers. The estimate excludes registers, indices and control,
wiring and the adapters of the memory ports.
"""

from dataclasses import replace
from math import ceil

from hls.plan.estimate import (
    ADDER_LUTS,
    INTERPOLATE_LUTS,
    MULTIPLIER_LUTS,
    REQUANTISE_LUTS,
    Memory,
    Usage,
    tool_dsps,
)
from hls.plan.simd.program import CHANNEL_PARAMETERS, FIFO_WORDS, Program
from hls.plan.sizes import Sizes

_SEGMENT_BITS = 2 * 8


def usage(sizes: Sizes, array: tuple[int, int]) -> list[Usage]:
    """Return one row per part (estimate); PipelineError if the array cannot be built.

    `array` holds the rows and columns of multipliers.
    """
    program = Program(sizes, *array)
    rows, columns, side = program.rows, program.columns, program.side
    steps = program.steps()
    sum_bits = (max(step.inputs for step in steps) << 14).bit_length() + 1
    depths = (program.act_in_words, program.act_hidden_words) if sizes.has_tables else ()
    affines = columns + 2 * rows
    dsp = tool_dsps(columns)
    in_luts = columns - dsp
    adders = in_luts + 1  # and one for partial sums
    per_row = MULTIPLIER_LUTS * in_luts + ADDER_LUTS * adders + REQUANTISE_LUTS
    paired = columns * ceil(rows / 2)
    logic = affines * (MULTIPLIER_LUTS + REQUANTISE_LUTS)
    interpolation = len(depths) * side * INTERPOLATE_LUTS
    return [
        Usage("array", 1, rows * columns, rows * dsp, paired, lut_logic=rows * per_row),
        Usage("affines", 1, affines, 0, affines, lut_logic=logic),
        _memory("store", 2, Memory(side * side, program.store_squares, 8)),
        _memory("sums", 1, Memory(rows, program.max_vectors, sum_bits)),
        _memory("channels", 1, Memory(len(CHANNEL_PARAMETERS), sizes.embed_dim, 8)),
        replace(
            _memory("tables", 1, *(Memory(side, depth, _SEGMENT_BITS) for depth in depths)),
            lut_logic=interpolation,
        ),
        _memory("FIFOs", 2, Memory(1, FIFO_WORDS, 8 * columns)),
    ]


def _memory(name: str, copies: int, *memories: Memory) -> Usage:
    return Usage(
        name,
        copies,
        lut_memory=copies * sum(memory.luts for memory in memories if memory.in_luts),
        bram=copies * sum(memory.brams for memory in memories if not memory.in_luts),
    )
