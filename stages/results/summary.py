"""Tables of all networks' results, for data/report.md and README.md."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stages.pipeline.params import Params, Variant
from stages.pipeline.paths import CONVNET, TEACHER, cost, metrics
from stages.results import published
from stages.results.markdown import cell, markdown
from stages.results.metrics import read_metrics, training_cost

_LEGEND = (
    "Float is the trained PyTorch network, INT8 the integer network that numpy evaluates. Epochs "
    "of a student are those of its transfer (each on one block) and its distillation; minutes are "
    "wall time."
)
_MARK = " *"
_MARK_LEGEND = "\\* at least the published accuracy."
_SEEDS_LEGEND = (
    "Mean and standard deviation (of the sample) over n seeds; INT8 - float seed by seed, in "
    "points:\n"
)


@dataclass(frozen=True)
class Result:
    """The metrics of a network's float form and of its integer form.

    `published` is the network's key in stages/results/published.py, None if it has none.
    """

    network: str
    published: str | None
    float: dict[str, Any]
    int8: dict[str, Any]


def networks(params: Params) -> list[str]:
    """Return the names of all networks; the convolutional network is first, if one is trained."""
    trained = [CONVNET] if TEACHER in params.weights.train else []
    return [*trained, TEACHER, *params.variants]


def seed_groups(params: Params) -> dict[str, list[str]]:
    """Return the variants that differ only in their training seed, by the first one's name."""
    groups: dict[str, list[str]] = {}
    for name, variant in params.variants.items():
        alike = (o for o in groups if _seedless(params.variants[o]) == _seedless(variant))
        groups.setdefault(next(alike, name), []).append(name)
    return groups


def results_text(params: Params) -> str:
    """Return the tables of all networks with their explanations; a dash means: not measured.

    If there are variants that differ only in the seed, the first of them represents them in the
    first table, and a second table has their means. Published accuracies are shown for CIFAR-10
    only.
    """
    compared = params.data.source == "cifar10"
    groups = seed_groups(params)
    others = {name for group in groups.values() for name in group[1:]}
    rows = [_result(params, name) for name in networks(params) if name not in others]
    parts = [_table(rows, compared), f"{_LEGEND}\n"]
    if compared:
        parts.append(f"{_MARK_LEGEND}\n")
    if others:
        seeded = {name: group for name, group in groups.items() if len(group) > 1}
        parts += [_SEEDS_LEGEND, _means(params, seeded)]
    return "\n".join(parts)


def _seedless(variant: Variant) -> Variant:
    return replace(variant, name="", distill=replace(variant.distill, seed=None))


def _result(params: Params, name: str) -> Result:
    seeds = {"float": params.training_seed(name), "int8": params.seed}
    float_, int8 = (
        read_metrics(metrics(form, name)) | training_cost(cost(form, name), seed)
        for form, seed in seeds.items()
    )
    variant = params.variants.get(name)
    known = name if variant is None else published.name_of(variant.network)
    return Result(name, known, float_, int8)


def _table(rows: Sequence[Result], compared: bool) -> str:
    lines = [_line(row, compared) for row in rows]
    return markdown([[*lines[0]], *([*line.values()] for line in lines)])


def _line(row: Result, compared: bool) -> dict[str, str]:
    """Return a network's cells by the titles of their columns."""
    line = {"network": row.network}
    for title, value, wanted in (
        ("float", row.float.get("accuracy"), published.FLOAT.get(row.published or "")),
        ("INT8", row.int8.get("accuracy"), published.INT8.get(row.published or "")),
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
    """Return the processor and threads of the float training, and those of QAT if they differ."""
    found = [
        f"{measured['processor']}, {measured['threads']}"
        for measured in (row.float, row.int8)
        if measured.get("processor") is not None
    ]
    return list(dict.fromkeys(found))


def _means(params: Params, groups: dict[str, list[str]]) -> str:
    """Return the table of means over seeds: of float results, of INT8 results, and of pairs."""
    lines = [["network"]]
    for title in ("float", "INT8", "INT8 - float"):
        unit = "" if "-" in title else ", %"
        lines[0] += [f"{title} mean{unit}", f"{title} deviation{unit}", f"{title} n"]
    for first, names in groups.items():
        results = [_result(params, name) for name in names]
        floats = [result.float.get("accuracy") for result in results]
        integers = [result.int8.get("accuracy") for result in results]
        both = [
            j - i for i, j in zip(floats, integers, strict=True) if i is not None and j is not None
        ]
        lines.append([first])
        for values in (floats, integers, both):
            measured = [value for value in values if value is not None]
            summary = (statistics.mean, statistics.stdev) if len(measured) > 1 else ()
            lines[-1] += [cell(f(measured)) for f in summary] or ["-", "-"]
            lines[-1].append(str(len(measured)))
    return markdown(lines)
