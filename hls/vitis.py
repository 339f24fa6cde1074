"""Synthesis with Vitis HLS, where it is installed: run it, read its report.

Two front ends exist: `v++ --mode hls` with a config file (2023.2 and newer, recognised by
`vitis-run` beside it) and `vitis_hls` with a Tcl script (up to 2024.2).
"""

import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from models.errors import PipelineError

TOP = "resmlp_top"
SOURCES = Path(__file__).parent
ABSENT = "Vitis HLS (v++ and vitis-run, or vitis_hls) is not on PATH: nothing was synthesised."

_CONFIG = """\
part={part}

[hls]
clock={clock_ns}ns
flow_target={flow_target}
syn.file={top}.cpp
syn.top={top}
syn.cflags=-std=c++14
package.output.syn=false
"""

_SCRIPT = """\
open_project -reset project
set_top {top}
add_files {top}.cpp -cflags {{-std=c++14}}
open_solution -reset solution -flow_target {flow_target}
set_part {part}
create_clock -period {clock_ns}ns
if {{[catch csynth_design]}} {{ exit 1 }}
exit 0
"""


@dataclass(frozen=True)
class Tool:
    """How to call the tool in a folder with the sources, and where its reports appear in it."""

    command: tuple[str, ...]
    input_name: str
    input_text: str
    reports: str


_UNIFIED = Tool(
    ("v++", "-c", "--mode", "hls", "--config", "hls_config.cfg", "--work_dir", "work"),
    "hls_config.cfg",
    _CONFIG,
    "work/hls/syn/report",
)
_CLASSIC = Tool(
    ("vitis_hls", "-f", "csynth.tcl"), "csynth.tcl", _SCRIPT, "project/solution/syn/report"
)


@dataclass(frozen=True)
class Report:
    """What csynth estimates; None where the report says `undef` or has no such resource.

    BRAM counts blocks of 18 kbit; latency is the worst case and interval the largest, in cycles.
    """

    tool: str
    lut: int | None
    ff: int | None
    dsp: int | None
    bram: int | None
    uram: int | None
    latency_cycles: int | None
    interval_cycles: int | None


def find_tool() -> Tool | None:
    """Return the newest front end on PATH, or None."""
    if shutil.which("v++") and shutil.which("vitis-run"):
        return _UNIFIED
    return _CLASSIC if shutil.which("vitis_hls") else None


def synthesize(
    tool: Tool,
    headers: Sequence[Path],
    folder: Path,
    log: Path,
    part: str,
    clock_ns: float,
    flow_target: str,
) -> Report:
    """Run C synthesis in `folder` and read its report; PipelineError quotes the tool's error."""
    for source in (*headers, *SOURCES.glob("include/*.hpp"), SOURCES / f"{TOP}.cpp"):
        shutil.copy(source, folder)
    text = tool.input_text.format(top=TOP, part=part, clock_ns=clock_ns, flow_target=flow_target)
    (folder / tool.input_name).write_text(text)
    with log.open("w") as file:
        done = subprocess.run(tool.command, cwd=folder, stdout=file, stderr=subprocess.STDOUT)
    path = folder / tool.reports / f"{TOP}_csynth.xml"
    if done.returncode != 0 or not path.is_file():  # a run without a report can end with status 0
        errors = [line for line in log.read_text().splitlines() if line.startswith("ERROR")]
        reason = errors[0] if errors else f"status {done.returncode}, no {path.name}"
        raise PipelineError(f"{tool.command[0]} did not synthesise {TOP}: {reason}; see {log}.")
    return read_report(path)


def read_report(path: Path) -> Report:
    """Read a <top>_csynth.xml of any version."""
    try:
        root = ElementTree.parse(path).getroot()
    except ElementTree.ParseError as error:
        raise PipelineError(
            f"{path} is not a csynth report ({error}); synthesise again."
        ) from error
    resources, latency = "AreaEstimates/Resources", "PerformanceEstimates/SummaryOfOverallLatency"
    dsp = _number(root, f"{resources}/DSP")
    return Report(
        tool=f"Vitis HLS {root.findtext('ReportVersion/Version', default='?')}",
        lut=_number(root, f"{resources}/LUT"),
        ff=_number(root, f"{resources}/FF"),
        dsp=_number(root, f"{resources}/DSP48E") if dsp is None else dsp,
        bram=_number(root, f"{resources}/BRAM_18K"),
        uram=_number(root, f"{resources}/URAM"),
        latency_cycles=_number(root, f"{latency}/Worst-caseLatency"),
        interval_cycles=_number(root, f"{latency}/Interval-max"),
    )


def _number(root: ElementTree.Element, path: str) -> int | None:
    text = root.findtext(path, default="").strip()
    return int(text) if text.isdigit() else None
