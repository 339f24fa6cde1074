"""Evaluate a trained float network and write data/metrics/float/<name>.json.

This stage reads the test accuracy, once per finished network. Choices between networks are made on
the validation split.
"""

from stages.networks.resmlp import device, load_inputs, load_network
from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params
from stages.pipeline.paths import TEACHER, metrics
from stages.results.metrics import Metric, log_accuracy, write_metrics
from stages.results.scores import scores


def evaluate(params: Params, name: str, dataset: Dataset) -> dict[str, Metric]:
    """Return test and validation accuracy in percent, and the counts of images and parameters."""
    network = load_network(params, name, dataset).to(device()).eval()
    return scores(network, network, dataset)


def main(name: str) -> None:
    """Evaluate the variant `name`, or the teacher if `name` is "teacher"."""
    params, dataset = load_inputs(name, TEACHER)
    result = evaluate(params, name, dataset)
    write_metrics(metrics("float", name), result)
    log_accuracy(name, "float", result)


if __name__ == "__main__":
    run_variant_stage(main)
