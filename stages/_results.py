"""What the stages measured of the networks, as tables: for data/report.md and for README.md."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages import _published_results as published
from stages._metrics import read_metrics
from stages._params import Params, Variant
from stages._paths import CONVNET, TEACHER, metrics
from stages._tables import cell, markdown

_LEGEND = (
    "Float is the trained PyTorch network, INT8 the integer network that numpy evaluates. Epochs "
    "of a student are those of its transfer (each on one block) and its distillation; minutes are "
    "wall time."
)
_MARK = " *"
_MARK_LEGEND = "\\* at least the published accuracy."


@dataclass(frozen=True)
class Result:
    """The metrics of a network: those of its float form, and those of its integers."""

    network: str
    float: dict[str, Any]
    int8: dict[str, Any]


def networks(params: Params) -> list[str]:
    """Return the names of all networks, first the convolutional one, where one is trained."""
    trained = [CONVNET] if TEACHER in params.weights.train else []
    return [*trained, TEACHER, *params.variants]


def seed_groups(params: Params) -> dict[str, list[str]]:
    """Return the variants that differ in the seed of their training alone, by the first's name."""
    groups: dict[str, list[str]] = {}
    for name, variant in params.variants.items():
        alike = (o for o in groups if _seedless(params.variants[o]) == _seedless(variant))
        groups.setdefault(next(alike, name), []).append(name)
    return groups


def results_text(params: Params) -> str:
    """Return the tables of all networks, with what explains them; a dash stands for: not measured.

    Variants that differ in the seed alone share a row of means in the second table, which is there
    if any do. Published accuracies are compared with on CIFAR-10 only.
    """
    compared = params.data.source == "cifar10"
    groups = seed_groups(params)
    others = {name for group in groups.values() for name in group[1:]}
    rows = [_result(name) for name in networks(params) if name not in others]
    parts = [_table(rows, compared), f"{_LEGEND}\n"]
    if compared:
        parts.append(f"{_MARK_LEGEND}\n")
    if others:
        seeded = {name: group for name, group in groups.items() if len(group) > 1}
        parts += ["Mean and standard deviation (of the sample) over n seeds:\n", _means(seeded)]
    return "\n".join(parts)


def _seedless(variant: Variant) -> Variant:
    return replace(variant, name="", distill=replace(variant.distill, seed=None))


def _result(name: str) -> Result:
    return Result(name, read_metrics(metrics("float", name)), read_metrics(metrics("int8", name)))


def _table(rows: Sequence[Result], compared: bool) -> str:
    lines = [_line(row, compared) for row in rows]
    return markdown([[*lines[0]], *([*line.values()] for line in lines)])


def _line(row: Result, compared: bool) -> dict[str, str]:
    """Return the cells of a network by their column's title."""
    line = {"network": row.network}
    for title, value, wanted in (
        ("float", row.float.get("accuracy"), published.FLOAT.get(row.network)),
        ("INT8", row.int8.get("int8_accuracy"), published.INT8.get(row.network)),
    ):
        reached = value is not None and wanted is not None and value >= wanted
        line[f"{title}, %"] = cell(value) + (_MARK if compared and reached else "")
        if compared:
            line[f"published {title}, %"] = "-" if wanted is None else f"{wanted:.1f}"
    line["logits unlike QAT (numpy)"] = cell(row.int8.get("mismatches"))
    line["test images"] = cell(row.int8.get("images", row.float.get("images")))
    line["epochs"] = cell(row.float.get("epochs"))
    line["QAT epochs"] = cell(row.int8.get("epochs"))
    line["seed"] = cell(row.float.get("seed"))
    line["minutes"] = _minutes(row.float)
    line["QAT minutes"] = _minutes(row.int8)
    line["processor, threads"] = " / ".join(_processors(row)) or "-"
    return line


def _minutes(measured: dict[str, Any]) -> str:
    seconds = measured.get("seconds")
    return "-" if seconds is None else f"{seconds / 60:.1f}"


def _processors(row: Result) -> list[str]:
    """Return what the network was trained on, and what it was quantised on if that differs."""
    found = [
        f"{measured['processor']}, {measured['threads']}"
        for measured in (row.float, row.int8)
        if measured.get("processor") is not None
    ]
    return list(dict.fromkeys(found))


def _means(groups: dict[str, list[str]]) -> str:
    """Return the table of seeds, of each form those that are measured."""
    lines = [["network"]]
    for form in ("float", "INT8"):
        lines[0] += [f"{form} mean, %", f"{form} deviation, %", f"{form} n"]
    for first, names in groups.items():
        results = [_result(name) for name in names]
        lines.append([first])
        for values in (
            [r.float["accuracy"] for r in results if "accuracy" in r.float],
            [r.int8["int8_accuracy"] for r in results if "int8_accuracy" in r.int8],
        ):
            several = len(values) > 1
            summary = (statistics.mean, statistics.stdev) if several else ()
            lines[-1] += [cell(f(values)) for f in summary] or ["-", "-"]
            lines[-1].append(str(len(values)))
    return markdown(lines)
