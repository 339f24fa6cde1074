"""Deadlock check of the streaming accelerator: run its C++ as threads with bounded FIFOs.

Each dataflow process runs in its own thread, and FIFOs block (hls/cpp/threaded/hls_stream.h). The
depths come from the STREAM pragmas, which are replaced by calls before compilation; so the check
uses the depths that the HLS compiler reads. It is independent of the simulation in
hls/plan/streaming/dataflow_simulation.py.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hls.cpp.accelerators import ACCELERATORS, SOURCES, STREAMING
from hls.simulate import gpp
from models.files.atomic import replace_on_success
from models.files.errors import PipelineError

_PRAGMA = re.compile(r"^#pragma HLS STREAM variable = (\w+) depth = (\S+)$", re.MULTILINE)
_FIFO = re.compile(r"^FIFO (\w+) (\d+) of (\d+) words, (\d+) at most$", re.MULTILINE)
_WAIT = re.compile(r"^PROCESS (\w+) waits for (?:a (word) in|(room) in) (\w+)$", re.MULTILINE)


@dataclass(frozen=True)
class Level:
    """A FIFO at the end of a run: words in it, depth, and the most words that it held.

    `high_water` depends on the scheduling of the threads. `words` after a deadlock does not.
    """

    words: int
    depth: int
    high_water: int


@dataclass(frozen=True)
class FifoWait:
    """A process and the FIFO at which it waits; `lacks` is "word" or "room"."""

    process: str
    lacks: str
    fifo: str


@dataclass(frozen=True)
class Outcome:
    """The result of a run: all images passed, or a deadlock in which every process waits."""

    deadlock: bool
    levels: Mapping[str, Level]
    waits: tuple[FifoWait, ...]


def build(compiler: str, headers: Sequence[Path], folder: Path, log: Path) -> Path:
    """Compile the deadlock check of one design into `folder`; return the path of the program.

    `headers` are the folders of config.hpp, params.hpp and design.hpp. PipelineError quotes the
    compiler's first error.
    """
    sources = folder / "threaded"
    streaming = ACCELERATORS[STREAMING]
    headers_of = [path for pattern in streaming.headers for path in SOURCES.glob(pattern)]
    for path in (*headers_of, SOURCES / streaming.source):
        with replace_on_success(sources / path.name) as temporary:
            temporary.write_text(_PRAGMA.sub(r"\1.set_depth(\2);", path.read_text()))
    shim = SOURCES / "threaded"
    units = [sources / "resmlp_top.cpp", shim / "network.cpp", shim / "deadlock.cpp"]
    includes = [shim, sources, *headers]
    flags = ("-O1", "-pthread")
    return gpp.compile_program(compiler, units, includes, folder / "deadlock", log, flags)


def run(
    binary: Path, log: Path, images: gpp.ImageFiles, depths: Mapping[str, int] | None = None
) -> Outcome:
    """Stream the images through the design without a pause.

    `depths` maps the name of a stream in the source (such as token_mixer_shortcut) to a depth in
    words that replaces its own. Raises PipelineError if a logit is not the expected one.
    """
    command = [str(binary), str(images.tokens), str(images.logits), str(images.count)]
    command += [f"{name}={depth}" for name, depth in (depths or {}).items()]
    process = gpp.run(command, log)
    deadlock = process.stdout.startswith("DEADLOCK\n")
    if process.returncode != (1 if deadlock else 0):
        reason = gpp.first_line(process.stdout, "ERROR|COMPLETE|ssert") or "it ended early"
        raise PipelineError(
            f"The accelerator in threads failed: {reason} ({gpp.ended(process.returncode)}); "
            f"see {log}."
        )
    levels = {name: Level(*map(int, numbers)) for name, *numbers in _FIFO.findall(process.stdout)}
    found = _WAIT.findall(process.stdout)
    waits = tuple(FifoWait(name, word or room, fifo) for name, word, room, fifo in found)
    return Outcome(deadlock, levels, waits)
