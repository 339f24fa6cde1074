"""Read and write the small JSON files that `dvc metrics show` reads, and the cost of trainings."""

import json
import logging
import math
from pathlib import Path
from typing import Any

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, one_line, restore

Metric = float | int | str | bool | None

# Keys whose values are texts: of a plan, of a training, of a synthesis, of a
# route. All others are figures.
_TEXTS = frozenset(
    {
        *("model_limiting_stage", "estimate_fits", "processor", "torch"),
        *("tool", "sources", "part", "flow_target", "csim", "cosim", "export", "note"),
        "critical_path",
    }
)
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
    """Return the metrics in a JSON file, {} if there is none.

    Raises PipelineError if the file does not hold metrics: finite numbers, percentages from 0 to
    100, texts where texts belong, null for what was not measured.
    """
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_bytes())
        _check_metrics(content)
    except (OSError, ValueError, RecursionError) as error:
        raise PipelineError(
            f"{path} is not a JSON file of metrics ({one_line(error)}); {restore(path)}."
        ) from error
    return dict(content)


def _check_metrics(content: object) -> None:
    if not isinstance(content, dict):
        raise ValueError("it is not a mapping of names to figures")
    for key, value in content.items():
        if value is None or isinstance(value, bool):
            continue
        if (key in _TEXTS) != isinstance(value, str) or not isinstance(value, int | float | str):
            kind = "a text" if key in _TEXTS else "a number"
            raise ValueError(f"{ascii(key)[:60]} is {json.dumps(value)[:60]}, not {kind}")
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{ascii(key)[:60]} is {value}, not a finite number")
        if key.endswith("accuracy") and not 0 <= value <= 100:
            raise ValueError(f"{key} is {value}, not a percentage")


def training_cost(path: Path, seed: int) -> dict[str, Metric]:
    """Return epochs, seconds, processor, threads and seed of a training.

    `path` is a file that stages/pipeline/cost.py wrote. Weights that were not trained here have no
    file, or 0 epochs; then unknown values are None, including the seed.
    """
    kept = read_metrics(path)
    cost: dict[str, Metric] = {key: kept.get(key) for key in _COST}
    return cost | {"seed": seed if cost["epochs"] else None}
