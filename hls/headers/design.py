"""Write design.hpp: the constants of one design, as members of `Design`.

A streaming design has its folding, FIFO depths and bindings there, a SIMD design its array.
"""

from hls.headers.text import constants_text
from hls.plan.design import Design
from hls.plan.sizes import products
from hls.plan.streaming.binding import storages

# The kinds of FIFO in design.hpp. A shortcut has its own depth; `link` stands for all other FIFOs.
FIFO_KINDS = ("token_mixer_shortcut", "mlp_shortcut", "link")

_STREAMING_HEADER = """\
/// Folding, FIFO depths and bindings of one design. Generated; do not edit.
#pragma once

#include "storage.hpp"

struct Design {{
{constants}
{storages}
{folds}
}};
"""

_FOLD = """\
  struct {name}_fold {{
{constants}
    static constexpr bool bound = {bound};
    static constexpr Storage weights = Storage::{weights};
    static constexpr Storage constants = Storage::{constants_storage};
  }};"""

_SIMD_HEADER = """\
/// Array of multipliers of one design. Generated; do not edit.
#pragma once

struct Design {{
{constants}
}};
"""


def design_text(design: Design) -> str:
    """Return the text of design.hpp of a design."""
    if design.folding is not None and design.fifo_depths is not None:
        return _streaming_text(design)
    assert design.array is not None
    rows, columns = design.array
    return _SIMD_HEADER.format(constants=constants_text({"rows": rows, "columns": columns}))


def _streaming_text(design: Design) -> str:
    """Return design.hpp of a streaming design; groups and parts are the sizes of its arrays."""
    folding, depths, binding = design.folding, design.fifo_depths, design.binding
    assert folding is not None and depths is not None
    kinds = storages(design.sizes, folding, depths, binding)
    constants = {
        "lanes": folding.lanes,
        "channel_words": design.sizes.embed_dim // folding.lanes,
        "handover": folding.handover,
        **{f"{name}_depth": depths[name] for name in FIFO_KINDS},
        "affine_dsp_lanes": binding.affine_dsp(folding.lanes),
    }
    folds = []
    for name, product in products(design.sizes).items():
        fold = folding.fold(name)
        members = {
            "pe": fold.pe,
            "simd": fold.simd,
            "groups": product.outputs // fold.pe,
            "parts": product.inputs // fold.simd,
            "dsp_inputs": binding.dsp_of(fold.simd),
        }
        folds.append(
            _FOLD.format(
                name=name,
                constants=constants_text(members, indent=4),
                bound=_bound(design),
                weights=kinds[f"{name}_weights"],
                constants_storage=kinds[f"{name}_constants"],
            )
        )
    shared = [name for name in kinds if not name.endswith(("_weights", "_constants"))]
    lines = [f"  static constexpr bool affine_bound = {_bound(design)};"]
    lines += [
        f"  static constexpr Storage {name}_storage = Storage::{kinds[name]};" for name in shared
    ]
    return _STREAMING_HEADER.format(
        constants=constants_text(constants), storages="\n".join(lines), folds="\n".join(folds)
    )


def _bound(design: Design) -> str:
    """Return whether multipliers are bound, as a C++ constant."""
    return str(design.binding.dsp_share is not None).lower()
