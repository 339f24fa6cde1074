"""Resource estimate of a streaming design by layer, from its folding, before synthesis.

The number of multipliers is exact: the C++ contains them (int8 x int8, one product per cycle). The
other figures assume that the tool follows these rules:

    multipliers  PE x SIMD per matrix product; one per lane for an affine or a residual
    DSP          one per multiplier. A DSP48E2 can compute two int8 products that share an operand,
                 as the PE outputs of one input do. HLS does not pair products by itself; a design
                 with paired products takes SIMD x ceil(PE / 2) DSPs: `dsp_paired`.
                 The interpolation of a table (9 x 2 bits) and the mean are built of LUTs.
    memory       a memory of d words of w bits, read in one cycle, is built of
                 - LUTs if d <= 256 (four LUT6 of 64 x 1 and the multiplexers behind them):
                   w x ceil(d / 64) LUTs; otherwise of
                 - 18-kbit block RAM: the fewest blocks of 512 x 36, 1024 x 18, 2048 x 9,
                   4096 x 4, 8192 x 2 or 16384 x 1
    weights      PE memories of (outputs / PE) x (inputs / SIMD) words of SIMD x 8 bits; one more
                 memory for bias (8 bits) and shift (5 bits) of PE outputs per word
    affines      one memory of channels / lanes words of lanes x 21 bits (weight, bias, shift)
    tables       always LUTs (BIND_STORAGE): one memory per lane (act_in) or per PE (act_hidden) of
                 64 x channels / (lanes or PE) words of 17 bits (knot, difference to the next knot)
    transposes   two maps, each in `lanes` memories of lanes x 8 bits
    FIFOs        up to 32 words: one LUT (SRL32) per bit; deeper: block RAM

The LUTs are those of memories only; the estimate excludes logic, registers and wiring.
"""

from collections.abc import Iterator
from math import ceil

from hls.plan.estimate import Memory, Usage
from hls.plan.sizes import Product, Sizes, copies, products
from hls.plan.streaming.folding import Folding
from hls.plan.streaming.process_network import ProcessNetwork

SRL_WORDS = 32
SHIFT_BITS, SEGMENT_BITS = 5, 17
AFFINES = (
    "token_mixer_affine_1",
    "token_mixer_affine_2",
    "token_mixer_res_affine",
    "mlp_res_affine",
)


def usage(
    sizes: Sizes, folding: Folding, network: ProcessNetwork, depths: dict[str, int]
) -> list[Usage]:
    """Return one row per layer, one for all transposes and one for all FIFOs (estimate).

    `depths` are the FIFO depths in words, by kind.
    """
    rows = [_product(name, product, sizes, folding) for name, product in products(sizes).items()]
    rows += _affines(sizes, folding)
    rows += _tables(sizes, folding)
    rows.append(_transposes(sizes, folding))
    rows.append(_fifos(network, depths))
    return rows


def dsp_total(sizes: Sizes, folding: Folding) -> int:
    """Return the number of DSPs of a design: one per multiplier (estimate)."""
    rows = (_product(name, product, sizes, folding) for name, product in products(sizes).items())
    return sum(row.dsp for row in (*rows, *_affines(sizes, folding)))


def _product(name: str, product: Product, sizes: Sizes, folding: Folding) -> Usage:
    fold, count = folding.fold(name), copies(name, sizes)
    words = fold.compute_cycles(product)
    constants = Memory(1, product.outputs // fold.pe, fold.pe * (8 + SHIFT_BITS))
    return _row(
        name,
        count,
        [Memory(fold.pe, words, 8 * fold.simd), constants],
        fold.multipliers,
        fold.simd * ceil(fold.pe / 2),
    )


def _affines(sizes: Sizes, folding: Folding) -> list[Usage]:
    lanes = folding.lanes
    memory = Memory(1, sizes.embed_dim // lanes, lanes * (16 + SHIFT_BITS))
    return [_row(name, sizes.num_blocks, [memory], lanes, lanes) for name in AFFINES]


def _tables(sizes: Sizes, folding: Folding) -> Iterator[Usage]:
    if sizes.has_tables:
        lanes, pe = folding.lanes, folding.mlp_linear_1.pe
        for name, channels, count in (
            ("mlp_psa_1", sizes.embed_dim, lanes),
            ("mlp_psa_2", sizes.hidden_dim, pe),
        ):
            memory = Memory(count, 64 * channels // count, SEGMENT_BITS)
            yield Usage(name, sizes.num_blocks, lut_memory=sizes.num_blocks * memory.luts)


def _transposes(sizes: Sizes, folding: Folding) -> Usage:
    lanes = folding.lanes
    words = sizes.num_patches * sizes.embed_dim // lanes**2
    return _row("transposes", 2 * sizes.num_blocks, [Memory(2 * lanes, words, 8 * lanes)])


def _fifos(network: ProcessNetwork, depths: dict[str, int]) -> Usage:
    luts = brams = 0
    for fifo in network.fifos.values():
        if fifo.kind == "map":
            continue
        if depths[fifo.kind] <= SRL_WORDS:
            luts += fifo.word_bits
        else:
            brams += Memory(1, depths[fifo.kind], fifo.word_bits).brams
    return Usage("FIFOs", 1, lut_memory=luts, bram=brams)


def _row(
    name: str, count: int, memories: list[Memory], multipliers: int = 0, paired: int = 0
) -> Usage:
    return Usage(
        name,
        count,
        multipliers=count * multipliers,
        dsp=count * multipliers,
        dsp_paired=count * paired,
        lut_memory=count * sum(memory.luts for memory in memories if memory.in_luts),
        bram=count * sum(memory.brams for memory in memories if not memory.in_luts),
    )
