"""The stages gates and route, with stand-ins for the tools and without any."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from hls.gates.tools import NEXTPNR, YOSYS
from models.files.errors import PipelineError
from stages import gates, route
from stages.pipeline.paths import design_artifact, gates_file, metrics, route_file, rtl_file
from stages.results.metrics import write_metrics
from tests.support.gates_stand_in import install
from tests.support.paths import ROOT

DESIGN = "lerp_psa_h96_stream"
GATES, ROUTE = design_artifact(DESIGN, "gates"), design_artifact(DESIGN, "route")


@pytest.fixture
def bin_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Go to a folder with RTL, a plan's figures and counted cycles; return its folder on PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    (tmp_path / "params.yaml").write_text((ROOT / "demo" / "params.yaml").read_text())
    rtl = design_artifact(DESIGN, "rtl")
    rtl.mkdir(parents=True)
    (rtl / "resmlp_top.sv").write_text("module resmlp_top; endmodule\n")
    estimate = {"estimate_lut": 30, "estimate_dsp": 1, "estimate_bram_18k": 2}
    write_metrics(metrics("model", DESIGN), {**estimate})
    write_metrics(rtl_file(DESIGN), {"interval_cycles": 50_000.0})
    return tmp_path / "bin"


def test_without_tools_there_are_no_figures_and_a_sentence_says_so(
    bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gates.main(DESIGN)
    route.main(DESIGN)
    for folder in (GATES, ROUTE, gates_file(DESIGN).parent, route_file(DESIGN).parent):
        assert list(folder.iterdir()) == []  # the folders are there, as DVC asks
    first, second = (record.getMessage() for record in caplog.records)
    assert "no Yosys" in first and "no nextpnr" in second
    assert first.endswith("run `make rtl-tools`") and second.endswith("run `make rtl-tools`")


def test_without_a_netlist_nothing_is_routed(
    bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gates.main(DESIGN)
    install(bin_folder)
    route.main(DESIGN)
    assert "Yosys has made no netlist" in caplog.text and not route_file(DESIGN).exists()


def test_counts_stand_beside_the_estimate(bin_folder: Path) -> None:
    install(bin_folder, YOSYS)
    gates.main(DESIGN)
    assert json.loads(gates_file(DESIGN).read_text()) == {
        "tool": "yosys 0.70",
        **{"ecp5_lut": 23, "ecp5_ff": 12, "ecp5_dsp": 0, "ecp5_bram_18k": 2},
        **{"xcup_lut": 35, "xcup_ff": 0, "xcup_dsp": 0, "xcup_bram_18k": 0},
    }
    table = (GATES / "units.md").read_text()
    assert "| fifo                 | 18  | 12 | 0   | 2        |" in table
    assert "| estimate of the plan | 30  | -  | 1   | 2        |" in table
    assert gzip.decompress((GATES / "netlist.json.gz").read_bytes()) == b"{}"
    assert not design_artifact(DESIGN, "gates.log").exists()


def test_the_rate_is_the_routed_clock_over_the_counted_cycles(
    bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    install(bin_folder)
    gates.main(DESIGN)
    route.main(DESIGN)
    found = json.loads(route_file(DESIGN).read_text())
    assert found["tool"] == "nextpnr-ecp5 0.11.1" and found["part"] == "LFE5U-85F-6BG381C"
    assert (found["routed_clock_mhz"], found["routed_images_per_second"]) == (117.65, 2353)
    assert (found["used_dsp"], found["available_dsp"]) == (1, 156)
    assert (ROUTE / "resmlp_top.bit").read_text() == "bits of config at 100 MHz"
    assert "117.7 MHz on LFE5U-85F-6BG381C (nextpnr, routed; not run on an FPGA)" in caplog.text


def test_without_counted_cycles_there_is_no_rate(
    bin_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install(bin_folder)
    rtl_file(DESIGN).unlink()
    gates.main(DESIGN)
    route.main(DESIGN)
    found = json.loads(route_file(DESIGN).read_text())
    assert "routed_images_per_second" not in found and "routed_clock_mhz" in found
    assert "was not simulated, so no rate is computed" in caplog.text


def test_a_failed_tool_leaves_its_log_and_no_figures(bin_folder: Path) -> None:
    install(bin_folder)
    (design_artifact(DESIGN, "rtl") / "wrong.sv").write_text("")
    with pytest.raises(PipelineError, match="syntax error"):
        gates.main(DESIGN)
    assert design_artifact(DESIGN, "gates.log").exists() and not gates_file(DESIGN).exists()


def test_gates_need_the_rtl(bin_folder: Path) -> None:
    install(bin_folder, YOSYS, NEXTPNR)
    (design_artifact(DESIGN, "rtl") / "resmlp_top.sv").unlink()
    with pytest.raises(PipelineError, match=r"has no RTL; run `python stages rtl lerp"):
        gates.main(DESIGN)


def test_a_failed_tool_leaves_the_earlier_result(bin_folder: Path) -> None:
    install(bin_folder)
    gates.main(DESIGN)
    files = [gates_file(DESIGN), GATES / "units.md", GATES / "netlist.json.gz"]
    earlier = [file.read_bytes() for file in files]
    (design_artifact(DESIGN, "rtl") / "wrong.sv").write_text("")
    with pytest.raises(PipelineError, match="syntax error"):
        gates.main(DESIGN)
    assert [file.read_bytes() for file in files] == earlier


def test_a_damaged_netlist_is_named_and_the_earlier_route_stays(bin_folder: Path) -> None:
    install(bin_folder)
    gates.main(DESIGN)
    route.main(DESIGN)
    packed = GATES / "netlist.json.gz"
    packed.write_bytes(packed.read_bytes()[:-9])
    with pytest.raises(PipelineError, match=r"netlist\.json\.gz is damaged .*stages gates lerp"):
        route.main(DESIGN)
    assert route_file(DESIGN).exists() and (ROUTE / "resmlp_top.bit").exists()


@pytest.mark.parametrize("stage", [gates, route], ids=["gates", "route"])
def test_a_design_that_has_no_rtl_leaves_no_folder(stage, bin_folder: Path) -> None:
    params = Path("params.yaml")
    old = "lerp_psa_h96_stream: {variant: lerp_psa_h96, accelerator: streaming, folding: published}"
    new = "simd_design: {variant: lerp_psa_h96, accelerator: simd, array: [2, 2]}"
    params.write_text(params.read_text().replace(f"  {old}\n", f"  {old}\n  {new}\n"))
    with pytest.raises(PipelineError, match="simd_design is a simd design, but RTL"):
        stage.main("simd_design")
    assert not Path("data/designs/simd_design").exists()
