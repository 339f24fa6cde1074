"""Place and route a netlist of Yosys on an ECP5 with nextpnr, and write its bitstream.

The clock that nextpnr reports is computed from its delays of the routed wires; the design has not
run on an FPGA.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hls.gates.tools import watched
from hls.simulate.rtl import TOP
from models.files.errors import PipelineError

REPORT, CONFIG, BITSTREAM = "route.json", "design.config", f"{TOP}.bit"
SEED = 1
CELLS = {  # nextpnr's name of a kind of cell: ours
    "TRELLIS_COMB": "lut",
    "TRELLIS_FF": "ff",
    "MULT18X18D": "dsp",
    "DP16KD": "bram_18k",
}

_PART = re.compile(r"LFE5U-(12|25|45|85)F-([678])BG(256|381|554|756)C?")
_PROGRESS = re.compile(
    r"Packing .*|Placed \d+ cells.*|Running .* placer.*|at iteration #\d+:.*|"
    r"Routing \d+ arcs.*|Routing complete.*|Max frequency .*"
)


@dataclass(frozen=True)
class Fpga:
    """An ECP5 in nextpnr's terms: thousands of LUTs, speed grade, package."""

    size: str
    speed: str
    package: str


@dataclass(frozen=True)
class Route:
    """A routed design: clock in MHz, used and available cells (CELLS), the path that limits it."""

    clock_mhz: float
    used: Mapping[str, int]
    available: Mapping[str, int]
    critical_path: str


def fpga_of(part: str) -> Fpga | None:
    """Return the ECP5 with a full part name, None if it is no LFE5U in a package that is known.

    >>> fpga_of("LFE5U-85F-6BG381C")
    Fpga(size='85k', speed='6', package='CABGA381')
    """
    found = _PART.fullmatch(part)
    return Fpga(f"{found[1]}k", found[2], f"CABGA{found[3]}") if found else None


def place_and_route(
    nextpnr: str,
    netlist: Path,
    fpga: Fpga,
    clock_mhz: float,
    log: Path,
    constraints: Path | None = None,
) -> Route:
    """Route the netlist for a clock; REPORT and CONFIG are written beside it.

    Without a file of `constraints` (.lpf) nextpnr chooses the pins. A clock that is not reached is
    no error. The output is appended to `log`, and its steps are shown; PipelineError quotes the
    tool's first error.
    """
    folder = netlist.parent
    command = [nextpnr, f"--{fpga.size}", "--package", fpga.package, "--speed", fpga.speed]
    command += ["--json", netlist.name, "--textcfg", CONFIG, "--report", REPORT]
    command += ["--freq", f"{clock_mhz:g}", "--timing-allow-fail", "--seed", str(SEED)]
    pins = ["--lpf-allow-unconstrained"] if constraints is None else ["--lpf", constraints.name]
    watched([*command, *pins], folder, log, _PROGRESS, "nextpnr")
    try:
        return read_report((folder / REPORT).read_text())
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise PipelineError(
            f"nextpnr wrote no report that can be read ({error}); see {log}."
        ) from None


def write_bitstream(ecppack: str, folder: Path, log: Path) -> Path:
    """Pack the CONFIG in `folder` to a bitstream beside it; return its path."""
    command = [ecppack, "--compress", CONFIG, BITSTREAM]
    watched(command, folder, log, re.compile("(?!)"), "ecppack")
    return folder / BITSTREAM


def read_report(text: str) -> Route:
    """Return what nextpnr's JSON report says; ValueError or KeyError if it is no report."""
    report = json.loads(text)
    clocks = {name: float(clock["achieved"]) for name, clock in report["fmax"].items()}
    slowest = min(clocks, key=lambda name: clocks[name])
    cells = {ours: report["utilization"][name] for name, ours in CELLS.items()}
    return Route(
        clocks[slowest],
        {name: int(cell["used"]) for name, cell in cells.items()},
        {name: int(cell["available"]) for name, cell in cells.items()},
        _path_in_words(report["critical_paths"], slowest),
    )


def instance_of(cell: str) -> str:
    r"""Return the instance in the top module that a cell belongs to, "" if it is the top's own.

    >>> instance_of("blocks_0_mlp.scale.result_TRELLIS_FF_Q"), instance_of("$abc$7$lut$8")
    ('blocks_0_mlp', '')
    >>> instance_of("$flatten\\mean_unit.$abc$1432$auto$blifparse.cc:396:parse_blif$1440")
    'mean_unit'
    """
    named = cell.removeprefix("$flatten").lstrip("\\")
    first, dot, _ = named.partition(".")
    return first if dot and not first.startswith("$") else ""


def _path_in_words(paths: list[Any], clock: str) -> str:
    """Return from where to where the critical path of a clock leads, and its delay."""
    steps = next(path["path"] for path in paths if clock in path["from"] and clock in path["to"])
    through: list[str] = []
    for step in steps:
        for end in ("from", "to"):
            name = instance_of(step[end]["cell"]) or "the top module"
            if name not in through[-1:]:
                through.append(name)
    delays = {kind: 0.0 for kind in ("clk-to-q", "source", "logic", "routing", "setup")}
    for step in steps:
        delays[step["type"]] = delays.get(step["type"], 0.0) + float(step["delay"])
    total, wires = sum(delays.values()), delays["routing"]
    where = f"inside {through[0]}" if len(through) == 1 else f"from {' to '.join(through)}"
    logic = sum(1 for step in steps if step["type"] == "logic")
    return f"{where}: {total:.1f} ns ({wires:.1f} ns of wires, {logic} cells of logic)"
