"""Synthesise the RTL of a design with Yosys and count what each unit of hls/rtl takes.

Yosys keeps the border of each unit, so every count belongs to an instance of the top module. Its
counts are not those of Vivado: it puts no registers into DSPs and knows no CARRY8.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hls.gates.cells import Counts, added, taken
from hls.gates.tools import watched
from hls.simulate.rtl import TOP
from models.files.errors import PipelineError

_SYNTHESIS = {
    "ecp5": "synth_ecp5",
    "xcup": "synth_xilinx -family xcup -flatten -noiopad -noclkbuf",
}
_STAT, NETLIST = "stat.json", "netlist.json"
_SCRIPT = """\
read_verilog -sv -defer {sources}
hierarchy -check -top {top}
setattr -mod -set keep_hierarchy 1 {units}
{synthesis} -top {top}
tee -q -o {stat} stat -json -top {top}
{write}"""
_WRITE = f"""\
setattr -mod -unset keep_hierarchy *
flatten
clean
write_json {NETLIST}
"""
# The units that the top module has instances of; the modules inside them become part of them.
_UNITS = (
    *("affine", "duplicate", "fifo", "matrix_vector", "mean", "pack", "replay", "residual"),
    *("transpose", "unpack"),
)
_PROGRESS = re.compile(r"^\d+\.\d+\. Executing \w+ pass")


@dataclass(frozen=True)
class Synthesis:
    """What a synthesised design takes: in total, and all instances of each unit in the top module.

    A unit's counts include the modules inside it (a `matrix_vector` has the table that it reads).
    """

    total: Counts
    units: Mapping[str, Counts]


def script(sources: list[str], family: str, with_netlist: bool) -> str:
    """Return the script for Yosys that synthesises resmlp_top for a family of hls.gates.cells."""
    return _SCRIPT.format(
        sources=" ".join(sources),
        top=TOP,
        synthesis=_SYNTHESIS[family],
        units=" ".join(f"*\\{unit} *\\{unit}\\*" for unit in _UNITS),
        stat=_STAT,
        write=_WRITE if with_netlist else "",
    )


def synthesise(
    yosys: str, folder: Path, family: str, log: Path, with_netlist: bool = False
) -> Synthesis:
    """Synthesise the RTL in `folder`, which receives the results; return the counts.

    The output is appended to `log`, and its steps are shown. With `with_netlist`, the flat netlist
    is written to NETLIST in `folder`, for nextpnr. PipelineError quotes the tool's first error.
    """
    sources = sorted(path.name for path in folder.glob("*.sv"))
    (folder / "synthesis.ys").write_text(script(sources, family, with_netlist))
    command = [yosys, "synthesis.ys"]
    watched(command, folder, log, _PROGRESS, f"yosys for {family}")
    try:
        return read_stat((folder / _STAT).read_text(), family)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError(
            f"Yosys wrote no counts that can be read ({error}); see {log}."
        ) from None


def read_stat(text: str, family: str) -> Synthesis:
    """Return the counts in the output of `stat -json`; ValueError or KeyError if it is no such."""
    modules: Mapping[str, Any] = json.loads(text)["modules"]
    cells = {name: module["num_cells_by_type"] for name, module in modules.items()}
    sums: dict[str, Counts] = {}

    def counted(name: str) -> Counts:
        """Return the counts of a module with everything inside it."""
        if name not in sums:
            sums[name] = added([_times(row, n) for row, n in inside(name)])
        return sums[name]

    def inside(name: str) -> Iterator[tuple[Counts, int]]:
        for cell, number in cells[name].items():
            yield (counted(cell) if cell in cells else taken(cell, family)), number

    (top,) = (name for name in cells if name.lstrip("\\") == TOP)
    units: dict[str, list[Counts]] = {}
    for cell, number in cells[top].items():
        module = next((key for key in (cell, f"\\{cell}") if key in cells), None)
        if module is not None:
            units.setdefault(unit_of(module), []).append(_times(counted(module), number))
    return Synthesis(counted(top), {name: added(rows) for name, rows in sorted(units.items())})


def unit_of(module: str) -> str:
    r"""Return the unit of hls/rtl that a module of Yosys is made from.

    >>> unit_of("$paramod$5f0e99\\fifo"), unit_of("$paramod\\mean\\LANES=32'1"), unit_of("\\pack")
    ('fifo', 'mean', 'pack')
    """
    parts = module.split("\\")
    return parts[1] if len(parts) > 1 else module


def _times(row: Counts, number: int) -> Counts:
    return {name: number * count for name, count in row.items()}
