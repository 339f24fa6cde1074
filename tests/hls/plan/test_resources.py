"""Estimates before synthesis: counted by hand, and against the published multiplier counts."""

from dataclasses import replace

import pytest

from hls.plan.estimate import Memory, Usage, tool_dsps, total
from hls.plan.fit import shortages, verdict
from hls.plan.sizes import Sizes, products
from hls.plan.streaming.binding import Binding, storages
from hls.plan.streaming.dataflow import streaming_network
from hls.plan.streaming.fifo_depths import size_fifos
from hls.plan.streaming.folding import Fold, Folding, published_folding
from hls.plan.streaming.folding_solver import fold_for_rate
from hls.plan.streaming.plan import plan_streaming
from hls.plan.streaming.resources import dsp_total, usage

pytestmark = pytest.mark.slow

LERP_96 = Sizes(48, 64, 96, 96, 4, 10, True)
RELU_192 = Sizes(48, 64, 96, 192, 4, 10, False)
DEPTHS = {"token_mixer_shortcut": 12_000, "mlp_shortcut": 300, "link": 4}


def rows_of(
    sizes: Sizes,
    folding: Folding,
    depths: dict[str, int] = DEPTHS,
    binding: Binding = Binding(),  # noqa: B008 - frozen
) -> dict[str, Usage]:
    rows = usage(sizes, folding, streaming_network(sizes, folding), depths, binding)
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
    bound = dsp_total(sizes, published_folding(sizes), Binding(dsp_share=1.0))
    assert bound == published + affines + 96


def test_a_row_counted_by_hand() -> None:
    """12 of 96 outputs and 32 of 96 inputs at a time: 8 * 3 words of 256 bits in 12 memories."""
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(12, 32))
    row = rows_of(LERP_96, folding)["mlp_linear_1"]
    assert (row.copies, row.multipliers, row.dsp_paired) == (4, 4 * 384, 4 * 192)
    assert row.dsp == 4 * 12 * (32 - 10)  # the tool makes 10 of 32 products of LUTs
    assert row.lut_memory == 4 * (12 * 256 + 2 * 12 * 8)  # weights; biases and shifts
    assert row.bram == 0
    per_output = 10 * 41 + (10 + 1) * 20 + 80  # products, adders with the partial sum, requantise
    assert row.lut_logic == 4 * (12 * per_output + 8 * 32)  # and a 3 to 1 choice of the part


@pytest.mark.parametrize(("share", "dsp"), [(1.0, 32), (0.5, 16), (0.0, 0)])
def test_bound_multipliers_are_what_they_are_bound_to(share: float, dsp: int) -> None:
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(12, 32), lanes=2)
    rows = rows_of(LERP_96, folding, binding=Binding(dsp_share=share))
    row = rows["mlp_linear_1"]
    assert row.dsp == 4 * 12 * dsp
    per_output = (32 - dsp) * 41 + 32 * 20 + 80  # every product is added in LUTs
    assert row.lut_logic == 4 * (12 * per_output + 8 * 32)
    affine = rows["mlp_res_affine"]
    assert (affine.dsp, affine.lut_logic) == (
        4 * round(2 * share),
        4 * (160 + 41 * (2 - round(2 * share))),
    )


@pytest.mark.parametrize(("products", "dsp"), [(1, 1), (17, 12), (64, 43), (96, 64)])
def test_what_the_tool_makes_of_a_sum(products: int, dsp: int) -> None:
    """Published reports: 11 or 12 of 17, 64 of 96."""
    assert tool_dsps(products) == dsp


def test_the_published_saving_comes_out_of_the_estimate() -> None:
    """The paper: LERP-PSA-96 takes 25 % less LUT + DSP than ReLU-192."""
    sums = []
    for sizes in (LERP_96, RELU_192):
        figures = plan_streaming("", sizes, published_folding(sizes), 5.0).figures
        sums.append(int(figures["estimate_lut"]) + int(figures["estimate_dsp"]))
    assert 0.7 < sums[0] / sums[1] < 0.8
    tables_in_luts = plan_streaming(
        "", LERP_96, published_folding(LERP_96), 5.0, Binding(tables="lut")
    )
    assert int(tables_in_luts.figures["estimate_lut"]) > 0.85 * sums[1]


