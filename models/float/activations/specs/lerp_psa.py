"""Options of LERP-PSA: knots per channel, their range, terms of the self-attention, epsilon."""

from ..spec import POSITIVE, ActivationSpec, at_least

SPEC = ActivationSpec(
    "LerpPsa",
    {
        "grid_size": at_least(2),
        "grid_range": POSITIVE,
        "expansion": at_least(1),
        "epsilon": POSITIVE,
    },
    tabulated=True,
)
