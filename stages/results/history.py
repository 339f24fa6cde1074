"""Read the training curves that stages/training/loop.py writes."""

import csv
import io
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from models.files.errors import PipelineError, one_line, restore
from stages.results.metrics import read_metrics

Point: TypeAlias = tuple[int, float]  # epoch from 1, validation accuracy in percent
_ACCURACIES = ("accuracy", "val_accuracy")
_TEXT = "phase"


def read_curve(path: Path) -> list[Point]:
    """Return the epochs of a history that classify, each with its validation accuracy.

    [] if there is no file. Raises PipelineError if the file is no history, or is cut: a row is not
    complete, or the cost of the training (the .json beside it) counts another number of epochs.
    """
    if not path.exists():
        return []
    epochs = read_metrics(path.with_suffix(".json")).get("epochs")
    try:
        text = path.read_bytes().decode()
        if not text.endswith("\n"):
            raise ValueError("its last line is cut")
        rows = list(csv.DictReader(io.StringIO(text), restkey="", restval=None, strict=True))
        points = [_point(row, number) for number, row in enumerate(rows, 1)]
        if epochs is not None and len(rows) != epochs:
            raise ValueError(f"it has {len(rows)} epochs, but the training had {epochs}")
    except (OSError, ValueError, KeyError, csv.Error) as error:
        raise PipelineError(
            f"{path} is not a complete history of a training ({one_line(error)}); {restore(path)}."
        ) from error
    return [(epoch, value) for epoch, value in points if value is not None]


def _point(row: Mapping[str, str | None], number: int) -> tuple[int, float | None]:
    """Return a row's epoch and validation accuracy; ValueError unless all of the row is right."""
    for key, value in row.items():
        if key == "" or value is None:
            raise ValueError(
                f"the row of epoch {number} does not have the columns of the first line"
            )
        if key != _TEXT and value != "" and not math.isfinite(float(value)):
            raise ValueError(f"{key} of epoch {number} is {value}")
        if key in _ACCURACIES and value != "" and not 0 <= float(value) <= 100:
            raise ValueError(f"{key} of epoch {number} is {value}, not a percentage")
    if row["epoch"] != str(number):
        raise ValueError(f"the row after epoch {number - 1} is that of epoch {row['epoch']}")
    accuracy = row["val_accuracy"]
    return number, float(accuracy) if accuracy else None
