"""The script that packs RTL for Vivado, run in a real Tcl with stand-ins for Vivado's commands."""

from pathlib import Path

import pytest

from tests.support.paths import ROOT

SCRIPT = ROOT / "hls" / "rtl" / "vivado.tcl"
COMMANDS = (
    *("create_project", "add_files", "set_property", "get_files", "current_fileset"),
    *("package_project", "current_core", "associate_bus_interfaces", "check_integrity"),
    "save_core",
)


def calls_of(*arguments: str) -> list[list[str]]:
    """Run the script with arguments; return Vivado's commands and what it prints, in order."""
    tkinter = pytest.importorskip("tkinter")
    tcl, calls = tkinter.Tcl(), []

    def command(name: str, *values: str) -> str:
        calls.append([name, *values])
        return f"<{name}>"

    tcl.eval("namespace eval ipx {}")
    for name in COMMANDS:
        for full in (name, f"ipx::{name}"):
            tcl.createcommand(full, lambda *values, name=name: command(name, *values))
    tcl.createcommand("puts", lambda text: command("puts", text) and "")
    tcl.eval("proc exit status { error exited }")
    tcl.setvar("argv", arguments)
    try:
        tcl.eval(SCRIPT.read_text())
    except tkinter.TclError as error:
        assert str(error) == "exited", error
    return calls


def test_all_sources_and_memories_become_an_ip_with_two_streams(tmp_path: Path) -> None:
    rtl = tmp_path / "a design" / "rtl"
    rtl.mkdir(parents=True)
    for name in ("resmlp_top.sv", "fifo.sv", "w.mem", "notes.txt"):
        (rtl / name).write_text("")
    calls = calls_of(str(rtl), "xcu50-fsvh2104-2-e")
    assert calls[0] == ["create_project", "-in_memory", "-part", "xcu50-fsvh2104-2-e", "resmlp_ip"]
    (added,) = (call[1] for call in calls if call[0] == "add_files")
    assert [name in str(added) for name in ("fifo.sv", "resmlp_top.sv", "w.mem")] == [True] * 3
    assert "notes" not in str(added)
    assert ["set_property", "top", "resmlp_top", "<current_fileset>"] in calls
    (packed,) = (call for call in calls if call[0] == "package_project")
    assert packed[packed.index("-root_dir") + 1] == str(rtl.parent / "ip")
    streams = [call[2:5] for call in calls if call[0] == "associate_bus_interfaces"]
    assert streams == [["tokens", "-clock", "ap_clk"], ["logits", "-clock", "ap_clk"]]
    top = (ROOT / "hls" / "netlist" / "top.py").read_text()
    assert all(port in top for port in ("tokens_TDATA", "logits_TLAST", "ap_clk", "resmlp_top"))
    assert calls[-1] == ["save_core", "<current_core>"]
    assert calls_of(str(rtl))[0] == ["create_project", "-in_memory", "resmlp_ip"]


@pytest.mark.parametrize("arguments", [[], ["."]], ids=["no folder", "a folder without RTL"])
def test_a_missing_folder_is_one_sentence(arguments: list[str], tmp_path: Path) -> None:
    (call,) = calls_of(*(str(tmp_path) for _ in arguments))
    assert call[0] == "puts" and call[1].startswith("ERROR: ")
    assert "data/designs" in call[1] or "python stages rtl NAME" in call[1]
