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


@dataclass(frozen=True)
class Cpp:
    """The call of a C++ unit (`unit` of tests/support/hls_units_binding.hpp) with the same data.

    `arguments` are those of its template, `inputs` and `shapes` the arrays that it reads and fills
    for one image; for several images the first input has all of them. Of the arrays that it fills
    `takes` are the output, each vector `times` times.
    """

    unit: str
    arguments: Sequence[str | int]
    inputs: Sequence[Elements]
    shapes: Sequence[tuple[int, ...]]
    takes: Sequence[int] | None = None
    times: int = 1
    images: int = 1


@dataclass
class Case:
    """A unit with its parameters, ROMs, input streams and expected output streams by port.

    `pause` has the number of 256 cycles in which a source waits, and in which a sink waits. `roms`
    maps a parameter to (words, bits), `tables` has the list of words of each lane's table.
    """

    unit: str
    parameters: Mapping[str, int]
    inputs: Mapping[str, Stream]
    outputs: Mapping[str, Stream]
    roms: Mapping[str, tuple[Sequence[int], int]] = field(default_factory=dict)
    tables: Sequence[Sequence[int]] = ()
    pause: tuple[int, int] = (80, 80)
    cpp: Cpp | None = None


def run(
    cases: Sequence[Case],
    folder: Path,
    sources: Sequence[Path],
    runtime: Sequence[Path],
    limit: int = 100000,
) -> str:
    """Compile and simulate all cases; return what the sinks report."""
    return simulate(build(cases, folder, sources, runtime), cases, folder, limit)


def build(
    cases: Sequence[Case], folder: Path, sources: Sequence[Path], runtime: Sequence[Path]
) -> Path:
    """Compile a simulation of units of the sizes of these cases; return the program."""
    texts = [_instance(f"u{number}", case) for number, case in enumerate(cases)]
    done = [f"u{n}_{port}_done" for n, case in enumerate(cases) for port in case.outputs]
    signals = ", ".join(done)
    top = (
        f"module bench (input logic clk, input logic rst, output logic done);\n"
        f"  logic {signals};\n  assign done = &{{{signals}}};\n{''.join(texts)}endmodule\n"
    )
    (folder / "bench.sv").write_text(top)
    files = [*sources, BENCH / "source.sv", BENCH / "sink.sv", folder / "bench.sv"]
    bench, log = BENCH / "clock.cpp", folder / "log"
    return verilator.build("g++", files, "bench", bench, folder, log, "-O0", runtime=runtime)


def simulate(program: Path, cases: Sequence[Case], folder: Path, limit: int = 100000) -> str:
    """Simulate cases of the sizes that were built, with any data and pauses.

    Returns what the sinks report; `problems` is empty if every word is as expected.
    """
    for number, case in enumerate(cases):
        _write_files(f"u{number}", case, folder, number)
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


def _instance(name: str, case: Case) -> str:
    parameters = {key: str(value) for key, value in case.parameters.items()}
    parameters |= {key: f'"{name}_{key}.mem"' for key in case.roms}
    if case.tables:
        parameters["TABLE"] = f'"{name}_table"'
    ports = [".clk", ".rst"]
    text = ""
    for kind, port, stream in _streams(case):
        wire, end = f"{name}_{port}", "out" if kind == "source" else "in"
        words, bits = len(stream.words()), 8 * stream.lanes
        text += f"  logic [{bits - 1}:0] {wire}_data; logic {wire}_valid, {wire}_ready;\n"
        text += (
            f'  {kind} #(.WIDTH({bits}), .WORDS({words}), .FILE("{wire}.mem"), '
            f'.PACE("{wire}_pace.mem")) '
            f"{wire}_{kind} (.clk, .rst, .{end}_data({wire}_data), "
            f".{end}_valid({wire}_valid), .{end}_ready({wire}_ready)"
            f"{f', .done({wire}_done)' if kind == 'sink' else ''});\n"
        )
        ports += [f".{port}_{part}({wire}_{part})" for part in ("data", "valid", "ready")]
    listed = ", ".join(f".{key}({value})" for key, value in parameters.items())
    return f"{text}  {case.unit} #({listed}) {name} ({', '.join(ports)});\n"


def _write_files(name: str, case: Case, folder: Path, seed: int) -> None:
    """Write what the simulation reads: ROMs, words of all streams, their pauses and seeds."""
    for key, (words, bits) in case.roms.items():
        (folder / f"{name}_{key}.mem").write_text(mem_text(words, bits))
    for lane, words in enumerate(case.tables):
        (folder / f"{name}_table_{lane:02}.mem").write_text(mem_text(words, 17))
    for offset, (kind, port, stream) in enumerate(_streams(case)):
        wire, pause = f"{name}_{port}", case.pause[kind == "sink"]
        (folder / f"{wire}.mem").write_text(mem_text(stream.words(), 8 * stream.lanes))
        (folder / f"{wire}_pace.mem").write_text(mem_text([pause, 97 * seed + 31 * offset], 32))


def _streams(case: Case) -> list[tuple[str, str, Stream]]:
    """Return (source or sink, port, stream) of every port."""
    inputs = [("source", *item) for item in case.inputs.items()]
    return [*inputs, *(("sink", *item) for item in case.outputs.items())]
