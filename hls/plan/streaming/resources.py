"""Resource estimate of a streaming design by layer, from its folding, before synthesis.

The number of multipliers is exact: the C++ contains them (int8 x int8, one product per cycle), and
hls/plan/streaming/binding.py decides what memories and bound multipliers are built of. The other
figures assume that the tool follows these rules:

    DSP          bound to DSPs: one per multiplier. Left to the tool: two of three products of a sum
                 (tool_dsps). A DSP48E2 can compute two int8 products that share an operand, as
                 the PE outputs of one input do. HLS does not pair products by itself; a design with
                 paired products takes SIMD x ceil(PE / 2) DSPs: `dsp_paired`.
    multipliers  MULTIPLIER_LUTS for each one in LUTs
    adders       ADDER_LUTS for each product that is added in LUTs: all of them if multipliers are
                 bound; left to the tool, only products of LUTs, because a multiply-add unit adds in
                 its DSP. One more adder per PE for partial sums.
    inputs       a part of the vector is selected by 8 x SIMD multiplexers of (inputs / SIMD) to 1,
                 a LUT for each three further inputs
    requantise   REQUANTISE_LUTS per PE, or lane of an affine: shift, bias, saturation
    tables       INTERPOLATE_LUTS per lane or PE
    memories     a memory of d words of w bits, read in one cycle, is built of
                 - LUTs: w x ceil(d / 64) (a LUT6 holds 64 x 1), or of
                 - 18-kbit block RAM: the fewest blocks of 512 x 36, 1024 x 18, 2048 x 9,
                   4096 x 4, 8192 x 2 or 16384 x 1
    weights      PE memories of (outputs / PE) x (inputs / SIMD) words of SIMD x 8 bits; two more
                 memories of PE x 8 bits for biases and shifts
    affines      three memories of channels / lanes words of lanes x 8 bits
    tables       one memory per lane (act_in) or per PE (act_hidden) of 64 x channels / (lanes or
                 PE) words of 17 bits (knot, difference to the next knot)
    transposes   two maps, each in `lanes` memories of lanes x 8 bits
    mean         a sum per channel, `lanes` of them in a word
    FIFOs        in LUTs: one (SRL32) per bit and 32 words

hls/plan/estimate.py has the counts per unit. The estimate excludes registers, the control of the
processes, and wiring.
"""

from collections.abc import Iterator
from math import ceil

from hls.plan.estimate import (
    ADDER_LUTS,
    INTERPOLATE_LUTS,
    MULTIPLIER_LUTS,
    REQUANTISE_LUTS,
    Memory,
    Usage,
)
from hls.plan.sizes import Product, Sizes, copies, products
from hls.plan.streaming.binding import (
    LUT,
    SRL_WORDS,
    Binding,
    affine_memory,
    constant_memory,
    map_memory,
    shortcut_storage,
    table_memories,
    weight_memory,
)
from hls.plan.streaming.folding import Folding
from hls.plan.streaming.process_network import ProcessNetwork

AFFINES = (
    "token_mixer_affine_1",
    "token_mixer_affine_2",
    "token_mixer_res_affine",
    "mlp_res_affine",
)
_TABLE_ROWS = {"act_in": "mlp_psa_1", "act_hidden": "mlp_psa_2"}


def usage(
    sizes: Sizes,
    folding: Folding,
    network: ProcessNetwork,
    depths: dict[str, int],
    binding: Binding,
) -> list[Usage]:
    """Return one row per layer, one for all transposes, the mean and all FIFOs (estimate).

    `depths` are the FIFO depths in words, by kind.
    """
    rows = [
        _product(name, product, sizes, folding, binding)
        for name, product in products(sizes).items()
    ]
    rows += _affines(sizes, folding, binding)
    rows += _tables(sizes, folding, binding)
    rows.append(_transposes(sizes, folding, binding))
    rows.append(_mean(sizes, folding))
    rows.append(_fifos(network, depths))
    return rows


