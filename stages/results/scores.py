"""Test and validation accuracy of a float network."""

from torch import nn

from stages.networks.evaluation import Forward, accuracy, predict, to_tensors
from stages.pipeline.dataset import Dataset, Split
from stages.results.metrics import Metric


def scores(network: nn.Module, forward: Forward, dataset: Dataset) -> dict[str, Metric]:
    """Return top-1 accuracies in percent, and the counts of test images and parameters.

    `forward` is the function from pixels to logits that runs `network`, which must be in eval mode.
    """
    place = next(network.parameters()).device

    def score(split: Split) -> float:
        images, labels = to_tensors(split)
        return accuracy(predict(forward, images, place), labels)

    return {
        "accuracy": score(dataset.test),
        "validation_accuracy": score(dataset.validation),
        "images": len(dataset.test.labels),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }
