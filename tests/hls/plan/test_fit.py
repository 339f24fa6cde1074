"""What the parts have, and what a plan says about used and available resources."""

import pytest

from hls.board.boards import BOARDS
from hls.plan.fit import Use, fit_sentence, fit_table, uses, verdict
from hls.plan.parts import PARTS, available

FIGURES = {
    "model_interval_cycles": 768,
    "estimate_multipliers": 8706,
    "estimate_dsp": 250,
    "estimate_lut_memory": 26_600,
    "estimate_bram_18k": 280,
}
Z7020 = "xc7z020clg400-1"


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
        ("xc7z020", "xc7z020"),
        ("", None),
    ],
)
def test_a_part_is_found_by_its_device(name, device):
    found = available(name)
    assert (found.device if found else None) == device


def test_every_board_has_a_known_part_and_every_part_a_source():
    for board in BOARDS.values():
        assert available(board.part) is not None, board.name
    for part in PARTS:
        assert part.source and min(part.lut, part.ff, part.dsp, part.bram_18k) > 0
        assert part.bram_18k % 2 == 0  # a block RAM of 36 kbit has two halves
        assert part.ff == part.lut * (2 if part.lut_inputs == 6 else 1)
    assert len({part.device for part in PARTS}) == len(PARTS)


def test_percent_and_what_does_not_fit():
    found = uses(FIGURES, Z7020)
    table = {name: cells for name, *cells in fit_table(found, Z7020)}
    assert table["LUT of memories"] == ["26600", "53200", "50"]
    assert table["FF"] == ["not estimated", "106400", "-"]
    assert table["DSP"] == ["250", "220", "114"]
    assert table["BRAM 18 kbit"] == ["280", "280", "100"]
    assert "URAM" not in table
    assert verdict(found, Z7020) == "does not fit: DSP 114 %"
    sentence = fit_sentence(found, Z7020)
    assert sentence == (
        f"{Z7020} (PYNQ-Z2): does not fit: DSP 114 % (estimate, logic of LUTs not counted; "
        "AMD DS190)."
    )


def test_exactly_full_fits_and_one_more_does_not():
    assert verdict(uses({**FIGURES, "estimate_dsp": 220}, Z7020), Z7020) == "fits"
    assert verdict(uses({**FIGURES, "estimate_dsp": 221}, Z7020), Z7020).startswith("does not fit")


def test_luts_with_logic_take_precedence_over_those_of_memories():
    found = uses({**FIGURES, "estimate_lut": 53_201, "estimate_ff": 10}, Z7020)
    by_name = {use.name: use for use in found}
    assert by_name["LUT"].used == 53_201 and not by_name["LUT"].fits
    assert "LUT of memories" not in by_name and by_name["FF"].used == 10
    assert "not counted" not in fit_sentence(found, Z7020)


def test_an_unknown_part_is_one_sentence_and_numbers_without_percent():
    found = uses(FIGURES, "xcvu9p-flga2104-2-i")
    assert verdict(found, "xcvu9p-flga2104-2-i") == "unknown part"
    rows = fit_table(found, "xcvu9p-flga2104-2-i")[1:]
    assert ("DSP", "250", "-", "-") in rows
    assert all(row[2:] == ("-", "-") for row in rows)
    sentence = fit_sentence(found, "xcvu9p-flga2104-2-i")
    assert sentence.startswith("The resources of the part xcvu9p-flga2104-2-i are not in hls/plan")
    assert sentence.count(". ") == 0


def test_a_resource_that_the_part_lacks_is_told_without_a_percent():
    assert verdict([Use("URAM", 3, 0)], Z7020) == "does not fit: URAM 3"


def test_small_luts_are_named():
    sentence = fit_sentence(uses(FIGURES, "LFE5U-85F-6BG381C"), "LFE5U-85F-6BG381C")
    assert "4 inputs" in sentence