def dsp_total(sizes: Sizes, folding: Folding, binding: Binding) -> int:
    """Return the number of DSPs of a design (estimate)."""
    rows = [
        _product(name, product, sizes, folding, binding)
        for name, product in products(sizes).items()
    ]
    return sum(row.dsp for row in (*rows, *_affines(sizes, folding, binding)))


def _product(
    name: str, product: Product, sizes: Sizes, folding: Folding, binding: Binding
) -> Usage:
    fold, parts = folding.fold(name), product.inputs // folding.fold(name).simd
    dsp = binding.dsp_of(fold.simd)
    in_luts = fold.simd - dsp
    added = in_luts if binding.dsp_share is None else fold.simd - 1
    adders = added + (parts > 1)
    per_pe = MULTIPLIER_LUTS * in_luts + ADDER_LUTS * adders + REQUANTISE_LUTS
    selection = 8 * fold.simd * ceil((parts - 1) / 3)
    return _row(
        name,
        copies(name, sizes),
        _split(binding, weight_memory(product, fold), constant_memory(product, fold)),
        multipliers=fold.multipliers,
        dsp=fold.pe * dsp,
        paired=fold.simd * ceil(fold.pe / 2),
        logic=fold.pe * per_pe + selection,
    )


def _affines(sizes: Sizes, folding: Folding, binding: Binding) -> list[Usage]:
    lanes = folding.lanes
    dsp = binding.affine_dsp(lanes)
    logic = MULTIPLIER_LUTS * (lanes - dsp) + REQUANTISE_LUTS * lanes
    memories = _split(binding, affine_memory(sizes, lanes))
    return [_row(name, sizes.num_blocks, memories, lanes, dsp, lanes, logic) for name in AFFINES]


def _tables(sizes: Sizes, folding: Folding, binding: Binding) -> Iterator[Usage]:
    if sizes.has_tables:
        for position, memory in table_memories(sizes, folding).items():
            luts = binding.table_storage(memory) == LUT
            counts = (memory.luts, 0) if luts else (0, memory.brams)
            logic = INTERPOLATE_LUTS * memory.count
            yield _row(_TABLE_ROWS[position], sizes.num_blocks, counts, logic=logic)


def _transposes(sizes: Sizes, folding: Folding, binding: Binding) -> Usage:
    one = map_memory(sizes, folding.lanes)
    both = Memory(2 * one.count, one.words, one.bits)
    return _row("transposes", 2 * sizes.num_blocks, _split(binding, both))


def _mean(sizes: Sizes, folding: Folding) -> Usage:
    bits = (sizes.num_patches << 7).bit_length() + 1
    memory = Memory(folding.lanes, sizes.embed_dim // folding.lanes, bits)
    return _row("mean", 1, (memory.luts, 0), logic=ADDER_LUTS * folding.lanes)


def _fifos(network: ProcessNetwork, depths: dict[str, int]) -> Usage:
    luts = brams = 0
    for fifo in network.fifos.values():
        if fifo.is_stream:
            depth = depths[fifo.kind]
            if fifo.kind == "link" or shortcut_storage(depth, fifo.word_bits) == LUT:
                luts += fifo.word_bits * ceil(depth / SRL_WORDS)
            else:
                brams += Memory(1, depth, fifo.word_bits).brams
    return _row("FIFOs", 1, (luts, brams))


def _split(binding: Binding, *memories: Memory) -> tuple[int, int]:
    """Return the LUTs and the block RAMs of memories."""
    luts = sum(memory.luts for memory in memories if binding.storage(memory) == LUT)
    brams = sum(memory.brams for memory in memories if binding.storage(memory) != LUT)
    return luts, brams


def _row(
    name: str,
    count: int,
    memories: tuple[int, int],
    multipliers: int = 0,
    dsp: int = 0,
    paired: int = 0,
    logic: int = 0,
) -> Usage:
    """Return the row of `count` equal layers; `memories` are LUTs and block RAMs of one."""
    luts, brams = memories
    values = {
        "multipliers": multipliers,
        "dsp": dsp,
        "dsp_paired": paired,
        "lut_memory": luts,
        "bram": brams,
        "lut_logic": logic,
    }
    return Usage(name, count, **{key: count * value for key, value in values.items()})
