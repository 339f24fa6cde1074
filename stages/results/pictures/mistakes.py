"""The most confident mistakes of a network as thumbnails; for local eyes, images stay local."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from stages.results.mistakes import Mistake
from stages.results.pictures.style import new_figure

COLUMNS = 8


def draw_mistakes(
    images: npt.NDArray[np.uint8], mistakes: Sequence[Mistake], network: str
) -> Figure:
    """Draw `images` [n, height, width, 3], one per mistake, each with its true and other class."""
    rows = -(-len(mistakes) // COLUMNS)
    figure = new_figure(0.5 + 1.6 * rows)
    grid = figure.subplots(rows, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.axis("off")
    for axes, image, mistake in zip(grid.flat, images, mistakes, strict=False):
        axes.imshow(image)
        words = f"{mistake.true}\nas {mistake.predicted}\n#{mistake.image}, +{mistake.margin}"
        axes.set_title(words, fontsize=7)
    figure.suptitle(f"{network}, INT8: the most confident mistakes", fontsize=10)
    return figure
