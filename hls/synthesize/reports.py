"""Read the XML reports of HLS tools: synthesis (csynth.xml) and implementation (export_*.xml).

The result has the same form for all versions, Vivado HLS 2018 to Vitis 2025. Unknown values
(`undef`, `?`, `NA`, `-`, or a missing element) are None. BRAM counts 18-kbit blocks in every
report. Figures refer to the whole device, even if it has several dies (SLR). A report can be
well-formed and call itself a success although the design misses the clock or exceeds the device;
the caller has to compare.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element

from hls.synthesize.report_files import (
    bounds,
    count,
    find,
    number,
    read_profile,
    required_text,
    text_of,
)
from models.files.errors import PipelineError

RESOURCES = {
    "lut": ("LUT",),
    "ff": ("FF",),
    "dsp": ("DSP", "DSP48E"),  # DSP48E: Vivado HLS
    "bram": ("BRAM_18K", "BRAM"),  # BRAM: export reports
    "uram": ("URAM",),  # absent on parts without URAM
}

Resources = dict[str, int | None]


@dataclass(frozen=True)
class Span:
    """Minimum, average and maximum of a number of clock cycles or iterations; None: unknown."""

    min: int | None = None
    avg: int | None = None
    max: int | None = None


def checked_span(least: int | None, average: int | None, most: int | None, where: str) -> Span:
    """Return a span; PipelineError, which starts with `where`, if its numbers are out of order."""
    known = [value for value in (least, average, most) if value is not None]
    if known != sorted(known):
        raise PipelineError(f"{where} has the minimum, average and maximum {known}, out of order.")
    return Span(least, average, most)


@dataclass(frozen=True)
class Loop:
    """A loop of a module; the name of a nested loop includes its outer loops: `rows/columns`."""

    module: str
    name: str
    trip_count: Span
    latency: Span
    iteration_latency: Span
    interval: Span  # initiation interval (II) of a pipelined loop


@dataclass(frozen=True)
class Module:
    """A function of the design, with its estimates."""

    name: str
    pipeline: str | None  # none, no, yes, function, dataflow, or the pipeline type of its loop
    clock_estimated_ns: float | None
    latency: Span
    interval: Span
    used: Resources


@dataclass(frozen=True)
class Csynth:
    """The estimates of C synthesis for the top function; `modules` are the other functions."""

    tool: str
    part: str
    flow_target: str | None
    clock_target_ns: float | None
    clock_uncertainty_ns: float | None
    top: Module
    available: Resources
    loops: tuple[Loop, ...]
    modules: tuple[Module, ...]


@dataclass(frozen=True)
class Export:
    """The results of Vivado after synthesis (kind `syn`) or place and route (kind `impl`)."""

    kind: str
    tool: str | None
    top: str | None
    part: str | None
    clock_target_ns: float | None
    clock_ns: float | None  # achieved period
    timing_met: bool | None
    used: Resources
    available: Resources


def read_csynth(path: Path) -> Csynth:
    """Read <function>_csynth.xml or the project-wide csynth.xml.

    Only the project-wide file of 2020.2 and newer lists modules. PipelineError names the file if it
    is cut off or is not such a report.
    """
    root = read_profile(path)
    find(root, "PerformanceEstimates/SummaryOfOverallLatency", path)
    find(root, "AreaEstimates/Resources", path)
    user = find(root, "UserAssignments", path)
    version = required_text(root, "ReportVersion/Version", path)
    vivado = root.find("AreaEstimates/Resources/DSP48E") is not None
    name = required_text(user, "TopModelName", path)
    children = [child for child in root.iterfind("ModuleInformation/Module")]
    named = [(required_text(child, "Name", path), child) for child in children]
    others = [(title, child) for title, child in named if title != name]
    return Csynth(
        tool=f"{'Vivado' if vivado else 'Vitis'} HLS {version}",
        part=required_text(user, "Part", path),
        flow_target=text_of(user, "FlowTarget"),
        clock_target_ns=_number(user, "TargetClockPeriod", path),
        clock_uncertainty_ns=_number(user, "ClockUncertainty", path),
        top=_module(name, root, path),
        available=_resources(root.find("AreaEstimates/AvailableResources"), path),
        loops=tuple(
            loop
            for title, child in [(name, root), *others]
            for loop in _loops(child.find("PerformanceEstimates/SummaryOfLoopLatency"), title, path)
        ),
        modules=tuple(_module(title, child, path) for title, child in others),
    )


def read_export(path: Path) -> Export:
    """Read export_syn.xml, export_impl.xml, or <top>_export.xml of Vivado HLS.

    A report without RUN_TYPE counts as kind `impl`.
    """
    root = read_profile(path)
    timing, area = find(root, "TimingReport", path), find(root, "AreaReport/Resources", path)
    kind = text_of(root, "RunData/RUN_TYPE") or "impl"
    if kind not in ("synth", "impl"):
        raise PipelineError(f"{path}: RUN_TYPE is {kind[:40]!r}, but must be synth or impl.")
    met = text_of(timing, "TIMING_MET")
    if met not in (None, "TRUE", "FALSE"):
        raise PipelineError(f"{path}: TIMING_MET is {met[:40]!r}, but must be TRUE or FALSE.")
    return Export(
        kind="syn" if kind == "synth" else "impl",
        tool=text_of(root, "RunData/VIVADO_VERSION"),
        top=next(
            (module.get("MODULENAME") for module in root.iterfind(".//RtlModule[@IS_TOP='1']")),
            None,
        ),
        part=next(
            (i.get("VALUE") for i in root.iterfind("GeneralInfo/item[@NAME='Target device']")),
            None,
        ),
        clock_target_ns=_number(timing, "TargetClockPeriod", path),
        clock_ns=_number(timing, "AchievedClockPeriod", path),
        timing_met=None if met is None else met == "TRUE",
        used=_resources(area, path),
        available=_resources(root.find("AreaReport/AvailableResources"), path),
    )


def _module(name: str, element: Element, path: Path) -> Module:
    """Read a module; the top function has its pipeline type in another element than the others."""
    estimates = find(element, "PerformanceEstimates", path)
    overall = find(estimates, "SummaryOfOverallLatency", path)
    least, average, most = (
        count(text_of(overall, f"{case}-caseLatency"), f"{path}: {case}-caseLatency of {name}")
        for case in ("Best", "Average", "Worst")
    )
    latency = checked_span(least, average, most, f"{path}: latency of {name}")
    return Module(
        name=name,
        pipeline=text_of(estimates, "PipelineType") or text_of(overall, "PipelineType"),
        clock_estimated_ns=_number(estimates, "SummaryOfTimingAnalysis/EstimatedClockPeriod", path),
        latency=latency,
        interval=_interval(overall, latency, f"{path}: interval of {name}"),
        used=_resources(element.find("AreaEstimates/Resources"), path),
    )


def _interval(overall: Element, latency: Span, where: str) -> Span:
    """Read an interval; `0..0` together with an undefined latency means undefined, too."""
    if overall.find("PipelineInitiationInterval") is not None:
        span = _span(overall, "PipelineInitiationInterval", where)
    else:
        least, most = (count(text_of(overall, f"Interval-{end}"), where) for end in ("min", "max"))
        span = checked_span(least, least if least == most else None, most, where)
    return Span() if latency.max is None and span.max == 0 else span


def _loops(summary: Element | None, module: str, path: Path, around: str = "") -> Iterator[Loop]:
    for element in summary if summary is not None else ():
        if element.find("TripCount") is None and element.find("Latency") is None:
            continue  # a property of the enclosing loop, not a nested loop
        name = around + (text_of(element, "Name") or element.tag)
        where = f"{path}: loop {name} of {module}"
        plain = element.find("IterationLatency") is not None
        yield Loop(
            module,
            name,
            _span(element, "TripCount", where),
            _span(element, "Latency", where),
            _span(element, "IterationLatency" if plain else "PipelineDepth", where),
            _span(element, "PipelineII", where),
        )
        yield from _loops(element, module, path, f"{name}/")


def _span(element: Element, tag: str, where: str) -> Span:
    least, most = bounds(element.find(tag), f"{where}, {tag}")
    return checked_span(least, least if least == most else None, most, f"{where}, {tag}")


def _resources(element: Element | None, path: Path) -> Resources:
    found: Resources = {}
    for name, tags in RESOURCES.items():
        texts = [] if element is None else [text_of(element, tag) for tag in tags]
        values = [count(text, f"{path}: {name}") for text in texts if text is not None]
        found[name] = values[0] if values else None
    return found


def _number(element: Element, tags: str, path: Path) -> float | None:
    value = number(text_of(element, tags), f"{path}: {tags}")
    if value is not None and value < 0:
        raise PipelineError(f"{path}: {tags} is {value:g}, but a period cannot be negative.")
    return value
