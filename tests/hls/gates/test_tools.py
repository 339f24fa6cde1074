"""How the tools are found, asked and run."""

import re
import sys
from pathlib import Path

import pytest

from hls.gates.tools import NEXTPNR, YOSYS, tool_path, version, watched
from hls.gates.yosys import NETLIST, synthesise
from models.files.errors import PipelineError
from tests.support.gates_stand_in import install


def test_a_tool_is_looked_for_on_path_and_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("path", "venv"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "venv" / "python"))
    assert tool_path(YOSYS) is None
    install(tmp_path / "venv", YOSYS)
    assert tool_path(YOSYS) == str(tmp_path / "venv" / YOSYS)
    install(tmp_path / "path", YOSYS)
    assert tool_path(YOSYS) == str(tmp_path / "path" / YOSYS)


@pytest.mark.parametrize(
    ("name", "option", "words"),
    [(YOSYS, "-V", "yosys 0.70"), (NEXTPNR, "--version", "nextpnr-ecp5 0.11.1")],
)
def test_a_tool_says_its_version(name: str, option: str, words: str, tmp_path: Path) -> None:
    install(tmp_path, name)
    assert version(str(tmp_path / name), option, tmp_path / "log") == words


def test_a_tool_without_a_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match=r"does not say a version .*make rtl-tools"):
        version("/bin/true", "-V", tmp_path / "log")


def test_output_is_logged_as_it_comes_and_progress_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script = "echo one; echo step two; pwd"
    folder, log = tmp_path / "work", tmp_path / "log"
    folder.mkdir()
    result = watched(["sh", "-c", script], folder, log, re.compile("step .*"), "tool")
    assert result.stdout == f"one\nstep two\n{folder}\n"
    assert log.read_text() == f"$ sh -c {script}\n{result.stdout}"
    assert capsys.readouterr().err == "tool: step two\n"


def test_a_failure_quotes_the_error_of_the_tool(tmp_path: Path) -> None:
    install(tmp_path, YOSYS)
    (tmp_path / "wrong.sv").write_text("")
    with pytest.raises(PipelineError, match=r"yosys failed: wrong.sv:3: ERROR: syntax error.*log"):
        synthesise(str(tmp_path / YOSYS), tmp_path, "ecp5", tmp_path / "log")
    with pytest.raises(PipelineError, match=r"sh failed: status 3; see"):
        watched(["sh", "-c", "exit 3"], tmp_path, tmp_path / "log", re.compile("x"), "tool")


def test_the_netlist_is_written_where_it_is_wanted(tmp_path: Path) -> None:
    install(tmp_path, YOSYS)
    counts = synthesise(str(tmp_path / YOSYS), tmp_path, "ecp5", tmp_path / "log")
    assert counts.total == {"lut": 23, "ff": 12, "dsp": 0, "bram_18k": 2}
    assert not (tmp_path / NETLIST).exists()
    synthesise(str(tmp_path / YOSYS), tmp_path, "ecp5", tmp_path / "log", with_netlist=True)
    assert (tmp_path / NETLIST).exists()
