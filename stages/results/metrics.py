"""Small JSON files that `dvc metrics show` reads, and what a training cost."""

import json
import logging
from pathlib import Path
from typing import Any

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError

Metric = float | int | str | bool | None

_COST = ("epochs", "seconds", "processor", "threads")  # of a file of stages/pipeline/cost.py


def write_metrics(path: Path | str, metrics: dict[str, Metric]) -> None:
    """Write flat metrics, floats to four decimals; None stands for: not measured here."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in metrics.items()}
    write_json(path, rounded)


def write_json(path: Path | str, content: object) -> None:
    """Write JSON with a key a line, so that a diff shows what changed."""
    with replace_on_success(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def log_accuracy(name: str, form: str, result: dict[str, Metric]) -> None:
    """Log the main figures of a network: the last line that a stage prints."""
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
    """Read a JSON object, {} where there is no file; PipelineError where it is none."""
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
    """Return epochs, seconds, processor and threads of a training, and its seed.

    `path` is what stages/pipeline/cost.py wrote. Weights from elsewhere have no file, or no epochs:
    then what is not known is None, the seed included.
    """
    kept = read_metrics(path)
    cost: dict[str, Metric] = {key: kept.get(key) for key in _COST}
    return cost | {"seed": seed if cost["epochs"] else None}
