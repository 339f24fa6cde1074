"""C++ headers from integer parameters and golden samples.

Each array keeps its published name (`blocks_0_mlp_linear_1_w[96][96]`) and is a plain int8_t or
uint8_t table: g++ needs hours for as many ap_int constants (hls-notes §2). The same network gives
the same text, byte for byte.
"""

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

import numpy as np

from hls.cpp_text import array_text, constants_text
from hls.folding import Fold, Folding
from models.errors import PipelineError
from models.int_params import IntLayer, IntResMlp, IntTable, Samples

GOLDEN_TAP_SAMPLES = 8  # samples whose sublayer outputs are compiled in: each costs g++ 7 MB

# The FIFOs that have a depth of their own in design.hpp, and `link`, all others.
FIFO_KINDS = ("token_mixer_shortcut", "mlp_shortcut", "link")

_KEYS = ("w", "b", "s")  # of an IntLayer

_CONFIG = """\
/// Sizes of one network. Generated from its int8 parameters; do not edit.
#pragma once

struct Config {{
{sizes}
}};
"""

_DESIGN = """\
/// Folding and FIFO depths of one design. Generated; do not edit.
#pragma once

struct Design {{
{constants}
}};
"""

_PARAMS = """\
/// Parameters of one network. Generated from its int8 parameters; do not edit.
#pragma once

#include "activation.hpp"

{arrays}
/// The parameters of block `index`.
template <int index>
struct Block;
{blocks}"""

_GOLDEN = """\
/// Golden samples of one network: inputs, logits and taps from numpy. Generated; do not edit.
#pragma once

#include <cstdint>

{arrays}
/// What a layer gives for the first `samples` inputs: samples x vectors x channels values.
struct GoldenTap {{
  const char* layer;
  int samples, vectors, channels;
  const int8_t* values;
}};

constexpr int num_samples = {count};
const GoldenTap golden_taps[] = {{
{taps}
}};
"""


def header_files(network: Path, design: Path, with_params: bool = True) -> list[Path]:
    """Return the headers in the folders of a network and of a design; PipelineError if one lacks.

    A network has config.hpp and params.hpp (sizes and parameters), a design has design.hpp. The
    SIMD accelerator does without params.hpp.
    """
    stages = {
        network / "config.hpp": "generate_headers",
        **({network / "params.hpp": "generate_headers"} if with_params else {}),
        design / "design.hpp": "plan",
    }
    for file, stage in stages.items():
        if not file.is_file():
            raise PipelineError(f"{file} is missing; run `dvc repro {stage}` to make it.")
    return list(stages)


def config_text(network: IntResMlp) -> str:
    """Return config.hpp: the sizes of the network as constexpr members of `Config`."""
    sizes = {
        "patch_dim": network.patch_dim,
        "num_patches": network.num_patches,
        "embed_dim": network.embed_dim,
        "hidden_dim": network.hidden_dim,
        "num_blocks": network.num_blocks,
        "num_classes": network.num_classes,
    }
    has_tables = f"\n  static constexpr bool has_tables = {str(network.has_tables).lower()};"
    return _CONFIG.format(sizes=constants_text(sizes) + has_tables)


def design_text(folding: Folding, depths: Mapping[str, int]) -> str:
    """Return design.hpp: folding and FIFO depths as constexpr members of `Design`.

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


def params_text(network: IntResMlp) -> str:
    """Return params.hpp: an array per published name, and `Block<i>` that gathers block i's."""
    arrays = [
        _segments(name, leaf)
        if isinstance(leaf, IntTable)
        else "\n".join(
            array_text(f"{name}_{key}", getattr(leaf, key), "uint8_t" if key == "s" else "int8_t")
            for key in _KEYS
        )
        for name, leaf in network.leaves()
    ]
    blocks = [_block(network, index) for index in range(len(network.blocks))]
    return _PARAMS.format(arrays="\n".join(arrays), blocks="\n".join(blocks))


def golden_text(samples: Samples) -> str:
    """Return golden.hpp: the inputs and logits of all samples, and the taps of the first ones.

    The outputs of the embedding and of the sublayers come for GOLDEN_TAP_SAMPLES samples, every
    other layer's for the first sample.
    """
    arrays = [
        array_text("samples_input", samples.input, "int8_t"),
        array_text("samples_output", samples.output, "int8_t"),
    ]
    taps = []
    for layer, values in samples.layers.items():
        tap_name = _tap_name(layer)
        if tap_name is None:
            continue
        count = min(GOLDEN_TAP_SAMPLES if _is_sublayer(layer) else 1, len(values))
        tap = values[:count].reshape(count, -1, values.shape[-1])
        arrays.append(array_text(f"samples_{layer}", tap, "int8_t"))
        sizes = ", ".join(str(size) for size in tap.shape)
        taps.append(f'    {{"{tap_name}", {sizes}, &samples_{layer}[0][0][0]}},')
    return _GOLDEN.format(arrays="\n".join(arrays), count=len(samples.input), taps="\n".join(taps))


def _is_sublayer(layer: str) -> bool:
    return layer == "embed_linear" or layer.endswith(("_token_mixer", "_mlp"))


def _tap_name(layer: str) -> str | None:
    """Return the name of the stream in resmlp.hpp that holds a layer's output.

    A matrix product and its activation are one process, as are the rescaled shortcut and the
    addition: what passes between the two is in no stream, and the layer has no tap (None).
    """
    if layer.endswith(("_mlp_linear_1", "_res_affine")):
        return None
    for suffix, stream in (
        ("_psa_1", "_act_in"),
        ("_psa_2", "_act_hidden"),
        ("_relu", "_act_hidden"),
    ):
        if layer.endswith(suffix):
            return layer.removesuffix(suffix) + stream
    return layer


def _block(network: IntResMlp, index: int) -> str:
    prefix = f"blocks_{index}_"
    references = [
        f"  static constexpr const auto& {name.removeprefix(prefix)}_{key} = {name}_{key};"
        for name, leaf in network.leaves()
        if name.startswith(prefix) and isinstance(leaf, IntLayer)
        for key in _KEYS
    ]
    lines = [
        "template <>",
        f"struct Block<{index}> {{",
        f"  static constexpr int index = {index};",
        *references,
        *_activations(network, f"{prefix}mlp"),
        "};",
    ]
    return "\n".join(lines) + "\n"


def _activations(network: IntResMlp, prefix: str) -> tuple[str, str]:
    if not network.has_tables:
        return "  using ActIn = Identity;", "  using ActHidden = Relu;"
    return (
        f"  using ActIn = Table<{network.embed_dim}, {prefix}_psa_1_segments>;",
        f"  using ActHidden = Table<{network.hidden_dim}, {prefix}_psa_2_segments>;",
    )


def _segments(name: str, table: IntTable) -> str:
    """Write one table: rows of {knot, slope to the next knot}."""
    pairs = np.stack([table.knots[:, :-1], np.diff(table.knots)], axis=-1)
    return array_text(f"{name}_segments", pairs, "Segment", dimensions=2)
