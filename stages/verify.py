"""Check on the whole test set that numpy computes the same integers as the QAT network.

Reads the dumped parameters with numpy only and fails if one logit differs. Writes
data/metrics/int8/<variant>.json.
"""

from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.names import check_integer_name
from stages.pipeline.params import load_params
from stages.pipeline.paths import DATASET, artifact, metrics
from stages.results.logits import compare, load_logits
from stages.results.metrics import Metric, log_accuracy, write_metrics


def verify(name: str, dataset: Dataset) -> dict[str, Metric]:
    """Compare all logits of the test images; return accuracy in percent, mismatches and images."""
    network = load_int_params(artifact(name, "int8.pkl"))
    logits = int_resmlp.evaluate(network, dataset.test.images)
    compare(load_logits(artifact(name, "qat_logits.npz")), logits, "numpy")
    return {
        "accuracy": int_resmlp.accuracy(logits, dataset.test.labels),
        "mismatches": 0,
        "images": len(logits),
    }


def main(name: str) -> None:
    """Verify one variant on the whole test set."""
    check_integer_name(load_params(), name)
    result = verify(name, Dataset.load(DATASET))
    write_metrics(metrics("int8", name), result)
    log_accuracy(name, "INT8", result)


if __name__ == "__main__":
    run_variant_stage(main)
