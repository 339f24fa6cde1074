"""Small JSON files that `dvc metrics show` reads."""

import json
from pathlib import Path

from models.atomic_file import replace_on_success

Metric = float | int | str | bool | None


def write_metrics(path: Path | str, metrics: dict[str, Metric]) -> None:
    """Write flat metrics, floats to four decimals; None stands for: not measured here."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in metrics.items()}
    with replace_on_success(path) as temporary:
        temporary.write_text(json.dumps(rounded, indent=2) + "\n")
