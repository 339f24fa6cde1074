"""The table and the picture of a sweep, from the metrics of its networks and designs."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.files.atomic import replace_on_success
from stages.pipeline.paths import SWEEPS, history, metrics
from stages.results.history import read_curve
from stages.results.markdown import cell, markdown
from stages.results.metrics import Metric, read_metrics

VALIDATION, TEST = "INT8 validation, %", "INT8 test, %"
RATE, DSP = "images/s (model)", "DSP (estimate)"
# Okabe and Ito's colours, which the colour-blind tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS = "os^Dv<>P"


@dataclass(frozen=True)
class Point:
    """A combination of settings, its row of `variants`, and its row of `designs` or None."""

    setting: Mapping[str, Any]
    variant: str
    design: str | None


def figures(point: Point) -> dict[str, Metric]:
    """Return what was measured at a point, by title; None for what is not there."""
    curve = read_curve(history("int8", point.variant))
    found: dict[str, Metric] = {
        VALIDATION: curve[-1][1] if curve else None,
        TEST: read_metrics(metrics("int8", point.variant)).get("accuracy"),
    }
    if point.design is not None:
        model = read_metrics(metrics("model", point.design))
        found |= {RATE: model.get("model_images_per_second"), DSP: model.get("estimate_dsp")}
    return found


def write_sweep(points: Sequence[Point], name: str) -> str:
    """Write data/sweeps/<name>.csv, .md and .png; return the table and the names of the files."""
    lines = [{**point.setting, **figures(point)} for point in points]
    rows = [[*map(cell, line.values())] for line in lines]
    table = markdown([[*lines[0]], *rows])
    paths = [SWEEPS / f"{name}{suffix}" for suffix in (".md", ".csv", ".png")]
    named = [
        {"network": point.variant, "design": point.design, **line}
        for point, line in zip(points, lines, strict=True)
    ]
    for path, text in zip(paths, (table, _csv(named)), strict=False):
        with replace_on_success(path) as temporary:
            temporary.write_text(text)
    draw(points, paths[-1])
    return f"{table}\n{', '.join(map(str, paths))}\n"


def draw(points: Sequence[Point], path: Path) -> None:
    """Draw validation accuracy per network and, if there are designs, images/s against DSPs."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    networks = list(dict.fromkeys(point.variant for point in points))
    colours = {name: _COLOURS[i % len(_COLOURS)] for i, name in enumerate(networks)}
    designs = any(figures(point).get(RATE) is not None for point in points)
    figure = Figure(figsize=(9, 4) if designs else (5, 4), layout="constrained")
    axes = figure.subplots(1, 1 + designs, squeeze=False)[0]
    for point in points:
        value = figures(point)[VALIDATION]
        if value is not None:
            place = networks.index(point.variant)
            axes[0].plot(value, place, "o", color=colours[point.variant])
    axes[0].set(xlabel=VALIDATION, yticks=range(len(networks)), yticklabels=networks)
    axes[0].invert_yaxis()
    if designs:
        _draw_designs(axes[1], points, colours)
    for each in axes:
        each.grid(alpha=0.3)
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=110, metadata={"Software": None})


def _draw_designs(axes: Any, points: Sequence[Point], colours: Mapping[str, str]) -> None:  # noqa: ANN401 - matplotlib's Axes
    foldings = list(dict.fromkeys(point.setting["folding"] for point in points))
    for point in points:
        found = figures(point)
        if found[RATE] is None or found[DSP] is None:
            continue
        marker = _MARKERS[foldings.index(point.setting["folding"]) % len(_MARKERS)]
        axes.plot(found[DSP], found[RATE], marker, color=colours[point.variant], alpha=0.8)
    for folding, marker in zip(foldings, _MARKERS, strict=False):
        axes.plot([], [], marker, color="#555555", label=str(folding))
    axes.legend(title="folding", fontsize="small")
    axes.set(xlabel=DSP, ylabel=RATE)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, [*rows[0]], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
