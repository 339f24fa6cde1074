"""The HLS tool driven through stand-ins of its three generations, and all the ways it can fail."""

import logging
import os
import re
import time

import pytest

from hls import processes
from hls.cpp.accelerators import STREAMING
from hls.synthesize import tool
from hls.synthesize.metrics import synthesis_metrics
from hls.synthesize.project import accelerator_sources, read_manifest, write_project
from hls.synthesize.project_texts import SynthesisTarget
from hls.synthesize.tool_log import reason
from models.files.errors import PipelineError
from tests.support.hls_stand_in import LINES, PART, TOP, install, put

pytestmark = pytest.mark.slow

GENERATIONS = [  # executables, version of the reports, the first line of the log
    (["vitis-run", "v++"], "2025.2", "vitis-run --mode hls --csim"),
    (["vitis-run"], "2023.1", "vitis-run --mode hls --tcl run.tcl"),
    (["vitis_hls"], "2022.2", "vitis_hls -f run.tcl"),
    (["vivado_hls"], "2019.2", "vivado_hls -f run.tcl"),
]
FULL = {"cosim": True, "export": "impl"}


@pytest.fixture
def bin_folder(tmp_path, monkeypatch):
    """Return the only folder on PATH."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(tool, "POLL_SECONDS", 0.02)
    return tmp_path / "bin"


@pytest.fixture
def start(tmp_path, bin_folder):
    """Return a function that writes a project and runs the tool on it."""
    headers = [tmp_path / f"{name}.hpp" for name in ("config", "params", "golden", "design")]
    for header in headers:
        put(header, "#pragma once\n")

    def run(minutes=1.0, **target):
        manifest = write_project(
            tmp_path / "project",
            "relu_h96",
            accelerator_sources(STREAMING, *headers),
            SynthesisTarget(PART, 5.0, **target),
        )
        found = tool.find_tool()
        log = tmp_path / "synthesis.log"
        measured = tool.run(found, tmp_path / "project", tmp_path / "synthesis", log, minutes)
        return synthesis_metrics(measured, manifest)

    return run


def failure(start, **arguments):
    with pytest.raises(PipelineError) as stopped:
        start(**arguments)
    message = str(stopped.value)
    assert re.fullmatch(r"[^\n]*; see [^\n]*/synthesis\.log\.", message), message
    return message


@pytest.mark.parametrize(("names", "version", "command"), GENERATIONS)
def test_each_generation_takes_the_steps_and_gives_the_same_keys(
    start, bin_folder, tmp_path, names, version, command
):
    for name in names:
        install(bin_folder, name, version)
    result = start()
    assert result["tool"].endswith(f" HLS {version}") and result["csim"] == "PASS"
    assert (result["lut"], result["bram"], result["dsp_available"]) == (339116, 332, 5952)
    assert (result["latency_avg_cycles"], result["latency_max_cycles"]) == (None, 29441)
    assert result["cosim"] is None and result["export"] is None
    full = start(**FULL)
    assert list(full) == list(result)
    assert (full["cosim"], full["cosim_interval_avg_cycles"]) == ("PASS", 6240)
    assert full["cosim_total_cycles"] == (None if version < "2020" else 51000)
    assert (full["export"], full["export_lut"], full["export_clock_ns"]) == ("impl", 120000, 4.321)
    assert (tmp_path / "synthesis.log").read_text().startswith(f"$ {command}")


def test_the_newest_front_end_wins_and_params_can_say_otherwise(bin_folder):
    assert tool.find_tool() is None
    for name in ("vivado_hls", "vitis_hls", "v++", "vitis-run"):
        install(bin_folder, name)
        expected = "vitis_hls" if name == "v++" else name  # v++ alone is the linker of 2019 on
        assert tool.find_tool() == tool.Tool(expected, config=name == "vitis-run")
    assert tool.find_tool("vitis_hls") == tool.Tool("vitis_hls")
    assert tool.find_tool("vivado_hls") == tool.Tool("vivado_hls")


def test_a_named_tool_that_is_absent_is_not_replaced(bin_folder):
    install(bin_folder, "vitis_hls")
    assert tool.find_tool("vivado_hls") is None
    assert tool.absent("vivado_hls") == "There is no vivado_hls on PATH: nothing was synthesised."
    assert "vitis-run, vitis_hls, vivado_hls" in tool.absent()


@pytest.mark.parametrize(("version", "config"), [("2023.1", False), ("2023.2", True)])
def test_the_first_version_with_config_files(tmp_path, monkeypatch, version, config):
    folder = tmp_path / "Xilinx" / "Vitis" / version / "bin"
    install(folder, "vitis-run")
    install(folder, "v++")
    monkeypatch.setenv("PATH", str(folder))
    assert tool.find_tool() == tool.Tool("vitis-run", config)


def test_milestones_are_shown(start, bin_folder, caplog):
    install(bin_folder, "vitis_hls")
    with caplog.at_level(logging.INFO):
        start()
    assert caplog.messages[0] == "relu_h96: C simulation, C synthesis with vitis_hls"
    assert "  INFO: [HLS 200-10] csynth of resmlp_top" in caplog.messages


REASONS = {
    "licence": "the licence is missing (ERROR: [Common 17-345] A valid license was not found",
    "part": f"does not know the part (hls.part) (ERROR: [HLS 200-1023] Part '{PART}' is not",
    "y2k22": "need AMD's patch AR 76960",
    "other": "ERROR: [HLS 207-812] 'ap_int.h' file not found",
    "memory": "the memory was not enough",
    "crash": "it crashed (Abnormal program termination (11))",
    "signal": "killed by signal 9",
    "status": "status 3",
    "nothing": "status 0 and without the result",
}


@pytest.mark.parametrize("names", [["vitis-run", "v++"], ["vitis_hls"]], ids=["config", "tcl"])
@pytest.mark.parametrize("what", REASONS)
def test_every_failure_is_one_sentence(start, bin_folder, tmp_path, names, what):
    for name in names:
        install(bin_folder, name, flaw=f"csynth:{what}")
    message = failure(start)
    assert f"{names[-1]} stopped in C synthesis: " in message and REASONS[what] in message
    assert (tmp_path / "synthesis_run").is_dir()


@pytest.mark.parametrize(
    ("flaw", "step"),
    [
        ("csim:other", "C simulation"),
        ("csim:nothing", "C simulation"),
        ("csynth:nothing", "C synthesis"),
        ("cosim:other", "co-simulation"),
        ("impl:licence", "implementation"),
        ("impl:nothing", "implementation"),
    ],
)
@pytest.mark.parametrize("names", [["vitis-run", "v++"], ["vitis_hls"]], ids=["config", "tcl"])
def test_the_step_is_named(start, bin_folder, names, flaw, step):
    for name in names:
        install(bin_folder, name, flaw=flaw)
    assert f" stopped in {step}: " in failure(start, **FULL)


@pytest.mark.parametrize("names", [["vitis-run", "v++"], ["vitis_hls"]], ids=["config", "tcl"])
@pytest.mark.parametrize(
    ("flaw", "message"),
    [
        ("csim silent", "stopped in C simulation: the test bench found a difference (MISMATCH"),
        ("csynth truncated", "cut off or is not XML"),
        ("csynth foreign", "its top function is another"),
        ("cosim fail", "stopped in co-simulation: it ended with status 0"),
    ],
)
def test_status_0_is_no_proof(start, bin_folder, names, flaw, message):
    for name in names:
        install(bin_folder, name, flaw=flaw)
    assert message in failure(start, **FULL)


def test_a_free_running_design_passes_co_simulation_without_cycles(start, bin_folder):
    install(bin_folder, "vitis_hls", flaw="cosim zero")
    result = start(**FULL)
    assert result["cosim"] == "PASS" and result["note"] is None
    assert {value for key, value in result.items() if key.startswith("cosim_")} == {None}


def is_running(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_time_limit_ends_the_tool_and_its_children(start, bin_folder, tmp_path, monkeypatch):
    """The child does not heed SIGTERM."""
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    install(bin_folder, "vitis_hls", flaw="csynth:hang")
    began = time.monotonic()
    message = failure(start, minutes=3 / 60)
    assert time.monotonic() - began < 10
    assert "stopped in C synthesis: the 0.05 minutes of hls.timeout_minutes were over" in message
    child = int((tmp_path / "synthesis_run/child.pid").read_text())
    deadline = time.monotonic() + 5
    while is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(child)


def test_ctrl_c_ends_the_tool(start, bin_folder, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "GRACE_SECONDS", 0.2)
    install(bin_folder, "vitis_hls", flaw="csynth:hang")

    def interrupt(lines):
        if (tmp_path / "synthesis_run/child.pid").exists():
            raise KeyboardInterrupt

    monkeypatch.setattr(tool, "_show_progress", interrupt)
    with pytest.raises(KeyboardInterrupt):
        start()
    child = (tmp_path / "synthesis_run/child.pid").read_text()
    time.sleep(0.1)
    assert not child or not is_running(int(child))


def test_a_failure_leaves_the_last_good_run(start, bin_folder, tmp_path):
    install(bin_folder, "vitis_hls")
    start()
    report = next((tmp_path / "synthesis").rglob(f"{TOP}_csynth.xml"))
    install(bin_folder, "vitis_hls", flaw="csynth:other")
    failure(start)
    assert report.is_file()
    install(bin_folder, "vitis_hls", "2021.2")
    assert start()["tool"] == "Vitis HLS 2021.2"
    assert not (tmp_path / "synthesis_run").exists()


def test_a_project_that_was_edited_is_not_run(start, bin_folder, tmp_path):
    install(bin_folder, "vitis_hls")
    start()
    (tmp_path / "project/src/params.hpp").write_text("edited")
    with pytest.raises(PipelineError, match=r"src/params\.hpp is not the file"):
        tool.run(
            tool.Tool("vitis_hls"), tmp_path / "project", tmp_path / "b", tmp_path / "b.log", 1.0
        )


def test_what_a_run_in_the_project_left_is_not_copied(start, bin_folder, tmp_path):
    install(bin_folder, "vitis_hls")
    start()
    manifest = read_manifest(tmp_path / "project/manifest.json")
    put(tmp_path / "project" / manifest.work / f"hls/syn/report/{TOP}_csynth.xml", "older")
    assert start()["lut"] == 339116


def test_a_tool_that_cannot_be_started(start, bin_folder):
    (bin_folder / "vitis_hls").write_text("#!/no/such/interpreter\n")
    os.chmod(bin_folder / "vitis_hls", 0o755)
    with pytest.raises(PipelineError, match="vitis_hls cannot be started"):
        start()


def test_the_reason_prefers_the_cause_to_what_follows_from_it():
    said = f"ERROR: [IMPL 213-28] failed\n{LINES['licence']}\n"
    assert reason(1, said).startswith("the licence is missing")
    warned = "WARNING: [Common 17-348] Failed to get the license\nERROR: [HLS 1-1] no loop\n"
    assert reason(1, warned) == "ERROR: [HLS 1-1] no loop"
    assert len(reason(1, "ERROR: " + "x" * 5000)) < 300
