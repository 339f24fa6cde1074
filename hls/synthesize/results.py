"""Collect the results of a tool run: find its reports and check that they belong to the design.

The reports are where the tool wrote them, or in a folder brought back from another machine. All
versions of the tool use the same file names but different folders, so reports are found by name.
"""

import re
from dataclasses import dataclass, replace
from pathlib import Path

from hls.cpp.accelerators import ACCELERATORS
from hls.synthesize.project import MANIFEST, Manifest, check_sources, read_manifest
from hls.synthesize.report_files import read_text
from hls.synthesize.reports import Csynth, Export, Span, read_csynth, read_export
from hls.synthesize.simulation_reports import Cosim, csim_passed, read_cosim
from hls.synthesize.verdict import belongs, check_identity
from models.files.errors import PipelineError

_OUTPUT = re.compile(r"(work|project)_[0-9a-f]{12}")  # named by hls/synthesize/project.py


@dataclass(frozen=True)
class Measured:
    """The reports of one run; None: the step was not requested, or left no report."""

    csynth: Csynth
    csim: bool | None = None
    cosim: Cosim | None = None
    export: Export | None = None


def find_report(folder: Path, manifest: Manifest, *names: str) -> Path | None:
    """Return the first report in `folder` with one of `names`, tried in order, or None.

    The search is recursive. It skips hidden folders and the output folders of other sources. Raises
    PipelineError if two different files have the name.
    """
    for name in names:
        found = [
            path
            for path in sorted(folder.rglob(name))
            if path.is_file() and not _is_elsewhere(path.relative_to(folder), manifest)
        ]
        if len({path.read_bytes() for path in found}) > 1:
            raise PipelineError(
                f"{found[0]} and {found[-1]} differ; remove the reports of the older run."
            )
        if found:
            return found[0]
    return None


def read_results(folder: Path, manifest: Manifest) -> Measured:
    """Read all reports in `folder`.

    Raises PipelineError if the synthesis report is missing, or a report is malformed, belongs to
    another design or shows a failure.
    """
    top = manifest.top
    path = find_report(folder, manifest, f"{top}_csynth.xml", "csynth.xml")
    if path is None:
        raise PipelineError(
            f"{folder} holds no synthesis report {top}_csynth.xml of these sources."
        )
    csynth = read_csynth(path)
    check_identity(path, csynth, manifest)
    csynth = _with_modules(csynth, path, folder, manifest)
    csim = _csim(folder, manifest)
    cosim = _cosim(folder, manifest, csynth)
    return Measured(csynth, csim, cosim, _export(folder, manifest))


def read_brought_back(folder: Path, manifest: Manifest) -> Measured:
    """Read reports from another machine after checking that they belong to the project `manifest`.

    Top function, part, clock and the SHA-256 of every source must be equal. Source files in the
    folder are checked, too. PipelineError names the first difference.
    """
    found = [folder / MANIFEST]
    if not found[0].is_file():
        found = sorted(folder.rglob(MANIFEST))
    if len(found) != 1:
        raise PipelineError(
            f"{folder} must hold one {MANIFEST}, but holds {len(found)}; copy back the whole "
            "project folder."
        )
    path, theirs = found[0], read_manifest(found[0])
    belongs(path, "top function", theirs.top, manifest.top)
    belongs(path, "part", theirs.target.part, manifest.target.part)
    belongs(path, "clock", f"{theirs.target.clock_ns} ns", f"{manifest.target.clock_ns} ns")
    for file in sorted({*theirs.sources, *manifest.sources}):
        if theirs.sources.get(file) != manifest.sources.get(file):
            raise PipelineError(
                f"{path} is of other sources: {file} differs from the design {manifest.name}; run "
                "the tool on the current project."
            )
    check_sources(path.parent, theirs, all_of_them=False)
    return read_results(folder, manifest)


def _with_modules(csynth: Csynth, path: Path, folder: Path, manifest: Manifest) -> Csynth:
    """Add the modules from csynth.xml (2020.2 and newer) or the files beside the top's report."""
    wide = find_report(folder, manifest, "csynth.xml")
    if wide is not None and not csynth.modules:
        other = read_csynth(wide)
        if other.top.name == csynth.top.name:
            csynth = replace(csynth, modules=other.modules, loops=other.loops)
    if csynth.modules:
        return csynth
    children = [
        child
        for child in map(read_csynth, sorted(path.parent.glob("*_csynth.xml")))
        if child.top.name != csynth.top.name
    ]
    return replace(
        csynth,
        modules=tuple(child.top for child in children),
        loops=csynth.loops + tuple(loop for child in children for loop in child.loops),
    )


def _csim(folder: Path, manifest: Manifest) -> bool | None:
    """Return True if C simulation passed, None if there is no log; otherwise PipelineError."""
    log = find_report(folder, manifest, f"{manifest.top}_csim.log")
    if log is None:
        return None
    passed = csim_passed(read_text(log))
    if passed is None:
        raise PipelineError(f"{log} does not show the end of C simulation; copy the log again.")
    if not passed:
        raise PipelineError(f"C simulation failed, says {log}; mend the design first.")
    return True


def _cosim(folder: Path, manifest: Manifest, csynth: Csynth) -> Cosim | None:
    """Return the passed co-simulation, None if there is no report; otherwise PipelineError.

    A free-running design has no start and no end, so the tool may count no cycles for it: then they
    are unknown, and the interval is that of its last process, if that has a report.
    """
    path = find_report(folder, manifest, f"{manifest.top}_cosim.rpt", "hls_cosim.rpt")
    if path is None:
        return None
    cosim = read_cosim(path)
    if not cosim.passed:
        raise PipelineError(f"Co-simulation did not pass, says {path}.")
    if cosim.latency.max or cosim.total_cycles:
        return cosim
    if not _is_free_running(manifest):
        raise PipelineError(f"{path} says Pass after 0 cycles, so nothing was co-simulated.")
    interval = _interval_of_last_process(folder, manifest, csynth)
    return Cosim(cosim.rtl, True, Span(), interval, None)


def _interval_of_last_process(folder: Path, manifest: Manifest, csynth: Csynth) -> Span:
    """Return the co-simulated interval of the process that writes the results."""
    last = csynth.modules[-1].name if csynth.modules else None
    path = find_report(folder, manifest, f"{last}_cosim.rpt") if last else None
    cosim = read_cosim(path) if path else None
    return cosim.interval if cosim and cosim.passed and cosim.interval.max else Span()


def _is_free_running(manifest: Manifest) -> bool:
    return any(a.free_running for a in ACCELERATORS.values() if a.top == manifest.top)


def _export(folder: Path, manifest: Manifest) -> Export | None:
    names = "export_impl.xml", "export_syn.xml", f"{manifest.top}_export.xml"
    path = find_report(folder, manifest, *names)
    if path is None:
        return None
    export = read_export(path)
    check_identity(path, export, manifest)
    return export


def _is_elsewhere(path: Path, manifest: Manifest) -> bool:
    """Return whether a file is in an output folder of other sources or in a hidden folder."""
    return any(
        part.startswith(".")
        or (_OUTPUT.fullmatch(part) and part not in (manifest.work, manifest.project))
        for part in path.parts[:-1]
    )
