"""The stage synthesize: what it writes, what it keeps, and reports brought back."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from hls.cpp.accelerators import SIMD, STREAMING
from hls.plan.design import Design
from hls.plan.sizes import Sizes
from hls.plan.streaming.folding import published_folding
from hls.synthesize import tool
from hls.synthesize.project import read_manifest
from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import load_samples, save_int_params, save_samples
from stages import csim, generate_headers, plan, synthesize
from stages.pipeline.strict_yaml import read_yaml
from stages.results.metrics import write_metrics
from tests.support.hls_stand_in import TOP, csynth_xml, install, put
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

DESIGN, SIMD_DESIGN, NAME = "relu_h96_stream", "relu_h96_simd", "relu_h96"
METRICS = Path(f"data/synthesis/{DESIGN}/metrics.json")
TABLES = Path(f"data/designs/{DESIGN}/synthesis_tables.json")
LOG = Path(f"data/designs/{DESIGN}/synthesis.log")
PROJECT = Path(f"data/designs/{DESIGN}/project")
KEYS = [
    "tool",
    "sources",
    "part",
    "flow_target",
    "clock_target_ns",
    "csim",
    "clock_uncertainty_ns",
    "clock_estimated_ns",
    "clock_slack_ns",
    *(f"{kind}_{end}_cycles" for kind in ("latency", "interval") for end in ("min", "avg", "max")),
    *(
        f"{name}{figure}"
        for name in ("lut", "ff", "dsp", "bram", "uram")
        for figure in ("", "_available", "_percent")
    ),
    "cosim",
    *(
        f"cosim_{kind}_{end}_cycles"
        for kind in ("latency", "interval")
        for end in ("min", "avg", "max")
    ),
    "cosim_total_cycles",
    "export",
    "export_clock_ns",
    "export_timing_met",
    *(
        f"export_{name}{figure}"
        for name in ("lut", "ff", "dsp", "bram", "uram")
        for figure in ("", "_available", "_percent")
    ),
    "note",
]


# The reports of the stand-in do not give these, and it has no remark.
UNTOLD = {
    "latency_avg_cycles",
    "interval_avg_cycles",
    "uram_percent",
    "export_uram",
    "export_uram_available",
    "export_uram_percent",
    "note",
}


@pytest.fixture
def folder(tmp_path, monkeypatch, random_network):
    """Go to a pipeline folder with headers and golden samples, where no tool is on PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(tool, "POLL_SECONDS", 0.02)
    write_params()
    make_network(random_network(tables=True, input_lut=True))
    return tmp_path


def make_network(network):
    """Write a network, its headers and its two designs, as the stages before do."""
    save_int_params(network, f"data/{NAME}/int8.pkl")
    generate_headers.main(NAME)
    sizes = Sizes.of(network)
    depths = {"token_mixer_shortcut": 99, "mlp_shortcut": 40, "link": 4}
    streaming = Design(NAME, STREAMING, sizes, published_folding(sizes), depths)
    designs = {DESIGN: streaming, SIMD_DESIGN: Design(NAME, SIMD, sizes, array=(4, 4))}
    for name, design in designs.items():
        plan.write_plan(name, design, "")
        tokens = np.zeros((1, network.num_patches, network.patch_dim), np.int32)
        samples = int_resmlp.make_samples(network, tokens, np.zeros(1, np.int32))
        csim.write_test_data(name, design, network, samples)


def write_params(**hls):
    params = read_yaml(ROOT / "params.yaml")
    params["hls"] |= hls
    Path("params.yaml").write_text(yaml.safe_dump(params))


def metrics():
    return json.loads(METRICS.read_text())


def test_without_a_tool_there_are_no_figures_and_one_sentence_says_so(folder, caplog):
    synthesize.main(DESIGN)
    assert list(METRICS.parent.iterdir()) == []  # the folder is there, as DVC asks
    assert json.loads(TABLES.read_text()) == {"modules": [], "loops": []}
    assert (PROJECT / "run.tcl").is_file() and not LOG.exists()
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith(f"{DESIGN}: There is no Vitis HLS ")
    assert record.getMessage().endswith("on PATH: nothing was synthesised.")


def test_without_a_tool_require_tool_is_an_error(folder):
    write_params(require_tool=True)
    with pytest.raises(PipelineError, match=r"on PATH.* set hls\.require_tool to false"):
        synthesize.main(DESIGN)
    assert not METRICS.exists() and not TABLES.exists()


