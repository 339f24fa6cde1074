"""Accuracy against hidden channels: ours with deviations over seeds, published ones as crosses."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from stages.results import published
from stages.results.overview import NetworkFigures, deviation, mean
from stages.results.pictures.style import BLACK, finish, look_of, new_figure

FORMS = (("float", "float", published.FLOAT), ("int8", "INT8", published.INT8))


def draw_accuracy(networks: Sequence[NetworkFigures], source: str) -> Figure:
    """Draw floats to the left and INT8 to the right; `source` names the data set."""
    figure = new_figure(3.8)
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (form, title, paper) in zip(panels, FORMS, strict=True):
        _panel(axes, networks, form, paper)
        axes.set_title(title)
        finish(axes, "hidden channels", "")
        widths = sorted({network.hidden_dim for network in networks})
        axes.set_xscale("log", base=2)
        axes.set_xticks(widths, [str(width) for width in widths])
        axes.minorticks_off()
    panels[0].set_ylabel(f"test accuracy on {source}, %")
    handles, words = panels[0].get_legend_handles_labels()
    order = sorted(range(len(words)), key=lambda i: words[i] in ("published", "another recipe"))
    panels[0].legend([handles[i] for i in order], [words[i] for i in order], loc="lower right")
    return figure


def _panel(
    axes: Axes, networks: Sequence[NetworkFigures], form: str, paper: dict[str, float]
) -> None:
    activations = list(dict.fromkeys(network.activation for network in networks))
    for activation in activations:
        look = look_of(activation, activations)
        own = [n for n in networks if n.activation == activation and n.of(form)]
        best = {n.hidden_dim: n for n in sorted(own, key=lambda n: -len(n.of(form)))[::-1]}
        line = [best[width] for width in sorted(best)]
        axes.errorbar(
            [n.hidden_dim for n in line],
            [mean(n.of(form)) for n in line],
            [deviation(n.of(form)) for n in line],
            color=look.colour,
            marker=look.marker,
            capsize=3,
            label=look.label,
        )
        for network in own:
            if network not in line:  # the same network by another recipe
                at = network.hidden_dim, mean(network.of(form))
                axes.plot(*at, look.marker, color=look.colour, markerfacecolor="white")
        theirs = {n.hidden_dim: paper[n.published] for n in own if n.published in paper}
        if theirs:
            axes.plot(*zip(*theirs.items(), strict=True), "x", color=look.colour, ms=8, mew=1.8)
    axes.plot([], [], "x", color=BLACK, markersize=8, label="published")
    axes.plot([], [], "o", color=BLACK, markerfacecolor="white", label="another recipe")
