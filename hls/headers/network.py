"""C++ headers from integer parameters and golden samples.

Each array keeps its published name (`blocks_0_mlp_linear_1_w[96][96]`) and is a plain int8_t or
uint8_t table: g++ needs hours for as many ap_int constants. The same network gives the same text,
byte for byte.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hls.headers.text import array_text, constants_text
from models.files.errors import PipelineError
from models.integer.params import IntLayer, IntResMlp, IntTable, published_name

_KEYS = ("w", "b", "s")  # of an IntLayer

_CONFIG = """\
/// Sizes of one network. Generated from its int8 parameters; do not edit.
#pragma once

struct Config {{
{sizes}
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


def header_files(network: Path, design: Path, with_params: bool = True) -> list[Path]:
    """Return the headers in the folders of a network and of a design; PipelineError if one lacks.

    A network has config.hpp and params.hpp (sizes and parameters), a design has design.hpp. The
    SIMD accelerator does without params.hpp.
    """
    files = [network / "config.hpp", network / "params.hpp", design / "design.hpp"]
    if not with_params:
        files.remove(network / "params.hpp")
    for file in files:
        if not file.is_file():
            stage = "generate_headers" if file.parent == network else "plan"
            raise PipelineError(f"{file} is missing; run `dvc repro {stage}` to make it.")
    return files


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


def params_text(network: IntResMlp) -> str:
    """Return params.hpp: an array per published name, and `Block<i>` that gathers block i's."""
    arrays = [
        _segments(name, leaf) if isinstance(leaf, IntTable) else _layer(name, leaf)
        for name, leaf in _published_leaves(network)
    ]
    blocks = [_block(network, index) for index in range(len(network.blocks))]
    return _PARAMS.format(arrays="\n".join(arrays), blocks="\n".join(blocks))


def _published_leaves(network: IntResMlp) -> Iterator[tuple[str, IntLayer | IntTable]]:
    for name, leaf in network.leaves():
        yield published_name(name), leaf


def _layer(name: str, layer: IntLayer) -> str:
    return "\n".join(
        array_text(f"{name}_{key}", getattr(layer, key), "uint8_t" if key == "s" else "int8_t")
        for key in _KEYS
    )


def _block(network: IntResMlp, index: int) -> str:
    prefix = f"blocks_{index}_"
    references = [
        f"  static constexpr const auto& {name.removeprefix(prefix)}_{key} = {name}_{key};"
        for name, leaf in _published_leaves(network)
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
