"""Metrics and tables from the reports of the HLS tool, with the same keys for every version."""

from dataclasses import asdict
from typing import Any

from hls.synthesize.project import Manifest
from hls.synthesize.reports import RESOURCES, Module, Resources, Span
from hls.synthesize.results import Measured
from hls.synthesize.simulation_reports import Cosim
from hls.synthesize.verdict import clock_of_csynth, clock_of_export, notes

Figure = float | int | str | bool | None


def synthesis_metrics(measured: Measured | None, manifest: Manifest) -> dict[str, Figure]:
    """Return flat metrics with the same keys for every tool; all None if nothing was measured."""
    csynth = measured.csynth if measured else None
    cosim = measured.cosim if measured else None
    export = measured.export if measured else None
    top = csynth.top if csynth else None
    where_from = {key: value if measured else None for key, value in origin(manifest).items()}
    note = " ".join(warnings(measured, manifest)) if measured else ""
    return {
        "tool": csynth.tool if csynth else None,
        **where_from,
        "csim": "PASS" if measured and measured.csim else None,
        "clock_uncertainty_ns": csynth.clock_uncertainty_ns if csynth else None,
        "clock_estimated_ns": top.clock_estimated_ns if top else None,
        "clock_slack_ns": clock_of_csynth(csynth, manifest).slack_ns if csynth else None,
        **_spans("", top),
        **_resources("", top.used if top else {}, csynth.available if csynth else {}),
        "cosim": "PASS" if cosim else None,
        **_spans("cosim_", cosim),
        "cosim_total_cycles": cosim.total_cycles if cosim else None,
        "export": export.kind if export else None,
        "export_clock_ns": export.clock_ns if export else None,
        "export_timing_met": clock_of_export(export, manifest).is_met if export else None,
        **_resources("export_", export.used if export else {}, export.available if export else {}),
        "note": note or None,
    }


def origin(manifest: Manifest) -> dict[str, Figure]:
    """Return the metrics that identify the design: source hash, part, flow target, clock (ns)."""
    target = manifest.target
    return {
        "sources": manifest.source_hash[:12],
        "part": target.part,
        "flow_target": target.flow_target,
        "clock_target_ns": round(target.clock_ns, 4),
    }


def synthesis_tables(measured: Measured | None) -> dict[str, list[dict[str, Any]]]:
    """Return the tables of modules and loops for JSON; they are empty if nothing was measured."""
    csynth = measured.csynth if measured else None
    return {
        "modules": [asdict(module) for module in (csynth.top, *csynth.modules)] if csynth else [],
        "loops": [asdict(loop) for loop in csynth.loops] if csynth else [],
    }


def warnings(measured: Measured, manifest: Manifest) -> list[str]:
    """Return a sentence for each reason why the design cannot be built as it is.

    The reports call such a design a success.
    """
    parts = measured.csynth, measured.csim, measured.cosim, measured.export
    return notes(*parts, manifest)


def _spans(prefix: str, source: Module | Cosim | None) -> dict[str, Figure]:
    spans = {"latency": source.latency, "interval": source.interval} if source else {}
    return {
        f"{prefix}{name}_{end}_cycles": value
        for name in ("latency", "interval")
        for end, value in asdict(spans.get(name, Span())).items()
    }


def _resources(prefix: str, used: Resources, available: Resources) -> dict[str, Figure]:
    figures: dict[str, Figure] = {}
    for name in RESOURCES:
        have, most = used.get(name), available.get(name)
        figures[f"{prefix}{name}"] = have
        figures[f"{prefix}{name}_available"] = most
        percent = 100 * have / most if have is not None and most else None
        figures[f"{prefix}{name}_percent"] = percent
    return figures
