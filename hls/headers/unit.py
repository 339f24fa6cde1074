"""Write tables that belong to no network as one C++ header: a unit for the user's own design."""

import re

from hls.headers.network import table_words
from hls.headers.text import array_text, constants_text
from models.integer.params import IntTable

COMMON = ("activation.hpp", "fixed_point.hpp", "storage.hpp")  # what the header includes

_UNIT = """\
/// {channels} functions of one int8 value as tables. Generated; do not edit.
///
/// An input v stands for v * in_scale, an output for v * out_scale. Channel c is lane c % lanes of
/// word c / lanes. `Unit` is a policy as in activation.hpp: a new value every cycle in each lane,
/// one read of one ROM each.
#pragma once

#include "activation.hpp"

namespace {name} {{

struct Sizes {{
{sizes}
}};

constexpr double in_scale = {in_scale!r};
constexpr double out_scale = {out_scale!r};

{words}
using Unit = Table<Storage::{storage}, Sizes::words, Sizes::lanes, words>;

}}  // namespace {name}
"""


def unit_text(
    name: str,
    table: IntTable,
    scales: tuple[float, float],
    lanes: int = 1,
    storage: str = "lut",
) -> str:
    """Return the header of tables: namespace `name` with `Unit::apply(word, lane, value)`.

    `scales` are those of input and output. There is a ROM per lane, built of `storage` (lut or
    bram), with the tables of channels / lanes channels. ValueError if `name` is no lower-case C++
    identifier, `lanes` does not divide the channels, or the storage is another.
    """
    channels = len(table.knots)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} is no name for the unit; use a-z, 0-9 and _, a letter first.")
    if lanes < 1 or channels % lanes or storage not in ("lut", "bram"):
        raise ValueError(
            f"lanes is {lanes} and storage {storage!r}, but lanes must divide the {channels} "
            "channels, and storage is lut or bram."
        )
    sizes = {"channels": channels, "lanes": lanes, "words": channels // lanes}
    words = table_words(table).reshape(channels // lanes, lanes, -1)
    return _UNIT.format(
        name=name,
        channels=channels,
        sizes=constants_text(sizes),
        in_scale=scales[0],
        out_scale=scales[1],
        words=array_text("words", words, "TableWord"),
        storage=storage,
    )
