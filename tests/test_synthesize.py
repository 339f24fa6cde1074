"""The stage synthesize with stand-ins for Vitis HLS that check how they are called."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from hls import vitis
from models.errors import PipelineError
from stages import generate_headers, synthesize

ROOT = Path(__file__).resolve().parent.parent
NAME = "relu_h96"
METRICS = Path(f"data/metrics/synthesis/{NAME}.json")
LOG = Path(f"data/{NAME}/synthesis.log")
REPORT = """\
<profile>
<ReportVersion><Version>{version}</Version></ReportVersion>
<PerformanceEstimates>
<PipelineType>dataflow</PipelineType>
<SummaryOfOverallLatency>
<unit>clock cycles</unit>
<Best-caseLatency>100</Best-caseLatency>
<Worst-caseLatency>{latency}</Worst-caseLatency>
<DataflowPipelineThroughput>6240</DataflowPipelineThroughput>
<Interval-min>6200</Interval-min>
<Interval-max>6240</Interval-max>
</SummaryOfOverallLatency>
</PerformanceEstimates>
<AreaEstimates>
<Resources><BRAM_18K>332</BRAM_18K><{dsp}>29</{dsp}><FF>65881</FF><LUT>339116</LUT>{uram}</Resources>
<AvailableResources><BRAM_18K>2688</BRAM_18K><{dsp}>5952</{dsp}><FF>1</FF><LUT>2</LUT></AvailableResources>
</AreaEstimates>
</profile>
"""
STAND_IN = """\
#!{python}
import sys
from pathlib import Path
assert sys.argv[1:] == {arguments!r}, sys.argv
text = Path({arguments!r}[{input_index}]).read_text()
missing = [line for line in {lines!r} if line not in text.splitlines()]
assert not missing, missing
for name in ("resmlp_top.cpp", "resmlp_top.hpp", "linear.hpp", "config.hpp", "params.hpp"):
    assert Path(name).is_file(), name
{body}
"""
UNIFIED = {
    "arguments": ["-c", "--mode", "hls", "--config", "hls_config.cfg", "--work_dir", "work"],
    "input_index": 4,
    "lines": [
        *("part=xcu50-fsvh2104-2-e", "[hls]", "clock=5.0ns", "flow_target=vitis"),
        *("syn.file=resmlp_top.cpp", "syn.top=resmlp_top"),
    ],
}
CLASSIC = {
    "arguments": ["-f", "csynth.tcl"],
    "input_index": 1,
    "lines": [
        *("set_top resmlp_top", "set_part xcu50-fsvh2104-2-e", "create_clock -period 5.0ns"),
        "open_solution -reset solution -flow_target vitis",
    ],
}


@pytest.fixture
def folder(tmp_path, monkeypatch, random_network):
    """Go to a pipeline folder with headers, where no tool is on PATH."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    (tmp_path / "bin").mkdir()
    write_params()
    monkeypatch.setattr(generate_headers, "load_int_params", lambda path: random_network())
    generate_headers.main(NAME)
    return tmp_path


def write_params(**hls):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["hls"] |= hls
    Path("params.yaml").write_text(yaml.safe_dump(params))


def install(folder, name, body="", **expected):
    path = folder / "bin" / name
    expected = expected or {"arguments": [], "input_index": 0, "lines": []}
    path.write_text(STAND_IN.format(python=sys.executable, body=body, **expected))
    path.chmod(0o755)


def writes_report(reports, version="2024.1", latency="29441", dsp="DSP", uram="<URAM>0</URAM>"):
    report = REPORT.format(version=version, latency=latency, dsp=dsp, uram=uram)
    return (
        f"Path({reports!r}).mkdir(parents=True)\n"
        f"Path({reports!r}, 'resmlp_top_csynth.xml').write_text({report!r})"
    )


def metrics():
    return json.loads(METRICS.read_text())


def test_without_the_tool_the_numbers_are_null_and_a_note_says_so(folder):
    synthesize.main(NAME)
    result = metrics()
    assert "not on PATH" in result.pop("note")
    keys = ["tool", "lut", "ff", "dsp", "bram", "uram", "latency_cycles", "interval_cycles"]
    assert list(result) == keys
    assert set(result.values()) == {None}


def test_without_the_tool_require_tool_is_an_error(folder):
    write_params(require_tool=True)
    with pytest.raises(PipelineError, match=r"not on PATH.* set hls\.require_tool to false"):
        synthesize.main(NAME)
    assert not METRICS.exists()


def test_the_config_file_front_end(folder):
    install(folder, "v++", writes_report("work/hls/syn/report"), **UNIFIED)
    install(folder, "vitis-run")
    install(folder, "vitis_hls", "raise SystemExit('the newer front end is preferred')")
    synthesize.main(NAME)
    assert metrics() == {
        "tool": "Vitis HLS 2024.1",
        **{"lut": 339116, "ff": 65881, "dsp": 29, "bram": 332, "uram": 0},
        **{"latency_cycles": 29441, "interval_cycles": 6240, "note": None},
    }
    assert not LOG.exists()


def test_the_tcl_front_end_and_an_old_report(folder):
    """2020.1: the element is DSP48E; a part without URAM has no element for it."""
    report = writes_report(
        "project/solution/syn/report", "2020.1", latency="undef", dsp="DSP48E", uram=""
    )
    install(folder, "v++", "raise SystemExit('an old v++ has no HLS mode')")
    install(folder, "vitis_hls", report, **CLASSIC)
    synthesize.main(NAME)
    result = metrics()
    assert (result["tool"], result["dsp"]) == ("Vitis HLS 2020.1", 29)
    assert (result["uram"], result["latency_cycles"], result["interval_cycles"]) == (
        None,
        None,
        6240,
    )


FAILURES = {
    "print('INFO: x')\nprint('ERROR: [HLS 200-1023] Part is not installed')\nsys.exit(1)": (
        r"ERROR: \[HLS 200-1023\] Part is not installed; see"
    ),
    "": r"status 0, no resmlp_top_csynth\.xml; see",
    "sys.exit(3)": "status 3, no ",
}


@pytest.mark.parametrize("body", FAILURES, ids=["error", "no report", "status"])
def test_a_failure_of_the_tool_is_quoted_and_its_log_kept(folder, body):
    install(folder, "vitis_hls", body, **CLASSIC)
    with pytest.raises(PipelineError, match=f"vitis_hls did not synthesise.*{FAILURES[body]}"):
        synthesize.main(NAME)
    assert LOG.is_file()
    assert not METRICS.exists()


def test_a_report_that_is_no_xml_is_named(tmp_path):
    path = tmp_path / "resmlp_top_csynth.xml"
    path.write_text("<profile>")
    with pytest.raises(PipelineError, match="is not a csynth report"):
        vitis.read_report(path)
