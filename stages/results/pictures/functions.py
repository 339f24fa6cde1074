"""Learned functions of a network over the inputs that arrive, with ReLU beside each of them."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.integer.fixed_point import INT8_MAX, INT8_MIN
from models.integer.params import IntTable
from stages.results.functions import Functions
from stages.results.pictures.style import BLACK, BLUE, GREY, Look, new_figure

PER_PLACE = 2  # functions drawn of each place
_WORDS = {"act_in": "before linear_1", "act_hidden": "after linear_1"}


def draw_functions(places: Mapping[str, Functions], look: Look, network: str) -> Figure:
    """Draw a row per block; its columns are channels before and after the first linear layer.

    Grey bars: how often an input arrives (each panel has its own scale). Wide line: the trained
    function. Thin black line and dots: what INT8 makes of it, and the knots. Dashed: ReLU.
    """
    blocks = sorted({_parts(place)[0] for place in places})
    kinds = [kind for kind in _WORDS if any(_parts(place)[1] == kind for place in places)]
    columns = PER_PLACE * len(kinds)
    figure = new_figure(0.7 + 1.85 * len(blocks))
    grid = figure.subplots(len(blocks), columns, squeeze=False)
    for row, block in zip(grid, blocks, strict=True):
        for start, kind in enumerate(kinds):
            functions = places[f"blocks_{block}_mlp_{kind}"]
            for index in range(PER_PLACE):
                axes = row[PER_PLACE * start + index]
                if index < len(functions.channels):
                    _panel(axes, functions, index, look)
                    channel = functions.channels[index]
                    axes.set_title(f"block {block}, {_WORDS[kind]}, ch. {channel}", fontsize=8)
                else:
                    axes.set_visible(False)
    for axes in grid[-1]:
        axes.set_xlabel("input x")
    for axes in grid[:, 0]:
        axes.set_ylabel("output")
    _legend(figure, look, network)
    return figure


def _panel(axes: Axes, functions: Functions, index: int, look: Look) -> None:
    in_scale, out_scale = functions.scales
    integers = np.arange(INT8_MIN, INT8_MAX + 1)
    x = in_scale * integers
    floats = functions.values[index]
    table = functions.knots[index : index + 1].astype(np.int32)
    rounded = out_scale * IntTable(table).lut[0] if table.size else None
    shown = floats if rounded is None else np.concatenate([floats, rounded])
    arrived = functions.counts[index]
    used = integers[arrived > 0]
    low, high = (used[0], used[-1]) if len(used) else (INT8_MIN, INT8_MAX)
    bars = arrived.reshape(-1, 4).sum(axis=1)  # one bar per segment of the table
    behind = axes.twinx()
    behind.bar(x[::4] + 1.5 * in_scale, bars, width=4 * in_scale, color="#CFCFCF")
    behind.set_ylim(0, 1.15 * max(bars.max(), 1))
    behind.set_yticks([])
    axes.set_zorder(behind.get_zorder() + 1)
    axes.patch.set_visible(False)
    axes.plot(x, np.maximum(x, 0), "--", color=BLUE, linewidth=1)
    axes.plot(x, floats, color=look.colour, linewidth=3.2, alpha=0.55, solid_capstyle="round")
    if rounded is not None:
        axes.plot(x, rounded, color=BLACK, linewidth=0.8)
        knots = functions.knots[index, :-1].astype(np.int32)
        axes.plot(x[::4], out_scale * knots, ".", color=BLACK, markersize=2.2)
    axes.set_xlim(in_scale * (low - 2), in_scale * (high + 2))
    seen = np.concatenate([shown.reshape(-1, 256)[:, arrived > 0].ravel(), [0.0]])
    span = float(np.ptp(seen)) or 1.0
    axes.set_ylim(seen.min() - 0.12 * span, seen.max() + 0.12 * span)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.tick_params(labelsize=8)
    for spines in (axes.spines, behind.spines):
        spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, look: Look, network: str) -> None:
    axes = figure.axes[0]
    handles = [
        axes.plot([], [], color=look.colour, linewidth=3.2, alpha=0.55)[0],
        axes.plot([], [], ".-", color=BLACK, linewidth=0.8, markersize=3)[0],
        axes.plot([], [], "--", color=BLUE, linewidth=1)[0],
        axes.bar([0], [0], color="#CFCFCF"),
    ]
    words = [f"{network}, trained", "INT8 table and its knots", "ReLU", "inputs that arrive"]
    figure.legend(handles, words, loc="outside upper center", ncols=4, edgecolor=GREY)


def _parts(place: str) -> tuple[int, str]:
    """Return the block and the kind of a place such as blocks_0_mlp_act_in."""
    _, block, _, kind = place.split("_", 3)
    return int(block), kind
