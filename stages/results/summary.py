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

_LEGEND = "Float is the trained PyTorch network, INT8 the integer network that numpy evaluates."
_TRAINING_LEGEND = (
    "What the trainings cost. Epochs of a student are those of its transfer (each on one block) "
    "and its distillation; minutes are wall time:\n"
)
_MARK = " *"
_MARK_LEGEND = "\\* at least the published accuracy."
_SEEDS_LEGEND = (
    "Mean and standard deviation (of the sample) over seeds, their number in brackets; INT8 - "
    "float seed by seed, in points:\n"
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
    only. The last table has the cost of the trainings.
    """
    parts = [markdown(network_lines(params)), f"{_LEGEND}\n"]
    if params.data.source == "cifar10":
        parts.append(f"{_MARK_LEGEND}\n")
    seeds = seed_lines(params)
    if len(seeds) > 1:
        parts += [_SEEDS_LEGEND, markdown(seeds)]
    parts += [_TRAINING_LEGEND, markdown(training_lines(params))]
    return "\n".join(parts)


def network_lines(params: Params) -> list[list[str]]:
    """Return the accuracies of all networks, the header first; one row for all seeds of one."""
    compared = params.data.source == "cifar10"
    return _lines([_accuracies(row, compared) for row in _results(params)])


def training_lines(params: Params) -> list[list[str]]:
    """Return what the trainings of those networks cost, the header first."""
    return _lines([_training(row) for row in _results(params)])


def seed_lines(params: Params) -> list[list[str]]:
    """Return means over seeds, the header first: of floats, of INT8, and of their differences.

    Only networks with several seeds have a row.
    """
    lines = [["network", "float, %", "INT8, %", "INT8 - float"]]
    for first, names in seed_groups(params).items():
        if len(names) > 1:
            results = [_result(params, name) for name in names]
            floats = [result.float.get("accuracy") for result in results]
            integers = [result.int8.get("accuracy") for result in results]
            both = [
                None if i is None or j is None else j - i
                for i, j in zip(floats, integers, strict=True)
            ]
            lines.append([first, *map(_mean, (floats, integers, both))])
    return lines


def _mean(values: Sequence[float | None]) -> str:
    measured = [value for value in values if value is not None]
    if len(measured) < 2:
        return f"- ({len(measured)})"
    center, spread = statistics.mean(measured), statistics.stdev(measured)
    return f"{cell(center)} ± {cell(spread)} ({len(measured)})"


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


def _results(params: Params) -> list[Result]:
    """Return the results of all networks, without further seeds of the same one."""
    others = {name for group in seed_groups(params).values() for name in group[1:]}
    return [_result(params, name) for name in networks(params) if name not in others]


def _lines(rows: Sequence[dict[str, str]]) -> list[list[str]]:
    return [[*rows[0]], *([*row.values()] for row in rows)]


def _accuracies(row: Result, compared: bool) -> dict[str, str]:
    """Return a network's accuracies by the titles of their columns."""
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
    return line


def _training(row: Result) -> dict[str, str]:
    """Return what a network's trainings cost by the titles of their columns."""
    return {
        "network": row.network,
        "epochs": cell(row.float.get("epochs")),
        "QAT epochs": cell(row.int8.get("epochs")),
        "seed": cell(row.float.get("seed")),
        "minutes": _minutes(row.float),
        "QAT minutes": _minutes(row.int8),
        "processor, threads": " / ".join(_processors(row)) or "-",
    }


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
