"""Convert any source of images to data/dataset.npz (the DVC stage `prepare_data`)."""

import json
import logging
from pathlib import Path

import numpy as np

from models.files.atomic import replace_on_success
from stages.pipeline.command import run_stage
from stages.pipeline.dataset import Dataset, channel_statistics, hold_out
from stages.pipeline.params import Data, load_params
from stages.sources.registry import read_images

log = logging.getLogger(__name__)


def prepare(data: Data, seed: int) -> Dataset:
    """Read the source, hold out the validation images and determine mean and std.

    If `data` has no mean and std, they are measured on the remaining training images.
    """
    source = read_images(data.source, data.path)
    train, validation = hold_out(source.train, data.validation_images, seed)
    mean, std = channel_statistics(train.images)
    if data.mean is not None:
        mean = np.array(data.mean, dtype=np.float64)
    if data.std is not None:
        std = np.array(data.std, dtype=np.float64)
    return Dataset(train, validation, source.test, source.class_names, mean, std)


def summary(dataset: Dataset, source: str) -> dict[str, object]:
    """Return the content of data/metrics/dataset.json: source, counts, mean and std.

    mean and std are rounded to 6 decimals.
    """
    return {
        "source": source,
        "train_images": len(dataset.train),
        "validation_images": len(dataset.validation),
        "test_images": len(dataset.test),
        "classes": len(dataset.class_names),
        "mean": [round(float(value), 6) for value in dataset.mean],
        "std": [round(float(value), 6) for value in dataset.std],
    }


def main() -> None:
    """Read params.yaml; write data/dataset.npz and data/metrics/dataset.json."""
    params = load_params()
    dataset = prepare(params.data, params.seed)
    dataset.save("data/dataset.npz")
    facts = summary(dataset, params.data.source)
    with replace_on_success(Path("data/metrics/dataset.json")) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    log.info("data/dataset.npz: %s", facts)


if __name__ == "__main__":
    run_stage(main)
