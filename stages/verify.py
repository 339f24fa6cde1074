"""Prove that numpy computes the QAT network's integers, and keep golden samples for the hardware.

Reads the parameter dump with numpy alone, runs the whole test set and fails on one logit that
differs. Writes data/metrics/int8/<variant>.json and data/<variant>/samples.pkl.
"""

import numpy as np

from models.files.errors import PipelineError
from models.integer import resmlp as int_resmlp
from models.integer.params import load_int_params, save_samples
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.names import check_integer_name
from stages.pipeline.params import load_params
from stages.pipeline.paths import DATASET, artifact, cost, metrics
from stages.results.logits import load_logits
from stages.results.metrics import Metric, training_cost, write_metrics


def compare(expected: np.ndarray, computed: np.ndarray) -> None:
    """Raise PipelineError, naming the first place, unless two logit arrays [n, c] are equal."""
    if expected.shape != computed.shape:
        raise PipelineError(
            f"the QAT logits have shape {expected.shape}, the integer network's {computed.shape}; "
            "run `dvc repro dump_params` so that both come from one data set."
        )
    wrong = np.argwhere(expected != computed)
    if len(wrong):
        image, output = wrong[0]
        raise PipelineError(
            f"{len(wrong)} of {expected.size} logits differ between the QAT network and numpy, "
            f"first at image {image}, class {output}: QAT {expected[image, output]}, "
            f"numpy {computed[image, output]}."
        )


def verify(name: str, dataset: Dataset, samples: int) -> dict[str, Metric]:
    """Compare all logits, write the golden samples, return the metrics."""
    network = load_int_params(artifact(name, "int8.pkl"))
    logits = int_resmlp.evaluate(network, dataset.test.images)
    compare(load_logits(artifact(name, "qat_logits.npz")), logits)
    tokens = int_resmlp.quantize_images(network, dataset.test.images[:samples])
    golden = int_resmlp.make_samples(network, tokens, dataset.test.labels[:samples])
    save_samples(golden, artifact(name, "samples.pkl"))
    return {
        "int8_accuracy": int_resmlp.accuracy(logits, dataset.test.labels),
        "mismatches": 0,
        "images": len(logits),
    }


def main(name: str) -> None:
    """Verify one variant on the whole test set."""
    params = load_params()
    check_integer_name(params, name)
    result = verify(name, Dataset.load(DATASET), params.verify.samples)
    spent = training_cost(cost("int8", name), params.seed)
    write_metrics(metrics("int8", name), result | spent)


if __name__ == "__main__":
    run_variant_stage(main)
