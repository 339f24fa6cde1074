"""Build an integer network and its golden samples from the arrays of C++ headers.

The headers are published ones or ours. An array is named after the published name of a layer
(`blocks_0_mlp_res_affine`) with the suffix `_w`, `_b` or `_s`. A table has one of these suffixes:

    _lerp_lut   published, 64 points; the last point is repeated as the 65th knot
    _lut        256 entries, one per int8 value
    _words      ours, 64 words of a knot (8 bits) and the difference to the next knot (9 bits above)
    _segments   our earlier headers, 64 pairs of a knot and the difference to the next knot
    _knots      our first headers, 65 knots

The sizes of our arrays are constants of a design, so they are read as one row of values
(`HeaderArray.flat`); the number of biases says how many rows a matrix has.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hls.headers.parser import HeaderArray, find_word, header_files_of
from models.files.errors import PipelineError
from models.integer.fixed_point import INT8_MAX, INT8_MIN, MAX_SHIFT, TABLE_BITS, TABLE_KNOTS
from models.integer.params import (
    Array,
    IntBlock,
    IntChannelMlp,
    IntLayer,
    IntResMlp,
    IntTable,
    IntTokenMixer,
)

# Suffixes of tables and their points per channel. If a table has several arrays, the first is used.
_TABLES = {
    "words": TABLE_KNOTS,
    "segments": TABLE_KNOTS,
    "knots": TABLE_KNOTS,
    "lerp_lut": TABLE_KNOTS - 1,
    "lut": 256,
}
_SLOPE_MAX = INT8_MAX - INT8_MIN
_SEGMENTS = TABLE_KNOTS - 1


@dataclass(frozen=True)
class HeaderSamples:
    """Samples of a header: input [n, T, P], inter [n, T, C] (often empty), output [n, classes].

    n samples, T tokens, P values per patch, C channels; all int8 values held as int32.
    """

    input: Array
    inter: tuple[Array, ...]
    output: Array


def read_network(arrays: Mapping[str, HeaderArray], folder: Path) -> IntResMlp:
    """Build a network from the arrays of a folder; its `input_lut` is None.

    Arrays whose names do not belong to a network are skipped. PipelineError names the array that is
    missing or does not fit.
    """
    reader = _Reader(arrays, folder)
    indices = {int(m[1]) for name in arrays if (m := re.match(r"blocks_([0-9]{1,4})_", name))}
    embed, classifier = reader.layer("embed_linear", 2), reader.layer("classifier_linear", 2)
    blocks = tuple(reader.block(f"blocks_{index}") for index in range(max(indices, default=0) + 1))
    for name, array in arrays.items():
        if re.match("(embed_linear|blocks|classifier_linear)_", name) and name not in reader.used:
            array.refuse("is not an array of a network")
    try:
        return IntResMlp(embed, blocks, classifier)
    except ValueError as error:  # the message starts with the name of the array
        name, _, reason = str(error).partition(" ")
        for known in (name, *(f"{name.removesuffix('knots')}{table}" for table in _TABLES)):
            if known in arrays:
                arrays[known].refuse(reason)
        raise PipelineError(f"{folder}: {error}.") from error


def read_samples(
    arrays: Mapping[str, HeaderArray], network: IntResMlp, folder: Path
) -> HeaderSamples | None:
    """Return the samples among the arrays, None if there are none.

    PipelineError names an array that is missing or does not fit the network.
    """
    if not any(name in arrays for name in ("samples_input", "samples_output")):
        return None
    reader = _Reader(arrays, folder)
    tokens, channels = network.num_patches, network.embed_dim
    inputs = reader.samples("samples_input", (None, tokens, network.patch_dim))
    inter = sorted(name for name in arrays if re.fullmatch("samples_inter_[0-9]", name))
    if len(inter) > len(network.blocks) + 1:
        arrays[inter[-1]].refuse(f"is one too many for {len(network.blocks)} blocks")
    return HeaderSamples(
        inputs,
        tuple(
            reader.samples(f"samples_inter_{index}", (len(inputs), tokens, channels))
            for index in range(len(inter))
        ),
        reader.samples("samples_output", (len(inputs), network.num_classes)),
    )


class _Reader:
    """Looks up arrays by name, checks them and records the names in `used`."""

    def __init__(self, arrays: Mapping[str, HeaderArray], folder: Path) -> None:
        self._arrays, self._folder = arrays, folder
        self.used: set[str] = set()

    def block(self, name: str) -> IntBlock:
        mixer, mlp = f"{name}_token_mixer", f"{name}_mlp"
        return IntBlock(
            IntTokenMixer(
                affine_1=self.layer(f"{mixer}_affine_1", 1),
                linear=self.layer(f"{mixer}_linear", 2),
                affine_2=self.layer(f"{mixer}_affine_2", 1),
                residual=self.layer(f"{mixer}_res_affine", 1),
            ),
            IntChannelMlp(
                linear_1=self.layer(f"{mlp}_linear_1", 2),
                linear_2=self.layer(f"{mlp}_linear_2", 2),
                residual=self.layer(f"{mlp}_res_affine", 1),
                act_in=self._table(f"{mlp}_psa_1"),
                act_hidden=self._table(f"{mlp}_psa_2"),
            ),
        )

    def layer(self, name: str, dimensions: int) -> IntLayer:
        """Return a linear layer (w has 2 dimensions) or an affine (1 dimension)."""
        shifts = self._array(f"{name}_s", 1, 1, MAX_SHIFT)
        rows = len(shifts) if dimensions == 2 else None
        try:
            w = self._int8(f"{name}_w", dimensions, rows)
            return IntLayer(w, self._int8(f"{name}_b", 1), shifts)
        except ValueError as error:
            self._arrays[f"{name}_w"].refuse(f"does not fit: {error}")

    def samples(self, name: str, shape: tuple[int | None, ...]) -> Array:
        """Return an array of samples; None in `shape` means any size."""
        values = self._int8(name, len(shape))
        wanted = tuple(
            found if size is None else size for found, size in zip(values.shape, shape, strict=True)
        )
        if values.shape != wanted:
            self._arrays[name].refuse(f"has the sizes {values.shape}, but must have {wanted}")
        return values

    def _table(self, name: str) -> IntTable | None:
        found = [key for key in _TABLES if f"{name}_{key}" in self._arrays]
        self.used |= {f"{name}_{key}" for key in found}
        if not found:
            return None
        points = self._points(f"{name}_{found[0]}", found[0])
        if points.shape[1] != _TABLES[found[0]]:
            self._arrays[f"{name}_{found[0]}"].refuse(
                f"has {points.shape[1]} points a channel, but must have {_TABLES[found[0]]}"
            )
        if points.shape[1] == TABLE_KNOTS:
            return IntTable(points)
        return IntTable.from_points(points[:, :: 1 << TABLE_BITS] if found[0] == "lut" else points)

    def _points(self, name: str, form: str) -> Array:
        """Return the points of a table [F, n], stored in one of the forms of _TABLES."""
        if form == "words":
            return self._knots(name, self._words(name))
        if form == "segments":
            return self._knots(name, self._array(name, 3, -_SLOPE_MAX, _SLOPE_MAX))
        return self._int8(name, 2)

    def _words(self, name: str) -> Array:
        """Return the segments [F, 64, 2] of a table of words: knot, difference to the next knot."""
        count = self._size(name)
        if count % _SEGMENTS:
            self._arrays[name].refuse(f"has {count} words, but must have {_SEGMENTS} a channel")
        words = self._array(name, 2, 0, 2**17 - 1, count // _SEGMENTS)
        knots, slopes = words & 0xFF, words >> 8
        signed = (knots ^ 0x80) - 0x80, (slopes ^ 0x100) - 0x100
        return np.stack(signed, axis=-1)

    def _knots(self, name: str, segments: Array) -> Array:
        """Return the knots [F, n + 1] of segments [F, n, 2]; refuse slopes that lead elsewhere."""
        ends = segments.sum(axis=-1)
        knots = np.concatenate([segments[:, :, 0], ends[:, -1:]], axis=1)
        if np.any(knots[:, 1:] != ends):
            self._arrays[name].refuse("has a slope that does not lead to the next knot")
        if knots.min() < INT8_MIN or knots.max() > INT8_MAX:
            self._arrays[name].refuse("has a knot outside int8")
        return knots

    def _size(self, name: str) -> int:
        return self._arrays[name].values.size

    def _int8(self, name: str, dimensions: int, rows: int | None = None) -> Array:
        return self._array(name, dimensions, INT8_MIN, INT8_MAX, rows)

    def _array(
        self, name: str, dimensions: int, low: int, high: int, rows: int | None = None
    ) -> Array:
        """Return an array, checked; `rows` is the number of rows of a matrix that is read flat."""
        if name not in self._arrays:
            place = find_word(self._folder, name)
            if place is not None:
                raise PipelineError(
                    f"{place[0]}, line {place[1]}: {name} stands here, but in no form that is "
                    f"read; write `type {name}[n] = {{...}};` with all values."
                )
            raise PipelineError(
                f"{self._folder}: the array {name} is in none of the headers "
                f"{', '.join(map(str, header_files_of(self._folder)))}."
            )
        array = self._arrays[name]
        values = array.values
        if array.flat and rows:
            if values.size % rows:
                array.refuse(f"has {values.size} values, which are not {rows} equal rows")
            values = values.reshape(rows, -1)
        if values.ndim != dimensions:
            array.refuse(f"has {values.ndim} dimensions, but must have {dimensions}")
        array.check_range(low, high, "the range of its place in the network")
        self.used.add(name)
        return values.astype(np.int32)
