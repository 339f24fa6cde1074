"""design.hpp: folding and FIFO depths, or the array of multipliers, as constants of `Design`."""

from collections.abc import Mapping
from dataclasses import fields

from hls.headers.text import constants_text
from hls.plan.design import Design
from hls.plan.streaming.folding import Fold, Folding

# The FIFOs that have a depth of their own in design.hpp, and `link`, all others.
FIFO_KINDS = ("token_mixer_shortcut", "mlp_shortcut", "link")

_DESIGN = """\
/// Folding and FIFO depths of one design. Generated; do not edit.
#pragma once

struct Design {{
{constants}
}};
"""

_SIMD_HEADER = """\
/// Array of multipliers of one design. Generated; do not edit.
#pragma once

struct Design {{
{constants}
}};
"""


def design_text(design: Design) -> str:
    """Return design.hpp: folding and FIFO depths, or rows and columns, in `Design`."""
    if design.folding is not None and design.fifo_depths is not None:
        return streaming_design_text(design.folding, design.fifo_depths)
    assert design.array is not None
    rows, columns = design.array
    return _SIMD_HEADER.format(constants=constants_text({"rows": rows, "columns": columns}))


def streaming_design_text(folding: Folding, depths: Mapping[str, int]) -> str:
    """Return design.hpp: folding and FIFO depths.

    `depths` gives the words of `token_mixer_shortcut`, `mlp_shortcut` and of every other FIFO
    (`link`).
    """
    constants = {"lanes": folding.lanes, "handover": folding.handover}
    for field in fields(folding):
        fold = getattr(folding, field.name)
        if isinstance(fold, Fold):
            constants |= {f"{field.name}_pe": fold.pe, f"{field.name}_simd": fold.simd}
    constants |= {f"{name}_depth": depths[name] for name in FIFO_KINDS}
    return _DESIGN.format(constants=constants_text(constants))
