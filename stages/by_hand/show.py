"""Print what was measured in one short table, and where the whole report is.

The table has a row per network, with its first design. A dash means: not measured. data/report.md
has all columns and all designs.
"""

import os
import sys
from pathlib import Path

from stages.pipeline.command import run_stage
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import metrics
from stages.results.markdown import cell, markdown
from stages.results.metrics import read_metrics
from stages.results.summary import networks

ROOT = Path(__file__).resolve().parent.parent.parent
TITLES = (
    *("network", "float, %", "INT8, %", "logits unlike QAT"),
    *("design", "images equal in C++", "images/s (model)"),
)
REPORTS = (Path("data/report.html"), Path("data/report.md"))


def short_table(params: Params) -> str:
    """Return the table of all networks of params.yaml."""
    designs = {design.variant: name for name, design in reversed(params.designs.items())}
    lines: list[tuple[str, ...]] = [TITLES]
    for name in networks(params):
        int8 = read_metrics(metrics("int8", name))
        design = designs.get(name, "-")
        csim = read_metrics(metrics("csim", design))
        figures = (
            *(read_metrics(metrics("float", name)).get("accuracy"), int8.get("accuracy")),
            *(int8.get("mismatches"), design, csim.get("images")),
            read_metrics(metrics("model", design)).get("model_images_per_second"),
        )
        lines.append((name, *map(cell, figures)))
    return markdown(lines)


def main() -> None:
    """Print the table and the path of the report, from the root of the checkout."""
    sys.stdout.write(short_table(load_params()))
    written = [os.path.relpath(path, ROOT) for path in REPORTS if path.exists()]
    if written:
        sys.stdout.write(f"\nThe whole report: {' and '.join(written)}\n")


if __name__ == "__main__":
    run_stage(main)
