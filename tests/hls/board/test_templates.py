"""Templates: every name is filled, and no value becomes a command."""

import pytest

from hls.board.templates import TEMPLATES, filled


@pytest.mark.parametrize(
    "value", ["x; exit", "$(reboot)", "[exec ls]", "a}b", 'a"b', "a\nb", "`id`", "a\\b", "$x", "é"]
)
def test_a_value_that_could_be_a_command_is_refused(value):
    names = {"PART": value, "CLOCK_NS": 5}
    with pytest.raises(ValueError, match=r"movers/run\.tcl: PART is .*, which is not a plain word"):
        filled("movers/run.tcl", names)


def test_a_name_without_a_value_is_an_error():
    with pytest.raises(KeyError, match="CLOCK_NS"):
        filled("movers/run.tcl", {"PART": "xcu50"})


def test_names_are_filled_and_nothing_else_changes():
    text = filled("movers/run.tcl", {"PART": "xcu50-fsvh2104-2-e", "CLOCK_NS": "3.3"})
    template = (TEMPLATES / "movers/run.tcl").read_text()
    assert text == template.replace("@PART@", "xcu50-fsvh2104-2-e").replace("@CLOCK_NS@", "3.3")


def test_prose_may_hold_anything():
    values = {name: "5 % of [it]; $0" for name in ("NAME", "TITLE", "NETWORK", "KERNEL", "PART")}
    values |= {"CLOCK_MHZ": 1, "INTERVAL": 2, "RATE": 3, "FIT": "x", "BOARD_PART": "y"}
    assert "5 % of [it]; $0" in filled("zynq/README.md", values, prose=True)
