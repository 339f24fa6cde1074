"""Estimates before synthesis: counted by hand, and against the published multiplier counts."""

from dataclasses import replace

import pytest

from hls.plan.estimate import Memory, Usage, total
from hls.plan.sizes import Sizes, products
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import Fold, Folding, published_folding
from hls.plan.streaming.resources import dsp_total, usage

LERP_96 = Sizes(48, 64, 96, 96, 4, 10, True)
RELU_192 = Sizes(48, 64, 96, 192, 4, 10, False)
DEPTHS = {"token_mixer_shortcut": 12_000, "mlp_shortcut": 300, "link": 4}


def rows_of(sizes: Sizes, folding: Folding, depths: dict[str, int] = DEPTHS) -> dict[str, Usage]:
    rows = usage(sizes, folding, streaming_network(sizes, folding), depths)
    return {row.layer: row for row in rows}


@pytest.mark.parametrize(("sizes", "published"), [(LERP_96, 1072), (RELU_192, 1456)])
def test_published_multipliers(sizes: Sizes, published: int) -> None:
    """48 + 4 * (64 + 96 + h) in parallel, and beside them the affines and the classifier."""
    assert published == 48 + 4 * (64 + 96 + sizes.hidden_dim)
    rows = rows_of(sizes, published_folding(sizes))
    in_parallel = [rows[name].multipliers for name in products(sizes) if "classifier" not in name]
    assert sum(in_parallel) == published
    affines = 4 * 4  # two, and one on each shortcut, in each of four blocks
    assert total(list(rows.values())).multipliers == published + affines + 96
    assert dsp_total(sizes, published_folding(sizes)) == published + affines + 96


def test_a_row_counted_by_hand() -> None:
    """12 of 96 outputs and 32 of 96 inputs at a time: 8 * 3 words of 256 bits in 12 memories."""
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(12, 32))
    row = rows_of(LERP_96, folding)["mlp_linear_1"]
    assert (row.copies, row.multipliers, row.dsp, row.dsp_paired) == (4, 4 * 384, 4 * 384, 4 * 192)
    assert row.lut_memory == 4 * (12 * 256 + 12 * 13)  # weights; biases and shifts
    assert row.bram == 0


def test_an_odd_output_has_no_partner_in_its_dsp() -> None:
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(3, 96))
    assert rows_of(LERP_96, folding)["mlp_linear_1"].dsp_paired == 4 * 2 * 96


def test_deep_weights_move_to_block_ram() -> None:
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(1, 4))  # 2304 words of 32 bits
    row = rows_of(LERP_96, folding)["mlp_linear_1"]
    assert row.bram == 4 * 5  # five of 512 x 36; in 1024 x 18 it would be three times two
    assert row.lut_memory == 4 * 13 * 2


@pytest.mark.parametrize(
    ("words", "bits", "luts", "brams"),
    [
        (64, 8, 8, 1),
        (65, 8, 16, 1),
        (256, 17, 68, 1),
        (512, 36, 288, 1),
        (513, 36, 324, 2),
        (6144, 8, 768, 3),
        (12_445, 8, 1560, 7),
        (16_384, 1, 256, 1),
    ],
)
def test_memories(words: int, bits: int, luts: int, brams: int) -> None:
    memory = Memory(1, words, bits)
    assert (memory.luts, memory.brams) == (luts, brams)
    assert Memory(3, words, bits).brams == 3 * brams
    assert memory.in_luts == (words <= 256)


def test_tables_only_where_the_network_has_them() -> None:
    tables = {"mlp_psa_1", "mlp_psa_2"}
    assert tables <= set(rows_of(LERP_96, published_folding(LERP_96)))
    rows = rows_of(RELU_192, published_folding(RELU_192))
    assert not tables & set(rows)


def test_tables_fill_luts_however_they_are_spread() -> None:
    """Per lane a share of the channels: 64 segments of 17 bits are 17 LUTs a channel."""
    folding = replace(published_folding(LERP_96), lanes=8, mlp_linear_1=Fold(16, 96))
    rows = rows_of(LERP_96, folding)
    for name in ("mlp_psa_1", "mlp_psa_2"):
        assert (rows[name].lut_memory, rows[name].bram) == (4 * 96 * 17, 0)


def test_maps_and_shortcuts_are_the_block_ram_of_the_published_design() -> None:
    rows = rows_of(LERP_96, published_folding(LERP_96))
    assert rows["transposes"].bram == 8 * 2 * 3  # two maps of 6144 bytes, 2048 to a block
    assert rows["FIFOs"].bram == 4 * 6 + 4 * 1  # 12,000 bytes; 300 bytes
    shallow = rows_of(LERP_96, published_folding(LERP_96), {**DEPTHS, "mlp_shortcut": 32})
    assert shallow["FIFOs"].bram == 4 * 6
    assert shallow["FIFOs"].lut_memory == rows["FIFOs"].lut_memory + 4 * 8


def test_the_total_is_the_sum_of_the_rows() -> None:
    network = streaming_network(LERP_96, published_folding(LERP_96))
    rows = usage(LERP_96, published_folding(LERP_96), network, size_fifos(network).depths)
    whole = total(rows)
    for key in ("multipliers", "dsp", "dsp_paired", "lut_memory", "bram"):
        assert getattr(whole, key) == sum(getattr(row, key) for row in rows) > 0