def test_with_a_tool_the_metrics_and_tables_are_written(folder):
    install(folder / "bin", "vitis_hls", "2022.2")
    write_params(cosim=True, export="impl")
    synthesize.main(DESIGN)
    result = metrics()
    assert list(result) == [key for key in KEYS if key in result]
    assert set(KEYS) - set(result) == UNTOLD and None not in result.values()
    assert (result["tool"], result["csim"]) == ("Vitis HLS 2022.2", "PASS")
    assert (result["lut"], result["lut_percent"]) == (339116, 38.9037)
    assert (result["cosim_interval_max_cycles"], result["export_lut"]) == (6240, 120000)
    found = json.loads(TABLES.read_text())
    assert [row["name"] for row in found["modules"]] == [TOP, "fill"]
    assert found["loops"][0] | {"latency": 0} == {
        "module": "fill",
        "name": "rows",
        "latency": 0,
        "trip_count": {"min": 64, "avg": 64, "max": 64},
        "iteration_latency": {"min": 96, "avg": 96, "max": 96},
        "interval": {"min": None, "avg": None, "max": None},
    }
    assert LOG.is_file()


def test_what_differs_from_the_plan_is_stored_and_logged(folder, caplog):
    install(folder / "bin", "vitis_hls", "2022.2")
    figures = {"model_interval_cycles": 6240, "estimate_dsp": 1184, "estimate_bram_18k": 332}
    write_metrics(f"data/metrics/model/{DESIGN}.json", figures)
    synthesize.main(DESIGN)
    found = json.loads(METRICS.with_name("comparison.json").read_text())
    assert found["dsp"] == {"tool": 29, "expected": 1184, "percent": -97.55}
    assert found["bram"]["percent"] == 0 and found["interval_cycles"]["percent"] == 0
    sentence = "C synthesis uses DSP 29, the estimate is 1184 (-97.55 %)."
    assert sentence in found["differences"] and sentence in caplog.text
    assert "The loop rows/columns of fill is not flattened" in caplog.text


def test_params_choose_the_tool(folder):
    install(folder / "bin", "vitis_hls", "2022.2")
    install(folder / "bin", "vivado_hls", "2019.2")
    write_params(tool="vivado_hls")
    synthesize.main(DESIGN)
    assert metrics()["tool"] == "Vivado HLS 2019.2"


def test_a_failure_leaves_the_earlier_results(folder):
    install(folder / "bin", "vitis_hls")
    synthesize.main(DESIGN)
    before = METRICS.read_bytes(), TABLES.read_bytes()
    install(folder / "bin", "vitis_hls", flaw="csynth:licence")
    with pytest.raises(PipelineError, match=rf"the licence is missing .*; see {LOG}\."):
        synthesize.main(DESIGN)
    assert (METRICS.read_bytes(), TABLES.read_bytes()) == before


def test_where_no_tool_is_the_figures_of_the_same_sources_stay(folder, caplog):
    install(folder / "bin", "vitis_hls")
    synthesize.main(DESIGN)
    before = METRICS.read_bytes(), TABLES.read_bytes()
    (folder / "bin" / "vitis_hls").unlink()
    with caplog.at_level(logging.INFO):
        synthesize.main(DESIGN)
    assert (METRICS.read_bytes(), TABLES.read_bytes()) == before
    assert "the earlier figures of these sources stay" in caplog.text
    TABLES.unlink()
    synthesize.main(DESIGN)
    assert METRICS.read_bytes() == before[0] and TABLES.is_file()


@pytest.mark.parametrize("change", ["sources", "clock", "part", "an older form", "no JSON"])
def test_where_no_tool_is_figures_of_anything_else_go(folder, change, random_network):
    install(folder / "bin", "vitis_hls")
    synthesize.main(DESIGN)
    (folder / "bin" / "vitis_hls").unlink()
    if change == "sources":
        make_network(random_network(seed=1))
    if change == "clock":
        write_params(clock_ns=4.0)
    if change == "part":
        write_params(part="xcu280-fsvh2892-2L-e")
    if change == "an older form":
        METRICS.write_text(json.dumps({"lut": 3}))
    if change == "no JSON":
        METRICS.write_text("{")
    synthesize.main(DESIGN)
    assert list(METRICS.parent.iterdir()) == []
    assert json.loads(TABLES.read_text())["modules"] == []


@pytest.fixture
def brought_back(folder):
    """Run the tool on a copy of the project, as on another machine; return that folder."""
    synthesize.main(DESIGN)
    place = folder / "machine" / "project"
    shutil.copytree(PROJECT, place)
    install(folder / "other", "vitis_hls", "2023.1")
    subprocess.run([folder / "other" / "vitis_hls", "-f", "run.tcl"], cwd=place, check=True)
    return place


def test_reports_brought_back_count_as_if_it_had_run_here(folder, brought_back):
    synthesize.main(DESIGN, brought_back)
    elsewhere = METRICS.read_bytes(), TABLES.read_bytes()
    assert metrics()["tool"] == "Vitis HLS 2023.1"
    synthesize.main(DESIGN)  # there is no tool here, so they stay
    assert METRICS.read_bytes() == elsewhere[0]
    install(folder / "bin", "vitis_hls", "2023.1")
    synthesize.main(DESIGN)
    assert (METRICS.read_bytes(), TABLES.read_bytes()) == elsewhere


