"""Stand-ins for Yosys, nextpnr and ecppack: they write short reports of the tools' own form."""

import json
import sys
from itertools import pairwise
from pathlib import Path

from hls.gates.tools import ECPPACK, NEXTPNR, YOSYS
from tests.support.paths import ROOT

FIFO = "$paramod$5f0e99\\fifo"
STAT = {
    "creator": "Yosys 0.70 (git sha1 28ba3cb92)",
    "modules": {
        FIFO: {"num_cells_by_type": {"LUT4": 9, "LUT6": 5, "TRELLIS_FF": 6, "DP16KD": 1}},
        "\\resmlp_top": {"num_cells_by_type": {"LUT4": 5, "LUT6": 2, FIFO: 2}},
    },
}


def step(kind: str, delay: float, start: str, end: str) -> dict[str, object]:
    """Return a step of a critical path as nextpnr writes it, without places."""
    return {"type": kind, "delay": delay, "from": {"cell": start}, "to": {"cell": end}}


ROUTE = {
    "critical_paths": [
        {
            "from": "posedge $glbnet$ap_clk",
            "to": "posedge $glbnet$ap_clk",
            "path": [
                step("clk-to-q", 5.5, "mul.words.0.0", "mul.words.0.0"),
                step("routing", 2.0, "mul.words.0.0", "$flatten\\add.$abc$14$lut$7"),
                step("logic", 0.25, "$flatten\\add.$abc$14$lut$7", "$flatten\\add.$abc$14$lut$7"),
                step("routing", 0.75, "$flatten\\add.$abc$14$lut$7", "add.sum_FF_Q"),
                step("setup", 0.0, "add.sum_FF_Q", "add.sum_FF_Q"),
            ],
        },
        {"from": "<async>", "to": "posedge $glbnet$ap_clk", "path": []},
    ],
    "fmax": {"$glbnet$ap_clk": {"achieved": 117.65, "constraint": 100.0}},
    "utilization": {
        "DP16KD": {"available": 208, "used": 2},
        "MULT18X18D": {"available": 156, "used": 1},
        "TRELLIS_COMB": {"available": 83640, "used": 36},
        "TRELLIS_FF": {"available": 83640, "used": 12},
        "TRELLIS_IO": {"available": 205, "used": 23},
    },
}
PYTHON = sys.executable  # tests may change it later
_SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, {root!r})
from tests.support.gates_stand_in import main
main({name!r})
"""


def install(folder: Path, *names: str) -> None:
    """Write the stand-ins with these names, by default of all tools, into a folder."""
    folder.mkdir(exist_ok=True)
    for name in names or (YOSYS, NEXTPNR, ECPPACK):
        text = _SCRIPT.format(python=PYTHON, root=str(ROOT), name=name)
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)


def main(name: str) -> None:
    """Do what the tool `name` does, with the arguments of this process."""
    arguments = sys.argv[1:]
    if name == YOSYS:
        _yosys(arguments)
    elif name == NEXTPNR:
        _nextpnr(arguments)
    else:
        Path(arguments[-1]).write_bytes(b"bits of " + Path(arguments[-2]).read_bytes())


def _yosys(arguments: list[str]) -> None:
    sys.stdout.write("Yosys 0.70 (git sha1 28ba3cb92, Release)\n")
    if arguments == ["-V"]:
        return
    script = Path(arguments[0]).read_text()
    if "wrong.sv" in script:
        sys.stdout.write("wrong.sv:3: ERROR: syntax error, unexpected TOK_ID\n")
        sys.exit(1)
    sys.stdout.write("2.24. Executing MEMORY pass.\n2.24.1. Executing OPT_MEM pass.\n")
    Path("stat.json").write_text(json.dumps(STAT))
    if "write_json" in script:
        Path("netlist.json").write_text("{}")


def _nextpnr(arguments: list[str]) -> None:
    sys.stdout.write("(Version nextpnr-0.11.1)\n")
    if arguments == ["--version"]:
        return
    options = dict(pairwise(arguments))
    sys.stdout.write(f"Info: Placed 0 cells on {options['--package']} speed {options['--speed']}\n")
    Path(options["--report"]).write_text(json.dumps(ROUTE))
    Path(options["--textcfg"]).write_text(f"config at {options['--freq']} MHz")
