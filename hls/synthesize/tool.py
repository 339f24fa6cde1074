"""Find an HLS tool, run its steps on a copy of a project, and report a failure in one sentence.

There are three front ends: vitis-run with v++ (config file since 2023.2, before that a Tcl script),
`vitis_hls -f` (2020.1 to 2024.2) and `vivado_hls -f`. The tool's output goes to a log. A step
counts as done only if it left its report, because an exit status of 0 proves nothing.
"""

import logging
import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from hls.processes import Children
from hls.synthesize.project import FILES, MANIFEST, Manifest, check_sources, read_manifest
from hls.synthesize.project_texts import SCRIPT, unified_commands
from hls.synthesize.report_files import MAX_BYTES
from hls.synthesize.results import Measured, find_report, read_results
from hls.synthesize.simulation_reports import csim_passed, read_cosim
from hls.synthesize.tool_log import reason
from models.files.errors import PipelineError

TOOLS = ("vitis-run", "vitis_hls", "vivado_hls")  # in search order, newest first
STEPS = ("C simulation", "C synthesis", "co-simulation", "implementation")
POLL_SECONDS = 0.2

_VERSION = re.compile(r"/(20\d\d\.\d)(?:\.\d)?/")  # /tools/Xilinx/Vitis/2023.1/bin/vitis-run
_PLAIN = re.compile(r"[A-Za-z0-9_./+-]+")
_FIRST_CONFIG_VERSION = "2023.2"
_PROGRESS = re.compile(r"(ERROR|CRITICAL WARNING|INFO: \[(HLS 200-(10|42|111)|SIM|COSIM|IMPL))\b")


@dataclass(frozen=True)
class Tool:
    """A front end: its name in `TOOLS`, and whether it takes a config file or a Tcl script."""

    name: str
    config: bool = False

    def commands(self, manifest: Manifest) -> list[tuple[str, ...]]:
        """Return the command lines for a project, in order."""
        if self.config:
            return unified_commands(manifest.target, manifest.work)
        script = ("--mode", "hls", "--tcl", SCRIPT) if self.name == "vitis-run" else ("-f", SCRIPT)
        return [(self.name, *script)]


def find_tool(wanted: str = "auto") -> Tool | None:
    """Return the `wanted` front end (auto: the newest one) if it is on PATH, otherwise None."""
    for name in TOOLS if wanted == "auto" else (wanted,):
        path = shutil.which(name)
        if path:
            return Tool(name, name == "vitis-run" and _takes_config_files(path))
    return None


def absent(wanted: str = "auto") -> str:
    """Return the sentence that reports a missing tool."""
    names = (
        "no Vitis HLS (vitis-run, vitis_hls, vivado_hls)" if wanted == "auto" else f"no {wanted}"
    )
    return f"There is {names} on PATH: nothing was synthesised."


def run(tool: Tool, project: Path, folder: Path, log: Path, timeout_minutes: float) -> Measured:
    """Run every step on a copy of `project`; store the run in `folder` and return its results.

    The tool's output goes to `log`; its milestones are logged to the screen, too. If a step fails,
    PipelineError gives the reason in one sentence, `folder` is unchanged, and the files of the
    failed run are in <folder>_run.
    """
    manifest = read_manifest(project / MANIFEST)
    check_sources(project, manifest)
    scratch = folder.with_name(f"{folder.name}_run")
    shutil.rmtree(scratch, ignore_errors=True)
    _copy(project, scratch)
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(b"")
    deadline = time.monotonic() + 60 * timeout_minutes
    wanted = _wanted(manifest)
    commands = tool.commands(manifest)
    for command, steps in zip(commands, _shares(wanted, len(commands)), strict=True):
        logging.info("%s: %s with %s", manifest.name, ", ".join(steps), command[0])
        start = log.stat().st_size
        status = _run(command, scratch, log, deadline)
        said = _text(log, start)
        missing = _first_missing(steps, scratch, manifest, said)
        if status != 0 or missing is not None:
            why = f"the {timeout_minutes:g} minutes of hls.timeout_minutes were over"
            why = why if status is None else reason(status, said)
            step = missing or steps[-1]
            raise PipelineError(f"{command[0]} stopped in {step}: {why}; see {log}.{_odd(scratch)}")
    try:
        measured = read_results(scratch, manifest)
    except PipelineError as error:
        raise PipelineError(f"{str(error).rstrip('.')}; see {log}.") from None
    shutil.rmtree(folder, ignore_errors=True)
    scratch.rename(folder)
    return measured


