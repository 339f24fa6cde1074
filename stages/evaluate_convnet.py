"""Evaluate the convolutional network, from which the teacher learns:
data/metrics/float/convnet.json.
"""

from stages.networks.convnet import load_convnet, mixed_precision
from stages.networks.resmlp import device
from stages.pipeline.command import run_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import Params, load_params
from stages.pipeline.paths import CONVNET, DATASET, metrics
from stages.results.metrics import Metric, log_accuracy, write_metrics
from stages.results.scores import scores


def evaluate_convnet(params: Params, dataset: Dataset) -> dict[str, Metric]:
    """Return test and validation accuracy in percent, and the counts of images and parameters.

    The network runs as it does for the teacher: in bfloat16 if training.fused is set and
    the device multiplies it.
    """
    network = load_convnet(params, dataset).to(device()).eval()
    forward = mixed_precision(network, params.training.fused)
    return scores(network, forward, dataset)


def main() -> None:
    """Evaluate the convolutional network and write its metrics."""
    result = evaluate_convnet(load_params(), Dataset.load(DATASET))
    write_metrics(metrics("float", CONVNET), result)
    log_accuracy(CONVNET, "float", result)


if __name__ == "__main__":
    run_stage(main)
