"""Training curves as small multiples: one panel per activation, one shade per hidden width."""

from collections.abc import Mapping, Sequence

import matplotlib
from matplotlib.figure import Figure

from stages.results.history import Point
from stages.results.overview import NetworkFigures
from stages.results.pictures.style import BLACK, GREY, finish, look_of, new_figure

_DASHES = ("-", "--", ":", "-.")


def draw_training(
    networks: Sequence[NetworkFigures], curves: Mapping[str, Sequence[Point]]
) -> Figure:
    """Draw validation accuracy against epochs of every network in `curves`.

    Networks that are no students (the teacher and its teacher) have the first panel.
    """
    activations = list(dict.fromkeys(network.activation for network in networks))
    students = {network.name for network in networks}
    figure = new_figure(2.6 * (1 + len(activations) // 2))
    panels = figure.subplots(-(-(1 + len(activations)) // 2), 2, sharey=True, squeeze=False).flat
    first = next(panels)
    first.set_title("teachers")
    for name, colour in zip((n for n in curves if n not in students), (BLACK, GREY), strict=False):
        if curves[name]:
            first.plot(*zip(*curves[name], strict=True), color=colour, label=name)
    for activation, axes in zip(activations, panels, strict=False):
        look = look_of(activation, activations)
        axes.set_title(look.label)
        own = [n for n in networks if n.activation == activation and curves.get(n.name)]
        own.sort(key=lambda n: -n.hidden_dim)
        widths = sorted({n.hidden_dim for n in own}, reverse=True)
        for network in own:
            rank = widths.index(network.hidden_dim)
            again = sum(n.hidden_dim == network.hidden_dim for n in own[: own.index(network)])
            axes.plot(
                *zip(*curves[network.name], strict=True),
                color=_shade(look.colour, rank / max(len(widths), 1)),
                linestyle=_DASHES[again % len(_DASHES)],
                linewidth=1.4,
                label=network.name,
            )
    for axes in figure.axes:
        finish(axes, "epoch", "")
        if axes.lines:
            axes.legend(loc="lower right", fontsize=8)
        else:
            axes.text(0.5, 0.5, "no curve", ha="center", transform=axes.transAxes)
    for axes in figure.axes[::2]:
        axes.set_ylabel("validation accuracy, %")
    for axes in figure.axes[1 + len(activations) :]:
        axes.set_visible(False)
    return figure


def _shade(colour: str, paleness: float) -> tuple[float, float, float]:
    """Return a colour mixed with white; paleness 0 leaves it."""
    red, green, blue = matplotlib.colors.to_rgb(colour)
    mix = 0.75 * paleness
    return red + (1 - red) * mix, green + (1 - green) * mix, blue + (1 - blue) * mix
