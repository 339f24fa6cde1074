"""Read and write the small JSON files that `dvc metrics show` reads, and the cost of trainings."""

import json
import logging
from pathlib import Path
from typing import Any

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError

Metric = float | int | str | bool | None

_COST = ("epochs", "seconds", "processor", "threads")  # as stages/pipeline/cost.py writes


def write_metrics(path: Path | str, metrics: dict[str, Metric]) -> None:
    """Write flat metrics, floats with four decimals; None means that a figure was not measured."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in metrics.items()}
    write_json(path, rounded)


def write_json(path: Path | str, content: object) -> None:
    """Write JSON with one key per line, so that a diff shows what changed."""
    with replace_on_success(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def log_accuracy(name: str, form: str, result: dict[str, Metric]) -> None:
    """Log a network's accuracy and number of test images, as the last line of a stage."""
    equal = "" if "mismatches" not in result else ", every logit equal to the QAT network's"
    logging.info(
        "%s: %s accuracy %.2f%% on %d test images%s",
        name,
        form,
        result["accuracy"],
        result["images"],
        equal,
    )


def read_metrics(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file, {} if there is none; PipelineError if it is not JSON."""
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise PipelineError(
            f"{path} is no JSON ({error}); make it again with `dvc repro`."
        ) from error
    return content if isinstance(content, dict) else {}


def training_cost(path: Path, seed: int) -> dict[str, Metric]:
    """Return epochs, seconds, processor, threads and seed of a training.

    `path` is a file that stages/pipeline/cost.py wrote. Weights that were not trained here have no
    file, or 0 epochs; then unknown values are None, including the seed.
    """
    kept = read_metrics(path)
    cost: dict[str, Metric] = {key: kept.get(key) for key in _COST}
    return cost | {"seed": seed if cost["epochs"] else None}
