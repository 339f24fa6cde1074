"""Draw the pictures of README.md and docs/: `python -m docs.draw`, in the repository's root.

accuracy.png     accuracy against hidden width, from data/report.md and the published figures
functions.png    learned functions of LERP-PSA-96, from data/lerp_psa_h96/float.pt (`dvc pull`)
designs.png      images per second against multipliers, from data/metrics/model/
"""

import json
import logging
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.files.atomic import replace_on_success
from models.float.activations.lerp_psa import LerpPsa
from models.float.checkpoint import load_state
from models.float.resmlp import ResMLP
from stages.by_hand.readme_tables import REPORT, read_tables
from stages.results import published

IMAGES = Path("docs/images")
METRICS = Path("data/metrics/model")
WIDTHS = (24, 48, 96, 192)
# Okabe and Ito's colours, which colour-blind readers tell apart; shapes differ, too.
STYLES = {
    "relu": ("ReLU", "#0072B2", "o"),
    "bspline": ("B-spline", "#E69F00", "s"),
    "lerp_psa": ("LERP-PSA", "#D55E00", "^"),
}
BLOCK_COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7")
PER_BLOCK = 2  # functions shown of each block

Points = list[tuple[int, float]]


def save(figure: Figure, name: str) -> None:
    """Write a picture under docs/images, whole or not at all."""
    with replace_on_success(IMAGES / name) as temporary:
        figure.savefig(temporary, format="png", dpi=130, metadata={"Software": None})
    logging.info("%s", IMAGES / name)


def points(figures: dict[str, float], activation: str) -> Points:
    """Return (hidden width, accuracy) where there is a figure."""
    names = {width: f"{activation}_h{width}" for width in WIDTHS}
    return [(width, figures[name]) for width, name in names.items() if name in figures]


def measured(column: str) -> dict[str, float]:
    """Return a column of data/report.md as accuracies in percent by network."""
    table = read_tables(REPORT.read_text())[0]
    cells = {row["network"]: row[column].removesuffix(" *") for row in table}
    return {name: float(cell) for name, cell in cells.items() if cell != "-"}


def draw_accuracy() -> Figure:
    """Draw ours as lines, the published figures as crosses; floats to the left, INT8 right."""
    figure = Figure(figsize=(8.5, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    forms = ("float", published.FLOAT), ("INT8", published.INT8)
    for axes, (form, paper) in zip(panels, forms, strict=True):
        figures = measured(f"{form}, %")
        for activation, (label, colour, marker) in STYLES.items():
            axes.plot(
                *zip(*points(figures, activation), strict=True),
                color=colour,
                marker=marker,
                label=label,
            )
            theirs = points(paper, activation)
            if theirs:
                crosses = {"markersize": 8, "markeredgewidth": 1.8, "zorder": 5}
                axes.plot(*zip(*theirs, strict=True), "x", color=colour, **crosses)
        axes.plot([], [], "x", color="black", markersize=8, label="published")
        axes.set_xscale("log", base=2)
        axes.set_xticks(WIDTHS, [str(width) for width in WIDTHS])
        axes.set(title=form, xlabel="hidden channels")
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("CIFAR-10 test accuracy, %")
    panels[0].legend(loc="lower right", fontsize="small")
    return figure


def unlike(tables: NDArray[np.float32], count: int) -> list[int]:
    """Return the channels of tables [F, G] whose shapes differ most, each from those before it."""
    shapes = tables - tables.mean(axis=1, keepdims=True)
    shapes /= np.linalg.norm(shapes, axis=1, keepdims=True)
    chosen = [0]
    distances = np.linalg.norm(shapes - shapes[0], axis=1)
    while len(chosen) < count:
        chosen.append(int(distances.argmax()))
        distances = np.minimum(distances, np.linalg.norm(shapes - shapes[chosen[-1]], axis=1))
    return chosen


def draw_functions(weights: Path) -> Figure:
    """Draw, of every block, the hidden layer's functions that look least alike."""
    network = ResMLP("lerp_psa", 96)
    load_state(network, weights)
    figure = Figure(figsize=(8.5, 1.9 * PER_BLOCK), layout="constrained")
    grid: NDArray[np.object_] = figure.subplots(PER_BLOCK, len(network.blocks), sharex=True)
    for number, block in enumerate(network.blocks):
        activation = block.mlp.act_hidden
        assert isinstance(activation, LerpPsa)
        with torch.no_grad():
            table = activation.table()[0].numpy()
        knots = activation.knots.numpy()
        for axes, channel in zip(grid[:, number], unlike(table, PER_BLOCK), strict=True):
            draw_function(axes, knots, table[channel], BLOCK_COLOURS[number])
            axes.set_title(f"block {number}, channel {channel}", fontsize="small")
    for axes in grid[-1]:
        axes.set_xlabel("x")
    return figure


def draw_function(
    axes: Axes, knots: NDArray[np.float32], values: NDArray[np.float32], colour: str
) -> None:
    """Draw one learned function, with the identity as a dotted line."""
    axes.plot(knots, knots, ":", color="grey", linewidth=1)
    axes.plot(knots, values, color=colour, linewidth=2)
    axes.grid(alpha=0.3)
    axes.set_xticks((-4, -2, 0, 2, 4))
    axes.tick_params(labelsize="small")


def draw_designs() -> Figure:
    """Draw every planned design: rate (model) against multipliers (estimate)."""
    figure = Figure(figsize=(7, 3.8), layout="constrained")
    axes = figure.subplots()
    for path in sorted(METRICS.glob("*.json")):
        design = json.loads(path.read_text())
        at = design["estimate_multipliers"], design["model_images_per_second"]
        simd = path.stem.endswith("_simd")
        axes.plot(*at, "s" if simd else "o", color="#E69F00" if simd else "#0072B2")
        below = path.stem.startswith("relu_")
        axes.annotate(
            path.stem, at, (7, -9 if below else 3), textcoords="offset points", fontsize="small"
        )
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="multipliers (estimate)",
        ylabel="images/s at 5 ns (model)",
    )
    axes.set_xlim(right=40_000)
    axes.grid(alpha=0.3, which="both")
    return figure


def main() -> None:
    """Draw what the committed figures allow, and the functions where the weights are here."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    save(draw_accuracy(), "accuracy.png")
    save(draw_designs(), "designs.png")
    weights = Path("data/lerp_psa_h96/float.pt")
    if weights.exists():
        save(draw_functions(weights), "functions.png")
    else:
        logging.warning("%s is missing: run `dvc pull` to draw the learned functions", weights)


if __name__ == "__main__":
    main()
