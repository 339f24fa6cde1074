"""What a trained float network scores on the images that it did not see."""

from torch import nn

from stages.networks.evaluation import Forward, accuracy, predict, to_tensors
from stages.pipeline.dataset import Dataset, Split
from stages.results.metrics import Metric


def scores(network: nn.Module, forward: Forward, dataset: Dataset) -> dict[str, Metric]:
    """Return top-1 accuracies in percent, the number of test images and of parameters.

    `forward` maps pixels to logits as `network`, which is in eval mode, is meant to be run.
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