def _copy(project: Path, folder: Path) -> None:
    """Copy the files of a project, without output of earlier runs in its folder."""
    folder.mkdir(parents=True)
    for name in FILES:
        copy = shutil.copytree if (project / name).is_dir() else shutil.copyfile
        copy(project / name, folder / name)


def _odd(folder: Path) -> str:
    """Return a sentence about the path if it has what HLS tools may not take, else nothing."""
    if _PLAIN.fullmatch(str(folder.resolve())):
        return ""
    return (
        " The path of this clone has blanks, quotes or other special characters, which HLS tools "
        "may not take; try a copy of the project in a folder of plain letters."
    )


def _takes_config_files(path: str) -> bool:
    """Return whether this vitis-run takes config files: v++ is on PATH, and the version is new.

    The version is read from the installation path. A path without a version counts as new.
    """
    version = _VERSION.search(os.path.realpath(path))
    new = version is None or version[1] >= _FIRST_CONFIG_VERSION
    return new and shutil.which("v++") is not None


def _wanted(manifest: Manifest) -> tuple[str, ...]:
    target = manifest.target
    asked = (True, True, target.cosim, target.export != "none")
    return tuple(step for step, is_asked in zip(STEPS, asked, strict=True) if is_asked)


def _shares(steps: tuple[str, ...], commands: int) -> list[tuple[str, ...]]:
    """Return the steps of each command: one step per command, or all steps in a single script."""
    return [steps] if commands == 1 else [(step,) for step in steps]


def _run(command: tuple[str, ...], folder: Path, log: Path, deadline: float) -> int | None:
    """Run a command until it ends or the deadline passes; return the exit status, None on timeout.

    All processes of the tool are ended. The tool writes directly to the log file: a pipe would stay
    open as long as any of its child processes lives.
    """
    with log.open("ab") as file, log.open("rb") as seen, Children() as children:
        file.write(f"$ {' '.join(command)}\n".encode())
        file.flush()
        seen.seek(0, os.SEEK_END)
        try:
            process = children.start(command, file, folder)
        except OSError as error:
            raise PipelineError(f"{command[0]} cannot be started: {error.strerror}.") from None
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            _show_progress(seen.readlines())
        status = process.poll()
        children.end(process)
        _show_progress(seen.readlines())
    return status


def _show_progress(lines: list[bytes]) -> None:
    for line in lines:
        text = line.decode(errors="replace").strip()
        if _PROGRESS.match(text):
            logging.info("  %s", text)


def _first_missing(
    steps: tuple[str, ...], folder: Path, manifest: Manifest, said: str
) -> str | None:
    """Return the first step that is not proven by a log line, a report or a passed co-simulation.

    `said` is the tool's output during these steps. Returns None if all steps are proven.
    """
    top = manifest.top
    reports = {
        "C synthesis": (f"{top}_csynth.xml",),
        "co-simulation": (f"{top}_cosim.rpt", "hls_cosim.rpt"),
        "implementation": (f"export_{manifest.target.export}.xml", f"{top}_export.xml"),
    }
    for step in steps:
        if step == "C simulation":
            report = find_report(folder, manifest, f"{top}_csim.log")
            if not csim_passed(said if report is None else _text(report)):
                return step
            continue
        report = find_report(folder, manifest, *reports[step])
        if report is None or (step == "co-simulation" and not read_cosim(report).passed):
            return step
    return None


def _text(log: Path, start: int = 0) -> str:
    """Return a log from byte `start` on, but at most its last MAX_BYTES."""
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - MAX_BYTES))
        return file.read().decode(errors="replace")
