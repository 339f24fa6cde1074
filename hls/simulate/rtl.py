"""Simulate the RTL of a streaming design: every tap of golden samples, logits and cycles."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hls.netlist.netlist import Netlist
from hls.netlist.top import top_text
from hls.plan.streaming.dataflow_simulation import Result
from hls.plan.streaming.dataflow_simulation import simulate as simulate_model
from hls.plan.streaming.process_network import ProcessNetwork
from hls.simulate import verilator
from hls.simulate.gpp import ImageFiles, ended, first_line
from models.files.errors import PipelineError

Values = npt.NDArray[np.integer]

TOP = "resmlp_top"
BENCH = verilator.UNITS / "simulation" / "testbench.cpp"
MONITOR = verilator.UNITS / "simulation" / "fifo_monitor.sv"
PAUSE = 64  # of 256 cycles in which a port waits, if ports wait

_SUMMARY = re.compile(
    r"^images (\d+) mismatches (\d+) latency (\d+) interval ([\d.]+) cycles (\d+)$", re.MULTILINE
)
_HIGH_WATER = re.compile(rf"^high_water TOP\.{TOP}\.(\w+)\.monitor (\d+)$", re.MULTILINE)
_WORD = re.compile(rf"^word TOP\.{TOP}\.(\w+)\.monitor ([0-9a-f]+)$", re.MULTILINE)


@dataclass(frozen=True)
class RtlRun:
    """What a simulation counted.

    `latency` is from an image's first element to its last logit, `interval` the mean between the
    last logits of two images (0 with one image), both in cycles; `high_water` has the most words
    that each FIFO held.
    """

    images: int
    latency: int
    interval: float
    high_water: Mapping[str, int]


def modelled(network: ProcessNetwork, depths: Mapping[str, int]) -> Result:
    """Return the model's cycles for RTL, whose pipelines do not pause between images.

    `depths` are the FIFO depths in words by kind.
    """
    processes = [replace(process, pause=0) for process in network.processes]
    return simulate_model(ProcessNetwork(processes, network.fifos), depths)


def taps_of(layers: Mapping[str, Values], num_blocks: int) -> dict[str, Values]:
    """Return the outputs of layers by the name of the FIFO that carries them."""
    renamed = {f"blocks_{num_blocks - 1}_mlp": "blocks", "classifier_linear": "logits"}
    return {renamed.get(name, name): values for name, values in layers.items()}


def write_rtl(design: Netlist, folder: Path) -> list[Path]:
    """Write the top module, the units and the ROM files; return the SystemVerilog files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in design.roms.items():
        (folder / name).write_text(text)
    sources = [folder / f"{TOP}.sv"]
    sources[0].write_text(top_text(design))
    for unit in verilator.unit_files():
        sources.append(folder / unit.name)
        sources[-1].write_text(unit.read_text())
    return sources


def build(
    design: Netlist,
    elements: int,
    compiler: str,
    folder: Path,
    log: Path,
    optimise: str = "-O1",
    runtime: Sequence[Path] | None = None,
) -> Path:
    """Write the RTL into `folder` and compile its simulation; return the program.

    `elements` is the number of int8 elements of an image; the rest is as for verilator.build.
    """
    lanes = design.streams[design.tokens] // 8
    sizes = {"IMAGE_ELEMENTS": elements, "CLASSES": design.classes, "LANES": lanes}
    defines = [f"-D{name}={value}" for name, value in sizes.items()]
    sources = [*write_rtl(design, folder), MONITOR]
    return verilator.build(compiler, sources, TOP, BENCH, folder, log, optimise, defines, runtime)


def run(program: Path, files: ImageFiles, log: Path, jobs: int = 1, pause: int = 0) -> RtlRun:
    """Simulate `files.count` images, split over `jobs` processes, and compare every logit.

    With a `pause`, both ports wait at random in that many of 256 cycles. PipelineError names the
    first logit that differs.
    """
    jobs = max(1, min(jobs, files.count))
    bounds = [files.count * job // jobs for job in range(jobs + 1)]
    shares = [(first, last - first) for first, last in pairwise(bounds)]
    runs = [_parsed(text) for text in _outputs(program, files, shares, log, pause)]
    longest = max(runs, key=lambda found: found.images)
    water = {name: max(r.high_water[name] for r in runs) for name in longest.high_water}
    return RtlRun(files.count, longest.latency, longest.interval, water)


def check_taps(
    program: Path,
    files: ImageFiles,
    layers: Mapping[str, Values],
    log: Path,
) -> int:
    """Compare what every FIFO took for the golden samples with the layers' outputs.

    `layers` maps the name of a FIFO to its int8 values, sample after sample. Returns the number of
    FIFOs that were compared; PipelineError names the first that differs.
    """
    (output,) = _outputs(program, files, [(0, files.count)], log, options=["+trace"])
    words: dict[str, list[str]] = {}
    for name, word in _WORD.findall(output):
        words.setdefault(name, []).append(word)
    taps = {name: values for name, values in layers.items() if name in words}
    for name, values in taps.items():
        taken = b"".join(bytes.fromhex(word)[::-1] for word in words[name])
        if taken != values.astype(np.int8).tobytes():
            raise PipelineError(f"The RTL simulation differs from numpy in {name}.")
    _parsed(output)
    return len(taps)


def _outputs(
    program: Path,
    files: ImageFiles,
    shares: Sequence[tuple[int, int]],
    log: Path,
    pause: int = 0,
    options: Sequence[str] = (),
) -> list[str]:
    """Return what the simulation prints for each share (first image, number of images)."""
    paths = [str(path.resolve()) for path in (files.tokens, files.logits)]
    arguments = [[*paths, str(first), str(count), str(pause), *options] for first, count in shares]
    done = verilator.simulate(program, arguments, program.parent, log)
    for process in done:
        if process.returncode != 0:
            reason = first_line(process.stdout, "MISMATCH") or "it ended early"
            raise PipelineError(
                f"The RTL simulation failed: {reason} ({ended(process.returncode)}); see {log}."
            )
    return [process.stdout for process in done]


def _parsed(output: str) -> RtlRun:
    found = _SUMMARY.search(output)
    if found is None or found[2] != "0":
        raise PipelineError("The RTL simulation ended without a result.")
    water = {name: int(mark) for name, mark in _HIGH_WATER.findall(output)}
    return RtlRun(int(found[1]), int(found[3]), float(found[4]), water)
