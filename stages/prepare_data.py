"""Convert any source of images to data/dataset.npz (the DVC stage `prepare_data`)."""

import json
import logging
import os
import shutil
from pathlib import Path

import numpy as np

from models.files.atomic import replace_on_success
from stages.pipeline.command import run_stage
from stages.pipeline.dataset import Dataset, channel_statistics, hold_out
from stages.pipeline.kept_dataset import kept_dataset
from stages.pipeline.params import Data, load_params
from stages.pipeline.paths import DATASET
from stages.sources.registry import CIFAR10_CLASSES, PUBLISHED_STATISTICS, read_images

log = logging.getLogger(__name__)


def prepare(data: Data, seed: int) -> Dataset:
    """Read the source, hold out the validation images and determine mean and std.

    Without mean and std in `data`, they are the source's published ones, or else measured on the
    remaining training images.
    """
    source = read_images(data.source, data.path)
    train, validation = hold_out(source.train, data.validation_images, seed)
    given = data.mean and data.std and (data.mean, data.std)
    cifar10 = PUBLISHED_STATISTICS["cifar10"]
    if given == cifar10 and source.class_names != CIFAR10_CLASSES:
        log.warning(
            "data.mean and data.std are those of CIFAR-10, but the images are not; set both to "
            "null to have them measured"
        )
    known = given or PUBLISHED_STATISTICS.get(data.source)
    mean, std = np.array(known) if known else channel_statistics(train.images)
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


def link(file: Path, path: Path) -> None:
    """Make `path` a hard link of `file`, or a copy where the file system has no such links."""
    with replace_on_success(path) as temporary:
        temporary.unlink()
        try:
            os.link(file, temporary)
        except OSError:
            shutil.copyfile(file, temporary)


def main() -> None:
    """Read params.yaml; write data/dataset.npz and data/metrics/dataset.json."""
    params = load_params()
    kept = kept_dataset()
    if kept is None:
        dataset = prepare(params.data, params.seed)
        dataset.save(DATASET)
    else:
        link(kept, DATASET)
        dataset = Dataset.load(DATASET)
        log.info("%s: the images of %s, by their MD5 in dvc.lock", DATASET, kept)
    facts = summary(dataset, params.data.source)
    with replace_on_success(Path("data/metrics/dataset.json")) as temporary:
        temporary.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    log.info("data/dataset.npz: %s", facts)


if __name__ == "__main__":
    run_stage(main)
