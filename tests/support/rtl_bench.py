"""Test benches for the units of hls/rtl: many units beside one another in one simulation.

Each unit gets sources and sinks (tests/support/rtl), which send words and compare words at random
paces. So a batch of units needs one translation and one compilation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hls.netlist.memories import mem_text
from hls.simulate import verilator

BENCH = Path(__file__).resolve().parent / "rtl"
Elements = npt.NDArray[np.integer]


@dataclass(frozen=True)
class Stream:
    """int8 elements in the order of a stream, `lanes` per word."""

    elements: Elements
    lanes: int

    def words(self) -> list[int]:
        rows = self.elements.astype(np.int8).reshape(-1, self.lanes)
        return [int.from_bytes(row.tobytes(), "little") for row in rows]


@dataclass
class Case:
    """A unit with its parameters, ROMs, input streams and expected output streams by port.

    `pause` is the number of 256 cycles in which a source or sink waits. `roms` maps a parameter to
    (words, bits), or to the list of words of each lane's table.
    """

    unit: str
    parameters: Mapping[str, int]
    inputs: Mapping[str, Stream]
    outputs: Mapping[str, Stream]
    roms: Mapping[str, tuple[Sequence[int], int]] = field(default_factory=dict)
    tables: Sequence[Sequence[int]] = ()
    pause: int = 80


def run(
    cases: Sequence[Case],
    folder: Path,
    sources: Sequence[Path],
    runtime: Sequence[Path],
    limit: int = 100000,
) -> str:
    """Simulate all cases; return what the sinks report, "" if every word is as expected."""
    texts = [_instance(f"u{number}", case, folder, number) for number, case in enumerate(cases)]
    done = [f"u{n}_{port}_done" for n, case in enumerate(cases) for port in case.outputs]
    signals = ", ".join(done)
    top = (
        f"module bench (input logic clk, input logic rst, output logic done);\n"
        f"  logic {signals};\n  assign done = &{{{signals}}};\n{''.join(texts)}endmodule\n"
    )
    (folder / "bench.sv").write_text(top)
    files = [*sources, BENCH / "source.sv", BENCH / "sink.sv", folder / "bench.sv"]
    bench, log = BENCH / "clock.cpp", folder / "log"
    program = verilator.build("g++", files, "bench", bench, folder, log, "-O0", runtime=runtime)
    (result,) = verilator.simulate(program, [[str(limit), "200"]], folder, folder / "log")
    assert result.returncode == 0, result.stdout
    return result.stdout


def problems(report: str) -> list[str]:
    """Return the lines of a report that say that something is wrong."""
    return [line for line in report.splitlines() if "ends in cycle" not in line]


def last_cycle(report: str, number: int, port: str) -> int:
    """Return the cycle in which the last word of a case's output came."""
    (line,) = [x for x in report.splitlines() if f"u{number}_{port}_sink ends" in x]
    return int(line.split()[-1])


def _instance(name: str, case: Case, folder: Path, seed: int) -> str:
    parameters = {key: str(value) for key, value in case.parameters.items()}
    for key, (words, bits) in case.roms.items():
        (folder / f"{name}_{key}.mem").write_text(mem_text(words, bits))
        parameters[key] = f'"{name}_{key}.mem"'
    for lane, words in enumerate(case.tables):
        (folder / f"{name}_table_{lane:02}.mem").write_text(mem_text(words, 17))
        parameters["TABLE"] = f'"{name}_table"'
    ports = [".clk", ".rst"]
    text = ""
    for kind, streams in (("source", case.inputs), ("sink", case.outputs)):
        for offset, (port, stream) in enumerate(streams.items()):
            wire, end = f"{name}_{port}", "out" if kind == "source" else "in"
            words, bits = stream.words(), 8 * stream.lanes
            (folder / f"{wire}.mem").write_text(mem_text(words, bits))
            text += f"  logic [{bits - 1}:0] {wire}_data; logic {wire}_valid, {wire}_ready;\n"
            text += (
                f'  {kind} #(.WIDTH({bits}), .WORDS({len(words)}), .FILE("{wire}.mem"), '
                f".PAUSE({case.pause}), .SEED({97 * seed + 31 * offset + len(kind)})) "
                f"{wire}_{kind} (.clk, .rst, .{end}_data({wire}_data), "
                f".{end}_valid({wire}_valid), .{end}_ready({wire}_ready)"
                f"{f', .done({wire}_done)' if kind == 'sink' else ''});\n"
            )
            ports += [f".{port}_{part}({wire}_{part})" for part in ("data", "valid", "ready")]
    listed = ", ".join(f".{key}({value})" for key, value in parameters.items())
    return f"{text}  {case.unit} #({listed}) {name} ({', '.join(ports)});\n"
