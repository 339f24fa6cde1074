"""Measure a trained float network: data/metrics/float/<name>.json.

The test accuracy is read here, once per finished network; choices are made on the validation split.
"""

from stages._dataset import Dataset, Split
from stages._metrics import Metric, write_metrics
from stages._networks import device, load_network
from stages._params import Params, load_params
from stages._paths import DATASET, metrics
from stages._stage import run_variant_stage
from stages._training import accuracy, predict, to_tensors


def evaluate(params: Params, name: str, dataset: Dataset) -> dict[str, Metric]:
    """Return top-1 accuracies in percent, the number of test images and of parameters."""
    network = load_network(params, name, dataset).to(device())

    def score(split: Split) -> float:
        images, labels = to_tensors(split)
        return accuracy(predict(network, images, device()), labels)

    return {
        "accuracy": score(dataset.test),
        "validation_accuracy": score(dataset.validation),
        "images": len(dataset.test.labels),
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
    }


def main(name: str) -> None:
    """Evaluate the variant `name`, or `teacher`."""
    result = evaluate(load_params(), name, Dataset.load(DATASET))
    write_metrics(metrics("float", name), result)


if __name__ == "__main__":
    run_variant_stage(main)
