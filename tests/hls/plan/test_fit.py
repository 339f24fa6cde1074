"""What the parts have, and what a plan says about used and available resources."""

import pytest

from hls.board.boards import BOARDS, OPEN_BOARDS
from hls.plan.fit import fit_sentence, fit_table, shortages, verdict
from hls.plan.parts import PARTS, available, part_of

FIGURES = {"estimate_dsp": 250, "estimate_lut": 26_600, "estimate_bram_18k": 140}
Z7020, UNKNOWN = "xc7z020clg400-1", "xcvu9p-flga2104-2-i"


@pytest.mark.parametrize(
    ("name", "device"),
    [
        (Z7020, "xc7z020"),
        ("xc7z020-clg484-1", "xc7z020"),
        ("XCK26-SFVC784-2LV-C", "xck26"),
        ("xck26", "xck26"),
        ("xczu3eg-sbva484-1-e", "xczu3eg"),
        ("LFE5U-85F-6BG381C", "lfe5u-85f"),
        ("xcu50-fsvh2104-2-e", "xcu50"),
        ("xcu250-figd2104-2L-e", "xcu250"),
        ("xcu55c-fsvh2892-2L-e", None),
        ("xcu500-x", None),  # begins with xcu50, but is another device
        ("", None),
    ],
)
def test_a_part_is_found_by_its_device(name, device):
    found = part_of(name)
    assert (found.device if found else None) == device
    assert (available(name) is None) == (device is None)


def test_every_board_has_a_known_part_and_every_part_a_source():
    for board in (BOARDS | OPEN_BOARDS).values():
        assert available(board.part) is not None, board.name
    for part in PARTS:
        assert part.source and min(part.lut, part.ff, part.dsp, part.bram_18k) > 0
        assert part.bram_18k % 2 == 0  # a block RAM of 36 kbit has two halves
        assert part.ff == part.lut * (2 if part.lut_inputs == 6 else 1)
    assert len({part.device for part in PARTS}) == len(PARTS)
    assert available("xcu50") == {
        **{"lut": 871_680, "ff": 1_743_360, "dsp": 5_952, "bram_18k": 2_688, "uram": 640}
    }


def test_used_available_and_percent():
    table = {name: cells for name, *cells in fit_table(FIGURES, Z7020)}
    assert table["LUT"] == ["26600", "53200", "50", "70"]
    assert table["FF"] == ["not estimated", "106400", "-", "-"]
    assert table["DSP"] == ["250", "220", "114", "80"]
    assert table["BRAM 18k"] == ["140", "280", "50", "80"]
    assert verdict(FIGURES, Z7020) == "no: DSP 250 of 220 (114 %)"
    assert fit_sentence(FIGURES, Z7020) == (
        f"{Z7020} (PYNQ-Z2): does not fit: DSP 250 of 220 (114 %) (estimate; AMD DS190)."
    )


def test_a_part_is_full_where_it_does_not_route():
    assert verdict({**FIGURES, "estimate_dsp": 176}, Z7020) == "yes"
    assert list(shortages({**FIGURES, "estimate_dsp": 177}, Z7020)) == ["dsp"]
    full = {"estimate_dsp": 0, "estimate_lut": 37_241, "estimate_bram_18k": 225}
    assert list(shortages(full, Z7020)) == ["lut", "bram_18k"]


def test_an_unknown_part_is_one_sentence_and_numbers_without_percent():
    assert verdict(FIGURES, UNKNOWN) is None and shortages(FIGURES, UNKNOWN) == {}
    rows = fit_table(FIGURES, UNKNOWN)[1:]
    assert ("DSP", "250", "-", "-", "80") in rows
    assert fit_sentence(FIGURES, UNKNOWN) == (
        f"The part {UNKNOWN} is not in hls/plan/parts.py, so nobody knows whether this fits."
    )


def test_luts_of_memories_alone_are_said_to_be_that():
    figures = {key: value for key, value in FIGURES.items() if key != "estimate_lut"}
    sentence = fit_sentence({**figures, "estimate_lut_memory": 5, "estimate_dsp": 1}, Z7020)
    assert "fits (estimate, LUTs of memories only; AMD DS190)" in sentence


def test_small_luts_are_named():
    assert "4 inputs" in fit_sentence(FIGURES, "LFE5U-85F-6BG381C")


def test_open_tools_route_what_the_rule_for_amd_parts_refuses():
    figures = {"estimate_lut": 17_750, "estimate_dsp": 141, "estimate_bram_18k": 132}
    assert verdict(figures, "LFE5U-85F-6BG381C") == "yes"  # routed: docs/rtl.md
    assert verdict({**figures, "estimate_dsp": 157}, "LFE5U-85F-6BG381C") == (
        "no: DSP 157 of 156 (101 %)"
    )
    assert (
        verdict({**figures, "estimate_dsp": 180}, "xc7z020clg400-1") == "no: DSP 180 of 220 (82 %)"
    )
