"""Check the committed accuracies: evaluate trained weights on all test images, without training.

PyTorch runs the float network. numpy runs the integer network, and its logits must all equal those
of the quantised network. Prints the accuracies next to those in data/metrics and writes nothing.
Ends with status 1 if an integer result differs, or if a float accuracy differs by more than
FLOAT_TOLERANCE (processors round sums differently).
"""

import argparse
import logging
import sys

from models.files.errors import PipelineError
from stages.evaluate import evaluate
from stages.pipeline.command import guarded
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import DATASET, metrics
from stages.results.markdown import cell, markdown
from stages.results.metrics import Metric, read_metrics
from stages.verify import verify

ALL = "all"
FLOAT_TOLERANCE = 0.1  # percentage points: ten of CIFAR-10's 10,000 test images
TITLES = ("network", "form", "accuracy, %", "committed, %", "test images", "logits unlike QAT")

Rows = dict[str, Metric]


def check(params: Params, name: str, dataset: Dataset) -> list[tuple[str, Rows, Rows]]:
    """Return (form, figures of this run, committed figures) of a variant, for float and INT8."""
    runs = {"float": evaluate(params, name, dataset), "int8": verify(name, dataset)}
    return [(form, run, read_metrics(metrics(form, name))) for form, run in runs.items()]


def differs(form: str, run: Rows, committed: Rows) -> bool:
    """Return whether the accuracy differs from the committed one by more than the tolerance."""
    found, wanted = run["accuracy"], committed.get("accuracy")
    if not isinstance(found, float) or not isinstance(wanted, int | float):
        return True
    return abs(found - wanted) > (FLOAT_TOLERANCE if form == "float" else 5e-5)


def main(wanted: str) -> None:
    """Check one variant, or all variants of params.yaml."""
    params = load_params()
    names = list(params.variants) if wanted == ALL else [params.variant(wanted).name]
    dataset = Dataset.load(DATASET)
    lines, wrong = [TITLES], []
    for name in names:
        for form, run, committed in check(params, name, dataset):
            logging.info("%s, %s: %s%%", name, form, cell(run["accuracy"]))
            cells = (run["accuracy"], committed.get("accuracy"), run["images"])
            mismatches = cell(run.get("mismatches"))
            lines.append((name, form, *map(cell, cells), mismatches))
            if differs(form, run, committed):
                wrong.append(f"{name} ({form})")
    sys.stdout.write(markdown(lines))
    if wrong:
        raise PipelineError(
            f"The accuracy of {', '.join(wrong)} is not the committed one; restore the weights and "
            "the metrics with `dvc pull` and `git restore data/metrics`."
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("network", help=f"a key under `variants` in params.yaml, or {ALL}")
    arguments = parser.parse_args()
    guarded(lambda: main(arguments.network))
