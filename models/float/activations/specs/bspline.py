"""Options of the linear B-spline: knots per channel, their range, weight of the TV2 regulariser."""

from ..spec import (
    LARGEST_COUNT,
    NOT_NEGATIVE,
    POSITIVE,
    ActivationSpec,
    Option,
)

_ODD = Option(
    int,
    f"an odd whole number >= 3 and <= {LARGEST_COUNT} (zero is a knot)",
    lambda value: 3 <= value <= LARGEST_COUNT and value % 2 == 1,
)
SPEC = ActivationSpec(
    "BSpline", {"grid_size": _ODD, "grid_range": POSITIVE, "tv2": NOT_NEGATIVE}, tabulated=True
)