def test_estimate_and_header_bind_by_one_rule() -> None:
    """1,024 bits, or 256 words: LUTs. Tables on request, shortcuts by the words of a LUT."""
    folding = published_folding(LERP_96)
    found = storages(LERP_96, folding, DEPTHS, Binding())
    assert found.pop("act_in") == found.pop("act_hidden") == "bram"  # 6,144 words
    assert found.pop("map") == "bram"
    assert found.pop("token_mixer_shortcut") == found.pop("mlp_shortcut") == "bram"
    assert set(found.values()) == {"lut"}
    asked = storages(LERP_96, folding, {**DEPTHS, "mlp_shortcut": 128}, Binding(tables="lut"))
    assert asked["act_in"] == asked["act_hidden"] == asked["mlp_shortcut"] == "lut"
    shallow = storages(LERP_96, folding, DEPTHS, Binding(lut_words=64))
    assert shallow["mlp_linear_1_weights"] == "bram"  # 96 words of 768 bits
    assert shallow["mlp_linear_1_constants"] == "lut"  # 96 words of 8 bits
    assert shallow["token_mixer_linear_weights"] == "lut"  # 64 words


HAS = {"lut": 1_000_000, "ff": 2_000_000, "dsp": 9_000, "bram_18k": 3_000}


@pytest.mark.parametrize(
    ("rate", "short", "words"),
    [
        (30_000, {}, 256),
        (30_000, {"lut": 60_000}, 64),  # weights of 96 words move to block RAM
        (252_000, {"bram_18k": 60}, 1024),  # tables of 768 words move to LUTs
        (30_000, {"bram_18k": 10}, 256),  # no depth helps
    ],
)
def test_a_part_that_is_short_of_one_memory_takes_the_other(
    rate: float, short: dict[str, int], words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hls.plan.fit.available", lambda part: HAS | short)
    folding = fold_for_rate(LERP_96, rate, 5.0)
    plan = plan_streaming("", LERP_96, folding, 5.0, part="small")
    assert plan.design.binding.lut_words == words
    assert (verdict(plan.figures, "small") == "yes") == (short != {"bram_18k": 10})


def test_a_design_that_does_not_fit_says_what_is_short() -> None:
    figures = {"estimate_lut": 610_176, "estimate_dsp": 4_761, "estimate_bram_18k": 2_689}
    assert list(shortages(figures, "xcu50-fsvh2104-2-e")) == ["bram_18k"]
    figures["estimate_dsp"] = 5_730
    words = "no: DSP 5,730 of 5,952 (96 %), BRAM 18k 2,689 of 2,688 (100 %)"
    assert verdict(figures, "xcu50-fsvh2104-2-e") == words
    assert verdict(figures, "a part that nobody knows") is None


def test_an_odd_output_has_no_partner_in_its_dsp() -> None:
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(3, 96))
    assert rows_of(LERP_96, folding)["mlp_linear_1"].dsp_paired == 4 * 2 * 96


def test_deep_weights_move_to_block_ram() -> None:
    folding = replace(published_folding(LERP_96), mlp_linear_1=Fold(1, 4))  # 2304 words of 32 bits
    row = rows_of(LERP_96, folding)["mlp_linear_1"]
    assert row.bram == 4 * 5  # five of 512 x 36; in 1024 x 18 it would be three times two
    assert row.lut_memory == 4 * 2 * 8 * 2  # biases and shifts of 96 outputs


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
    rows = rows_of(LERP_96, folding, binding=Binding(tables="lut"))
    for name in ("mlp_psa_1", "mlp_psa_2"):
        assert (rows[name].lut_memory, rows[name].bram) == (4 * 96 * 17, 0)


def test_deep_tables_are_block_ram() -> None:
    rows = rows_of(LERP_96, published_folding(LERP_96))  # 6,144 words of 17 bits: 3 x 2 of 2048 x 9
    for name in ("mlp_psa_1", "mlp_psa_2"):
        assert (rows[name].lut_memory, rows[name].bram) == (0, 4 * 6)


def test_maps_and_shortcuts_are_the_block_ram_of_the_published_design() -> None:
    rows = rows_of(LERP_96, published_folding(LERP_96))
    assert rows["transposes"].bram == 8 * 2 * 3  # two maps of 6144 bytes, 2048 to a block
    assert rows["FIFOs"].bram == 4 * 6 + 4 * 1  # 12,000 bytes; 300 bytes
    shallow = rows_of(LERP_96, published_folding(LERP_96), {**DEPTHS, "mlp_shortcut": 32})
    assert shallow["FIFOs"].bram == 4 * 6
    assert shallow["FIFOs"].lut_memory == rows["FIFOs"].lut_memory + 4 * 8


def test_the_total_is_the_sum_of_the_rows() -> None:
    network = streaming_network(LERP_96, published_folding(LERP_96))
    depths = size_fifos(network).depths
    rows = usage(LERP_96, published_folding(LERP_96), network, depths, Binding())
    whole = total(rows)
    for key in ("multipliers", "dsp", "dsp_paired", "lut_memory", "bram", "lut_logic"):
        assert getattr(whole, key) == sum(getattr(row, key) for row in rows) > 0
