"""The confusion matrix of a network, from its stored integer logits and the labels."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure

from stages.results.pictures.style import new_figure


def draw_confusion(counts: npt.NDArray[np.int64], names: Sequence[str], network: str) -> Figure:
    """Draw counts [true, predicted]; the shade is the share of the true class."""
    figure = new_figure(6.4, 7.6)
    axes = figure.subplots()
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    errors = np.where(np.eye(len(names), dtype=bool), np.nan, shares)
    shown = matplotlib.colormaps["Blues"].with_extremes(bad="#E8E8E8")
    top = float(np.nanmax(errors)) if len(names) > 1 else 1.0
    image = axes.imshow(100 * errors, cmap=shown, vmin=0, vmax=max(100 * top, 1.0))
    for (true, predicted), count in np.ndenumerate(counts):
        dark = true != predicted and shares[true, predicted] > 0.6 * top
        axes.text(
            predicted,
            true,
            str(count),
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold" if true == predicted else "normal",
            color="white" if dark else "black",
        )
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right")
    axes.set_yticks(range(len(names)), names)
    right = 100 * np.trace(counts) / max(counts.sum(), 1)
    axes.set(xlabel="predicted class", ylabel="true class")
    axes.set_title(f"{network}, INT8: {right:.2f} % of {counts.sum():,} test images")
    bar = figure.colorbar(image, ax=axes, shrink=0.8)
    bar.set_label("mistaken so, % of the true class")
    return figure
