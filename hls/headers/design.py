"""Write design.hpp: folding and FIFO depths, or the multiplier array, as constants of `Design`."""

from collections.abc import Mapping
from dataclasses import fields

from hls.headers.text import constants_text
from hls.plan.design import Design
from hls.plan.streaming.folding import Fold, Folding

# The kinds of FIFO in design.hpp. A shortcut has its own depth; `link` stands for all other FIFOs.
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
    """Return the text of design.hpp: folding and FIFO depths, or rows and columns, in `Design`."""
    if design.folding is not None and design.fifo_depths is not None:
        return streaming_design_text(design.folding, design.fifo_depths)
    assert design.array is not None
    rows, columns = design.array
    return _SIMD_HEADER.format(constants=constants_text({"rows": rows, "columns": columns}))


def streaming_design_text(folding: Folding, depths: Mapping[str, int]) -> str:
    """Return the text of design.hpp for a streaming design: folding and FIFO depths.

    `depths` maps each of FIFO_KINDS to a depth in words.
    """
    constants = {"lanes": folding.lanes, "handover": folding.handover}
    for field in fields(folding):
        fold = getattr(folding, field.name)
        if isinstance(fold, Fold):
            constants |= {f"{field.name}_pe": fold.pe, f"{field.name}_simd": fold.simd}
    constants |= {f"{name}_depth": depths[name] for name in FIFO_KINDS}
    return _DESIGN.format(constants=constants_text(constants))
