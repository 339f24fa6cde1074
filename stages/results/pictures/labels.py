"""Place the names of points beside them so that no name covers another name or a point."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.transforms import Bbox

_WIDTH, _HEIGHT = 0.6, 1.3  # of a letter and a line, in font sizes
_PLACES = (  # (x, y) in font sizes from the point, and the side that the text begins at
    *((0.8, 0.0, "left"), (-0.8, 0.0, "right"), (0.0, 1.1, "center"), (0.0, -1.1, "center")),
    *((0.8, 0.9, "left"), (0.8, -0.9, "left"), (-0.8, 0.9, "right"), (-0.8, -0.9, "right")),
    *((0.8, 1.8, "left"), (0.8, -1.8, "left"), (-0.8, 1.8, "right"), (-0.8, -1.8, "right")),
    *((0.8, 2.7, "left"), (0.8, -2.7, "left"), (-0.8, 2.7, "right"), (-0.8, -2.7, "right")),
    *((0.0, 2.2, "center"), (0.0, -2.2, "center"), (0.0, 3.4, "center"), (0.0, -3.4, "center")),
)

Point = tuple[float, float]


def name_points(
    axes: Axes, points: Sequence[Point], names: Sequence[str], size: float = 8.0
) -> None:
    """Write the names beside the points, given in data coordinates; the limits must be set.

    A name goes to the first place where it covers nothing, and otherwise where it covers least.
    """
    figure = axes.figure
    figure.draw_without_rendering()  # the layout, so that points have their final places
    pixel = size * figure.get_dpi() / 72
    at = axes.transData.transform(points)
    taken = [_box(x, y, pixel, pixel) for x, y in at]
    inside = axes.get_window_extent()
    for (x, y), name, data in zip(at, names, points, strict=True):
        best, least = _PLACES[0], float("inf")
        for place in _PLACES:
            box = _text_box(x, y, place, name, pixel)
            cost = sum(_overlap(box, other) for other in taken) + 4 * _outside(box, inside)
            if cost < least:
                best, least = place, cost
        taken.append(_text_box(x, y, best, name, pixel))
        axes.annotate(
            name,
            data,
            (best[0] * size, best[1] * size),
            textcoords="offset points",
            ha=best[2],
            va="center",
            fontsize=size,
            arrowprops={"arrowstyle": "-", "color": "#909090", "linewidth": 0.6, "shrinkB": 3},
        )


def _box(x: float, y: float, width: float, height: float) -> Bbox:
    return Bbox.from_bounds(x - width / 2, y - height / 2, width, height)


def _text_box(x: float, y: float, place: tuple[float, float, str], text: str, size: float) -> Bbox:
    width, height = _WIDTH * size * len(text), _HEIGHT * size
    shift = {"left": width / 2, "right": -width / 2, "center": 0.0}[place[2]]
    return _box(x + place[0] * size + shift, y + place[1] * size, width, height)


def _overlap(one: Bbox, other: Bbox) -> float:
    both = Bbox.intersection(one, other)
    return 0.0 if both is None else both.width * both.height


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _overlap(box, frame)
