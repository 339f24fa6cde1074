"""Put the results of all variants into one table and one chart.

Writes data/report.md and data/plots/validation_accuracy.{csv,png} (long form, for `dvc plots`).
"""

import csv
import json
from pathlib import Path
from typing import Any

from models.atomic_file import replace_on_success
from models.errors import PipelineError
from stages._params import load_params
from stages._paths import TEACHER, history, metrics
from stages._stage import run_stage
from stages._tables import markdown

PLOTS = Path("data/plots")
Row = dict[str, Any]

COLUMNS = (
    ("float", "accuracy", "float, %"),
    ("int8", "int8_accuracy", "INT8, %"),
    ("int8", "mismatches", "logits unlike QAT (numpy)"),
    ("int8", "images", "test images"),
    ("csim", "csim", "C simulation"),
    ("csim", "csim_images", "images in C++"),
)


def results(names: list[str]) -> list[Row]:
    """Collect what the stages measured, one row per network; absent means not measured."""
    rows = []
    for name in names:
        row: Row = {"network": name}
        for kind in ("float", "int8", "csim", "synthesis"):
            row[kind] = _read(metrics(kind, name))
        rows.append(row)
    return rows


def table(rows: list[Row]) -> str:
    """Return the results as a Markdown table; a dash stands for: not measured."""
    lines = [("network", *(title for _, _, title in COLUMNS))]
    for row in rows:
        lines.append((row["network"], *(_cell(row[kind].get(key)) for kind, key, _ in COLUMNS)))
    return markdown(lines)


def notes(rows: list[Row]) -> list[str]:
    """Return each distinct remark of the synthesis stage (for example: no tool here)."""
    found = [row["synthesis"].get("note") for row in rows]
    return sorted({note for note in found if note})


def curves(names: list[str]) -> list[tuple[int, str, float]]:
    """Return (epoch, network, validation accuracy in percent) of every epoch that classified."""
    points = []
    for name in names:
        path = history("float", name)
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    if row.get("val_accuracy"):
                        points.append((int(row["epoch"]), name, float(row["val_accuracy"])))
    return points


def draw(points: list[tuple[int, str, float]], path: Path) -> None:
    """Draw the curves as a PNG."""
    from matplotlib.figure import Figure  # slow to import, and only needed here

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot()
    for name in dict.fromkeys(name for _, name, _ in points):
        own = [(epoch, value) for epoch, label, value in points if label == name]
        axes.plot(*zip(*own, strict=True), label=name, marker=".")
    axes.set(xlabel="epoch", ylabel="validation accuracy, %")
    axes.grid(alpha=0.3)
    if points:
        axes.legend(fontsize="small")
    with replace_on_success(path) as temporary:
        figure.savefig(temporary, dpi=100, metadata={"Software": None})


def _read(path: Path) -> Row:
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise PipelineError(
            f"{path} is no JSON ({error}); make it again with `dvc repro`."
        ) from error
    return content if isinstance(content, dict) else {}


def _cell(value: float | int | str | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)


def main() -> None:
    """Write the table and the chart of the teacher and all variants."""
    names = [TEACHER, *load_params().variants]
    rows = results(names)
    text = table(rows) + "".join(f"\n{note}\n" for note in notes(rows))
    points = curves(names)
    with replace_on_success(PLOTS / "validation_accuracy.csv") as temporary:
        lines = ["epoch,variant,val_accuracy", *(f"{e},{n},{v}" for e, n, v in points)]
        temporary.write_text("\n".join(lines) + "\n")
    draw(points, PLOTS / "validation_accuracy.png")
    with replace_on_success("data/report.md") as temporary:
        temporary.write_text(text)


if __name__ == "__main__":
    run_stage(main)
