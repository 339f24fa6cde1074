"""What all pictures share: one colour and marker per activation, the size, and how they are saved.

The colours are Okabe and Ito's, which colour-blind readers tell apart; shapes differ, too. A
picture has the same bytes in every run with the same version of matplotlib.
"""

from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from models.files.atomic import replace_on_success

WIDTH = 9.0  # inches; 900 pixels, the width of a README
DPI = 100
BLUE, ORANGE, VERMILION, GREEN = "#0072B2", "#E69F00", "#D55E00", "#009E73"
PINK, SKY, GREY, BLACK = "#CC79A7", "#56B4E9", "#767676", "#000000"
_STYLE = {
    "font.size": 10.0,
    "axes.titlesize": 10.0,
    "axes.axisbelow": True,
    "legend.fontsize": 9.0,
}


@dataclass(frozen=True)
class Look:
    """The label, the colour and the marker of an activation."""

    label: str
    colour: str
    marker: str


_KNOWN = {
    "relu": Look("ReLU", BLUE, "o"),
    "bspline": Look("B-spline", ORANGE, "s"),
    "lerp_psa": Look("LERP-PSA", VERMILION, "^"),
}
_OTHERS = ((GREEN, "D"), (PINK, "v"), (SKY, "P"), (GREY, "X"))


def look_of(activation: str, activations: list[str]) -> Look:
    """Return the look of an activation; those of a user's own depend on their order.

    `activations` are all names that occur.
    """
    if activation in _KNOWN:
        return _KNOWN[activation]
    place = [name for name in activations if name not in _KNOWN].index(activation)
    colour, marker = _OTHERS[place % len(_OTHERS)]
    return Look(activation, colour, marker)


def new_figure(height: float, width: float = WIDTH) -> Figure:
    """Return an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def finish(axes: Axes, x: str, y: str) -> None:
    """Name both axes, with their units, and draw a faint grid."""
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3, linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)


def png(draw: Callable[[], Figure]) -> bytes:
    """Draw a figure; return it as PNG, without a date and without matplotlib's version.

    Nothing that a person has set for matplotlib changes it.
    """
    stream = BytesIO()
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        draw().savefig(stream, format="png", dpi=DPI, metadata={"Software": None})
    return stream.getvalue()


def save(content: bytes, path: Path) -> None:
    """Write a picture, whole or not at all."""
    with replace_on_success(path) as temporary:
        temporary.write_bytes(content)