def test_a_run_in_the_project_folder_itself_is_read_there(folder, brought_back):
    for path in brought_back.glob("project_*"):
        shutil.copytree(path, PROJECT / path.name)
    synthesize.main(DESIGN, PROJECT)
    assert metrics()["tool"] == "Vitis HLS 2023.1"


def test_reports_of_other_sources_are_refused_and_change_nothing(
    folder, brought_back, random_network
):
    make_network(random_network(seed=1, tables=True))  # trained anew
    with pytest.raises(PipelineError, match=r"of other sources: src/golden\.hpp differs"):
        synthesize.main(DESIGN, brought_back)
    assert not METRICS.exists()


def test_reports_of_another_part_are_refused(folder, brought_back):
    write_params(part="xcu280-fsvh2892-2L-e")
    with pytest.raises(PipelineError, match="its part is xcu50"):
        synthesize.main(DESIGN, brought_back)


def test_a_success_that_cannot_be_built_is_said(folder, brought_back, caplog):
    project = read_manifest(PROJECT / "manifest.json").project
    report = brought_back / project / f"solution/syn/report/{TOP}_csynth.xml"
    report.write_text(csynth_xml("2023.1", lut="2400000"))
    caplog.clear()
    synthesize.main(DESIGN, brought_back)
    assert metrics()["note"].startswith("LUT 2400000 exceeds the 871680")
    assert "LUT 2400000 exceeds" in caplog.text


def test_a_simd_design_is_a_project_of_its_own(folder):
    name = SIMD_DESIGN
    memory = Path(f"data/designs/{name}/golden/parameters.hpp")
    content = memory.read_text()
    memory.unlink()
    with pytest.raises(PipelineError, match=r"parameters\.hpp is missing; run `dvc repro csim`"):
        synthesize.main(name)
    memory.write_text(content)
    synthesize.main(name)
    project = Path(f"data/designs/{name}/project")
    assert read_manifest(project / "manifest.json").top == "resmlp_simd"
    sources = {path.name for path in (project / "src").iterdir()}
    assert {"resmlp_simd.cpp", "processor.hpp", "driver.hpp", "parameters.hpp"} <= sources
    assert not {"resmlp_top.cpp", "linear.hpp", "params.hpp"} & sources


def test_missing_golden_samples_are_named(folder):
    Path(f"data/designs/{DESIGN}/golden/golden.hpp").unlink()
    with pytest.raises(PipelineError, match=r"golden\.hpp is missing; run `dvc repro csim`"):
        synthesize.main(DESIGN)
    assert not PROJECT.exists() and not METRICS.exists()


HEADERS = {  # header that the tool compiles: the design whose project holds it, and the stage
    f"data/{NAME}/headers/config.hpp": (DESIGN, "generate_headers"),
    f"data/{NAME}/headers/params.hpp": (DESIGN, "generate_headers"),
    f"data/designs/{DESIGN}/headers/design.hpp": (DESIGN, "plan"),
    f"data/designs/{DESIGN}/golden/golden.hpp": (DESIGN, "csim"),
    f"data/designs/{SIMD_DESIGN}/golden/parameters.hpp": (SIMD_DESIGN, "csim"),
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_header_with_a_foreign_line_gets_into_no_project(folder, header):
    lines = Path(header).read_text().split("\n")
    lines.insert(2, 'static int run = system("touch owned");')
    Path(header).write_text("\n".join(lines))
    design, stage = HEADERS[header]
    with pytest.raises(PipelineError, match=rf"{header}, line 3, is not .*`dvc repro {stage}`"):
        synthesize.main(design)
    assert not Path(f"data/designs/{design}/project").exists()


def test_a_file_beside_the_headers_is_refused(folder):
    put(Path(f"data/{NAME}/headers/vector"), "#error")  # g++ would take it for its own <vector>
    with pytest.raises(PipelineError, match=r"headers/vector is not a file of the pipeline"):
        synthesize.main(DESIGN)


def test_samples_of_another_network_get_into_no_project(folder, random_network):
    path = f"data/designs/{DESIGN}/golden/samples.pkl"
    samples = load_samples(path)
    other = int_resmlp.make_samples(random_network(seed=1), samples.input, samples.labels)
    save_samples(other, path)
    with pytest.raises(PipelineError, match=r"samples\.pkl holds no samples of this network"):
        synthesize.main(DESIGN)


@pytest.mark.pipeline
def test_the_command_line_takes_a_folder_of_reports(folder, brought_back):
    command = [sys.executable, "-m", "stages.synthesize", DESIGN, "--reports", str(brought_back)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert metrics()["tool"] == "Vitis HLS 2023.1"
    command[-1] = "nowhere"
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("error: nowhere must hold one manifest.json")
