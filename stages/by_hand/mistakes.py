"""Draw the most confident mistakes of a network as thumbnails: data/mistakes/NETWORK.png.

The picture holds test images, so git ignores it and the report does not have it. The classes are
those of the stored INT8 logits.
"""

import logging
from pathlib import Path

from stages.pipeline.command import run_variant_stage
from stages.pipeline.dataset import Dataset
from stages.pipeline.params import load_params
from stages.pipeline.paths import DATASET
from stages.results.mistakes import most_confident, results_of
from stages.results.pictures.mistakes import draw_mistakes
from stages.results.pictures.style import png, save

COUNT = 32
FOLDER = Path("data/mistakes")


def main(name: str) -> None:
    """Draw the most confident mistakes of a variant."""
    load_params().variant(name)
    mistakes = most_confident(results_of(name), COUNT)
    images = Dataset.load(DATASET).test.images[[mistake.image for mistake in mistakes]]
    path = FOLDER / f"{name}.png"
    save(png(lambda: draw_mistakes(images, mistakes, name)), path)
    logging.info(
        "%s: %d mistakes; keep it here, it holds images of the data set", path, len(images)
    )


if __name__ == "__main__":
    run_variant_stage(main)
