"""Write the integer parameters of a network as C++ headers: config.hpp and params.hpp.

Each array keeps its published name (`blocks_0_mlp_linear_1_w`) and the order of its values: a
matrix row by row, a vector channel by channel. The dimensions are constants of design.hpp, so the
same params.hpp serves every folding:

    w of a product   [groups][pe][parts][simd], which is the order of [outputs][inputs]
    b, s             [groups][pe]
    affines          [channel_words][lanes]
    tables           [words][lanes or pe][64] words: knot in the low 8 bits, slope above (9 bits)

Elements are int8_t, uint8_t or TableWord, because g++ would need hours for that many ap_int
constants. The same network gives the same text, byte for byte.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from hls.headers.text import constants_text, flat_array_text
from models.files.errors import PipelineError
from models.integer.params import Array, IntLayer, IntResMlp, IntTable, published_name

_KEYS = ("w", "b", "s")  # of an IntLayer
_TABLE_SIZES = {  # words of channels and channels per word, at the place where a table is read
    "psa_1": ("Design::channel_words", "Design::lanes"),
    "psa_2": ("Design::mlp_linear_1_fold::groups", "Design::mlp_linear_1_fold::pe"),
}

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
#include "design.hpp"

{arrays}
/// The parameters of block `index`.
template <int index>
struct Block;
{blocks}"""


def header_files(network: Path, design: Path, with_params: bool = True) -> list[Path]:
    """Return the generated headers of a network and a design; PipelineError if one is missing.

    `network` and `design` are folders. A network has config.hpp (sizes) and params.hpp
    (parameters), a design has design.hpp. The SIMD accelerator needs no params.hpp
    (`with_params=False`).
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
    """Return the text of config.hpp: the sizes of the network as constexpr members of `Config`."""
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
    """Return the text of params.hpp: an array per published name, a struct `Block<i>` per block.

    `Block<i>` refers to the arrays of block i and names its activations.
    """
    arrays = [
        _table(name, leaf) if isinstance(leaf, IntTable) else _layer(name, leaf)
        for name, leaf in _published_leaves(network)
    ]
    blocks = [_block(network, index) for index in range(len(network.blocks))]
    return _PARAMS.format(arrays="\n".join(arrays), blocks="\n".join(blocks))


def table_words(table: IntTable) -> Array:
    """Return a word of 17 bits for each of 64 segments of a channel: [F, 64] int32.

    The knot is in the low 8 bits, the slope above.
    """
    knots = table.knots.astype(np.int32)
    words: Array = (np.diff(knots) & 0x1FF) << 8 | (knots[:, :-1] & 0xFF)
    return words


def _published_leaves(network: IntResMlp) -> Iterator[tuple[str, IntLayer | IntTable]]:
    for name, leaf in network.leaves():
        yield published_name(name), leaf


def _layer(name: str, layer: IntLayer) -> str:
    if layer.w.ndim == 2:
        fold = f"Design::{re.sub('^blocks_[0-9]+_', '', name)}_fold"
        sizes = [f"{fold}::{factor}" for factor in ("groups", "pe", "parts", "simd")]
    else:
        sizes = ["Design::channel_words", "Design::lanes"]
    return "\n".join(
        flat_array_text(
            f"{name}_{key}",
            getattr(layer, key),
            "uint8_t" if key == "s" else "int8_t",
            sizes if key == "w" else sizes[:2],
        )
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
    act_in, act_hidden = (
        ", ".join((f"Design::{position}_storage", *_TABLE_SIZES[table], f"{prefix}_{table}_words"))
        for position, table in (("act_in", "psa_1"), ("act_hidden", "psa_2"))
    )
    return f"  using ActIn = Table<{act_in}>;", f"  using ActHidden = Table<{act_hidden}>;"


def _table(name: str, table: IntTable) -> str:
    """Return the array of a table, 64 words per channel."""
    sizes = (*_TABLE_SIZES[name[-len("psa_1") :]], "table_segments")
    return flat_array_text(f"{name}_words", table_words(table), "TableWord", sizes)
