"""What INT8 costs: per network, the INT8 accuracy less the float accuracy, in points."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from stages.results.overview import NetworkFigures, deviation, mean
from stages.results.pictures.style import BLACK, finish, look_of, new_figure


def draw_int8_cost(networks: Sequence[NetworkFigures]) -> Figure:
    """Draw one bar per network that has both figures; a line is the deviation over seeds.

    Seeds are compared one by one.
    """
    measured = [n for n in networks if n.int8 and len(n.int8) == len(n.float)]
    activations = list(dict.fromkeys(network.activation for network in networks))
    figure = new_figure(0.9 + 0.28 * max(len(measured), 1))
    axes = figure.subplots()
    for place, network in enumerate(measured):
        look = look_of(network.activation, activations)
        costs = tuple(i - f for f, i in zip(network.float, network.int8, strict=True))
        axes.barh(
            place,
            mean(costs),
            xerr=deviation(costs) or None,
            color=look.colour,
            capsize=3,
            height=0.7,
        )
        side = max(mean(costs) + deviation(costs), 0.0)
        axes.text(side + 0.01, place, f"{mean(costs):+.2f}", va="center", fontsize=8)
    axes.axvline(0, color=BLACK, linewidth=0.8)
    axes.set_yticks(range(len(measured)), [network.name for network in measured])
    axes.invert_yaxis()
    finish(axes, "INT8 less float, points of test accuracy", "")
    axes.margins(x=0.12)
    axes.grid(visible=False, axis="y")
    return figure
