"""Flat metrics and tables of what the tool measured, the same keys for every tool generation."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from hls.synthesize.project import Manifest
from hls.synthesize.reports import RESOURCES, Module, Resources, Span
from hls.synthesize.results import Measured
from hls.synthesize.simulation_reports import Cosim

Metric = float | int | str | bool | None


def metrics(measured: Measured | None, manifest: Manifest) -> dict[str, Metric]:
    """Return flat metrics, the same keys for every tool; all None where nothing was measured."""
    csynth = measured.csynth if measured else None
    cosim = measured.cosim if measured else None
    export = measured.export if measured else None
    top = csynth.top if csynth else None
    return {
        **_copied("", csynth, "tool"),
        **{key: value if measured else None for key, value in origin(manifest).items()},
        "csim": "PASS" if measured and measured.csim else None,
        **_copied("", csynth, "clock_uncertainty_ns"),
        **_copied("", top, "clock_estimated_ns"),
        **_spans("", top),
        **dict(_resources("", top.used if top else {}, csynth.available if csynth else {})),
        "cosim": "PASS" if cosim else None,
        **_spans("cosim_", cosim),
        **_copied("cosim_", cosim, "total_cycles"),
        "export": export.kind if export else None,
        **_copied("export_", export, "clock_ns", "timing_met"),
        **dict(_resources("export_", *((export.used, export.available) if export else ({}, {})))),
        "note": (" ".join(warnings(measured)) or None) if measured else None,
    }


def origin(manifest: Manifest) -> dict[str, Metric]:
    """Return the metrics that say what was measured; reports with others are not accepted."""
    target = manifest.target
    return {
        "sources": manifest.source_hash[:12],
        "part": target.part,
        "flow_target": target.flow_target,
        "clock_target_ns": round(target.clock_ns, 4),
    }


def tables(measured: Measured | None) -> dict[str, list[dict[str, Any]]]:
    """Return the tables per module and per loop, for JSON; empty where nothing was measured."""
    csynth = measured.csynth if measured else None
    return {
        "modules": [asdict(module) for module in (csynth.top, *csynth.modules)] if csynth else [],
        "loops": [asdict(loop) for loop in csynth.loops] if csynth else [],
    }


def warnings(measured: Measured) -> list[str]:
    """Return a sentence for all that a report calls a success and that yet cannot be built."""
    csynth, export = measured.csynth, measured.export
    estimate, target = csynth.top.clock_estimated_ns, csynth.clock_target_ns
    found = []
    if estimate is not None and target is not None and estimate > target:
        found.append(f"The estimated clock of {estimate:g} ns misses the target of {target:g} ns.")
    for name in RESOURCES:
        used, available = csynth.top.used[name], csynth.available[name]
        if used is not None and available is not None and used > available:
            found.append(f"{name.upper()} {used} exceeds the {available} of {csynth.part}.")
    if export and export.timing_met is False:
        found.append(f"Vivado misses the clock: {export.clock_ns} ns.")
    return found


def _copied(prefix: str, source: object, *names: str) -> dict[str, Metric]:
    return {f"{prefix}{name}": getattr(source, name, None) for name in names}


def _spans(prefix: str, source: Module | Cosim | None) -> dict[str, Metric]:
    spans = {"latency": source.latency, "interval": source.interval} if source else {}
    return {
        f"{prefix}{name}_{end}_cycles": value
        for name in ("latency", "interval")
        for end, value in asdict(spans.get(name, Span())).items()
    }


def _resources(prefix: str, used: Resources, available: Resources) -> Iterator[tuple[str, Metric]]:
    for name in RESOURCES:
        have, most = used.get(name), available.get(name)
        yield f"{prefix}{name}", have
        yield f"{prefix}{name}_available", most
        yield f"{prefix}{name}_percent", 100 * have / most if have is not None and most else None
