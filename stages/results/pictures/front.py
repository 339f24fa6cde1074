"""Accuracy against what a network costs, ours and published systems' with their sources.

Three costs: parameters, images per second (ours: model), and LUTs plus DSPs (ours: estimate).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

from stages.results.overview import DesignFigures, NetworkFigures, mean
from stages.results.pictures.labels import name_points
from stages.results.pictures.style import BLACK, GREY, finish, look_of, new_figure
from stages.results.systems import SYSTEMS


@dataclass(frozen=True)
class Entry:
    """A point of a front: its name, cost and accuracy, and its activation (None: published)."""

    name: str
    cost: float
    accuracy: float
    activation: str | None = None


def parameter_entries(networks: Sequence[NetworkFigures], compared: bool) -> list[Entry]:
    """Return our networks in INT8, and if `compared` published ones, by number of parameters."""
    ours = [
        Entry(n.name, n.parameters, mean(n.int8), n.activation)
        for n in networks
        if n.parameters and n.int8
    ]
    return ours + [
        Entry(_name(s.name, s.note), s.parameters, s.accuracy)
        for s in SYSTEMS
        if compared and s.parameters
    ]


def rate_entries(designs: Sequence[DesignFigures], compared: bool) -> list[Entry]:
    """Return our designs, and if `compared` published systems, by images per second."""
    ours = [
        Entry(d.name, d.rate, d.accuracy, d.activation) for d in designs if d.rate and d.accuracy
    ]
    return ours + [
        Entry(_name(s.name, s.note), s.rate, s.accuracy) for s in SYSTEMS if compared and s.rate
    ]


def resource_entries(designs: Sequence[DesignFigures], compared: bool) -> list[Entry]:
    """Return our designs, and if `compared` published systems, by LUTs plus DSPs."""
    ours = [
        Entry(d.name, d.lut + d.dsp, d.accuracy, d.activation)
        for d in designs
        if d.lut is not None and d.dsp is not None and d.accuracy
    ]
    return ours + [
        Entry(_name(s.name, s.note), s.lut_dsp, s.accuracy)
        for s in SYSTEMS
        if compared and s.lut_dsp
    ]


def draw_front(entries: Sequence[Entry], cost: str, source: str, high: bool) -> Figure:
    """Draw accuracy against a cost, whose axis `cost` names, on a logarithmic axis.

    `source` names the data set. The grey line is the front: no point is better in both. `high` says
    that more of the cost is better, as of a rate.
    """
    figure = new_figure(6.0)
    axes = figure.subplots()
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    activations = list(dict.fromkeys(e.activation for e in entries if e.activation))
    for entry in entries:
        if entry.activation is None:
            axes.plot(entry.cost, entry.accuracy, "x", color=BLACK, markersize=7, mew=1.6)
        else:
            look = look_of(entry.activation, activations)
            axes.plot(entry.cost, entry.accuracy, look.marker, color=look.colour)
    for activation in activations:
        look = look_of(activation, activations)
        axes.plot([], [], look.marker, color=look.colour, label=f"{look.label}, ours, INT8")
    if any(entry.activation is None for entry in entries):
        axes.plot([], [], "x", color=BLACK, label="published")
    front = sorted(entries_on_front(entries, high), key=lambda e: e.cost)
    axes.plot(
        [e.cost for e in front],
        [e.accuracy for e in front],
        color=GREY,
        linewidth=1,
        linestyle=":",
        zorder=0,
        label="no system here is better in both",
    )
    finish(axes, cost, f"test accuracy on {source}, %")
    axes.margins(x=0.17, y=0.1)
    figure.legend(loc="outside upper center", ncols=min(len(activations) + 2, 4))
    _names(axes, entries)
    return figure


def entries_on_front(entries: Sequence[Entry], high: bool) -> list[Entry]:
    """Return the entries that no other beats in accuracy without a higher price."""

    def price(entry: Entry) -> float:
        return -entry.cost if high else entry.cost

    return [
        entry
        for entry in entries
        if not any(
            (other.accuracy > entry.accuracy and price(other) <= price(entry))
            or (other.accuracy >= entry.accuracy and price(other) < price(entry))
            for other in entries
        )
    ]


def _names(axes: Axes, entries: Sequence[Entry]) -> None:
    points = [(entry.cost, entry.accuracy) for entry in entries]
    name_points(axes, points, [entry.name for entry in entries])


def _name(name: str, note: str) -> str:
    return f"{name} ({note})" if note and "paper" not in name else name
