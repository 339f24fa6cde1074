"""The schema of integer parameters, and the pickle files in the published layout.

QAT produces an `IntResMlp`; the numpy network, the header generator and the C++ use it. Only this
module handles the dictionary keys of the files. The files have the authors' layout: a pickled
dictionary `{'embed_linear': {w, b, s}, 'blocks': [...], 'classifier_linear': {w, b, s}}` of int32
arrays. There are two additions that older readers can ignore. A table also has its 65 `knots`, and
`input` holds the int8 value of every pixel value, so that a network is complete without its
training code. A seal follows the pickle (`models.files.integrity`); unpicklers stop before it.

In memory a layer has its name in models/float/resmlp.py. The authors use other names for three
layers (`PUBLISHED_NAMES`); those names occur only in files and in generated C++.
"""

import pickle
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from models.files.atomic import replace_on_success
from models.files.errors import PipelineError, restore
from models.files.integrity import read_sealed, sealed
from models.files.restricted_pickle import restricted_load
from models.integer.fixed_point import (
    INT8_MAX,
    INT8_MIN,
    MAX_FAN_IN,
    TABLE_BITS,
    TABLE_KNOTS,
    check_shift,
    table_lookup,
)

Array = npt.NDArray[np.int32]

PUBLISHED_NAMES = {"residual": "res_affine", "act_in": "psa_1", "act_hidden": "psa_2"}


def published_name(name: str) -> str:
    """Return the name of a layer in published files.

    >>> published_name("blocks_0_mlp_act_in")
    'blocks_0_mlp_psa_1'
    """
    for ours, theirs in PUBLISHED_NAMES.items():
        name = name.replace(ours, theirs)
    return name


def name_of_published(name: str) -> str:
    """Return the name in memory of a layer of a published file, the inverse of `published_name`.

    >>> name_of_published("blocks_0_mlp_psa_1")
    'blocks_0_mlp_act_in'
    """
    for ours, theirs in PUBLISHED_NAMES.items():
        name = name.replace(theirs, ours)
    return name


_SUBLAYERS = {
    "token_mixer": ("affine_1", "linear", "affine_2", "residual"),
    "mlp": ("act_in", "linear_1", "relu", "act_hidden", "linear_2", "residual"),
}
_LAYER_NAME = re.compile(
    "embed_linear|mean|classifier_linear|blocks_[0-9]{1,4}_(?:"
    + "|".join(f"{part}(?:_(?:{'|'.join(names)}))?" for part, names in _SUBLAYERS.items())
    + ")"
)


def is_layer_name(name: object) -> bool:
    """Return whether `name` can be that of a layer or sublayer of a network, as in `Samples`.

    Such names become C++ (hls/headers/golden.py), so a file may hold no others.

    >>> is_layer_name("blocks_0_mlp_linear_1"), is_layer_name("mean; x")
    (True, False)
    """
    return isinstance(name, str) and _LAYER_NAME.fullmatch(name) is not None


def _int8(name: str, array: object, ndim: int) -> Array:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be an integer array")
    if array.ndim != ndim or array.size == 0:
        raise ValueError(f"{name} must have {ndim} non-empty dimensions, found shape {array.shape}")
    if array.min() < INT8_MIN or array.max() > INT8_MAX:
        raise ValueError(f"{name} holds values outside int8: {array.min()} to {array.max()}")
    return array.astype(np.int32)


@dataclass(frozen=True)
class IntLayer:
    """A linear layer (w [out, in]) or an affine (w [C]): saturate(rounding_shift(sum x*w, s) + b).

    w holds int8 values; b (int8 values) and s (1..16) have one value per output channel. All are
    stored as int32. Raises ValueError if the arrays do not fit.
    """

    w: Array
    b: Array
    s: Array

    def __post_init__(self) -> None:
        ndim = self.w.ndim if isinstance(self.w, np.ndarray) and self.w.ndim in (1, 2) else 2
        for name, dims in (("w", ndim), ("b", 1), ("s", 1)):
            object.__setattr__(self, name, _int8(name, getattr(self, name), dims))
        if not len(self.w) == len(self.b) == len(self.s):
            lengths = f"{len(self.w)}, {len(self.b)}, {len(self.s)}"
            raise ValueError(f"w, b and s must agree in output channels, found {lengths}")
        if self.w.ndim == 2 and self.w.shape[1] > MAX_FAN_IN:
            raise ValueError(f"w has {self.w.shape[1]} inputs; at most {MAX_FAN_IN} are exact")
        check_shift(self.s)


@dataclass(frozen=True)
class IntTable:
    """A 1-D function per channel: int8 knots [F, 65] at the inputs -128, -124, …, 124, 128.

    >>> IntTable(np.arange(-64, 1)[None]).lut[0, :6].tolist()
    [-64, -64, -63, -63, -63, -63]
    """

    knots: Array

    def __post_init__(self) -> None:
        object.__setattr__(self, "knots", _int8("knots", self.knots, 2))
        if self.knots.shape[1] != TABLE_KNOTS:
            raise ValueError(f"knots must be [F, {TABLE_KNOTS}], found {self.knots.shape}")

    @property
    def lut(self) -> Array:
        """The function at every int8 input x: [F, 256], index x + 128."""
        channel = np.arange(len(self.knots))[:, None]
        inputs = np.arange(INT8_MIN, INT8_MAX + 1, dtype=np.int32)
        return np.asarray(table_lookup(self.knots, channel, inputs[None, :]))

    @staticmethod
    def from_points(points: Array) -> "IntTable":
        """Build a table from the 64 published points [F, 64]; knot 65 repeats the last point."""
        return IntTable(np.concatenate([points, points[:, -1:]], axis=1))


@dataclass(frozen=True)
class IntTokenMixer:
    """The cross-patch sublayer: add(affine_2(linear(affine_1(x))), residual(x))."""

    affine_1: IntLayer
    linear: IntLayer
    affine_2: IntLayer
    residual: IntLayer


@dataclass(frozen=True)
class IntChannelMlp:
    """The cross-channel sublayer: add(linear_2(act_hidden(linear_1(act_in(x)))), residual(x)).

    act_in and act_hidden are both tables, or both None; None means identity and ReLU.
    """

    linear_1: IntLayer
    linear_2: IntLayer
    residual: IntLayer
    act_in: IntTable | None = None
    act_hidden: IntTable | None = None


@dataclass(frozen=True)
class IntBlock:
    """One block: the cross-patch sublayer, then the cross-channel sublayer."""

    token_mixer: IntTokenMixer
    mlp: IntChannelMlp


@dataclass(frozen=True)
class IntResMlp:
    """A whole INT8 ResMLP; its sizes follow from its arrays.

    `input_lut` [3, 256] maps every pixel value of each colour to the int8 input. It is None if the
    scale of the input is unknown (published headers do not contain it). Raises ValueError, with the
    published name of the array, if two arrays do not fit together.
    """

    embed_linear: IntLayer
    blocks: tuple[IntBlock, ...]
    classifier_linear: IntLayer
    input_lut: Array | None = None

    @property
    def patch_dim(self) -> int:
        """Values per patch (48 for 4x4 RGB)."""
        return int(self.embed_linear.w[0].size)

    @property
    def embed_dim(self) -> int:
        """Channels of the residual stream (96)."""
        return len(self.embed_linear.w)

    @property
    def num_patches(self) -> int:
        """Tokens (64)."""
        return len(self.blocks[0].token_mixer.linear.w)

    @property
    def hidden_dim(self) -> int:
        """Hidden channels of the channel-MLP."""
        return len(self.blocks[0].mlp.linear_1.w)

    @property
    def num_blocks(self) -> int:
        """Number of blocks, each with a cross-patch and a cross-channel sublayer."""
        return len(self.blocks)

    @property
    def num_classes(self) -> int:
        """Outputs of the classifier."""
        return len(self.classifier_linear.w)

    @property
    def has_tables(self) -> bool:
        """Whether the activations are tables (True) or ReLU (False)."""
        return self.blocks[0].mlp.act_in is not None

    def __post_init__(self) -> None:
        if not self.blocks:
            raise ValueError("blocks is empty; a ResMLP has at least one block")
        if self.input_lut is not None:
            object.__setattr__(self, "input_lut", _int8("input_lut", self.input_lut, 2))
            if self.input_lut.shape != (3, 256):
                raise ValueError(f"input_lut must be [3, 256], found {self.input_lut.shape}")
        # Arrays that do not fit come from a file, so errors use the names in the file.
        for name, array, shape in self._expected_shapes():
            if array.shape != shape:
                raise ValueError(
                    f"{published_name(name)} must have shape {shape}, found {array.shape}"
                )
        for index, block in enumerate(self.blocks):
            tables = (block.mlp.act_in is not None, block.mlp.act_hidden is not None)
            if tables != (self.has_tables, self.has_tables):
                both = " and ".join(map(published_name, ("act_in", "act_hidden")))
                raise ValueError(f"blocks_{index}_mlp must have both {both} in all blocks")
        tokens = self.num_patches
        if tokens < 2 or tokens & (tokens - 1):  # fixed_point.mean_shift
            raise ValueError(
                f"blocks_0_token_mixer_linear_w is of {tokens} tokens, but their number must be a "
                "power of two of at least 2, because the integers' mean is a shift"
            )

    def _expected_shapes(self) -> Iterator[tuple[str, Array, tuple[int, ...]]]:
        channels, hidden, tokens = self.embed_dim, self.hidden_dim, self.num_patches
        yield "embed_linear_w", self.embed_linear.w, (channels, self.patch_dim)
        yield "classifier_linear_w", self.classifier_linear.w, (self.num_classes, channels)
        for index, block in enumerate(self.blocks):
            mixer, mlp = block.token_mixer, block.mlp
            for name in ("affine_1", "affine_2", "residual"):
                layer: IntLayer = getattr(mixer, name)
                yield f"blocks_{index}_token_mixer_{name}_w", layer.w, (channels,)
            yield f"blocks_{index}_token_mixer_linear_w", mixer.linear.w, (tokens, tokens)
            yield f"blocks_{index}_mlp_linear_1_w", mlp.linear_1.w, (hidden, channels)
            yield f"blocks_{index}_mlp_linear_2_w", mlp.linear_2.w, (channels, hidden)
            yield f"blocks_{index}_mlp_residual_w", mlp.residual.w, (channels,)
            for name, size in (("act_in", channels), ("act_hidden", hidden)):
                table: IntTable | None = getattr(mlp, name)
                if table is not None:
                    yield f"blocks_{index}_mlp_{name}_knots", table.knots, (size, TABLE_KNOTS)

    def leaves(self) -> Iterator[tuple[str, IntLayer | IntTable]]:
        """Yield every layer and table with its name (`blocks_0_mlp_linear_1`), in fixed order."""
        yield "embed_linear", self.embed_linear
        for index, block in enumerate(self.blocks):
            for part in ("token_mixer", "mlp"):
                sublayer = getattr(block, part)
                for item in fields(sublayer):
                    leaf = getattr(sublayer, item.name)
                    if leaf is not None:
                        yield f"blocks_{index}_{part}_{item.name}", leaf
        yield "classifier_linear", self.classifier_linear


@dataclass(frozen=True)
class Samples:
    """Golden inputs and outputs of n images.

    input [n, T, P], labels [n], output [n, classes]; inter: the embedding and the output of each
    block, (blocks + 1) x [n, T, C]. `layers` holds the output of every layer by name; it helps to
    locate a mismatch.
    """

    input: Array
    labels: Array
    inter: tuple[Array, ...]
    output: Array
    layers: Mapping[str, Array]


def save_int_params(network: IntResMlp, path: Path | str) -> None:
    """Write the parameter dump of a network in the published layout (see the module docstring)."""
    _dump(_to_dict(network), path)


def load_int_params(path: Path | str) -> IntResMlp:
    """Read a parameter dump; PipelineError names the file and the offending key."""
    return _load(path, _network_from_dict)


def save_samples(samples: Samples, path: Path | str) -> None:
    """Write the sample dump in the published layout, plus `layers`; values are stored as int8."""
    samples = _narrow(samples)
    data = {item.name: getattr(samples, item.name) for item in fields(samples)}
    data["inter"] = list(samples.inter)
    data["layers"] = {published_name(name): values for name, values in samples.layers.items()}
    _dump(data, path)


def load_samples(path: Path | str) -> Samples:
    """Read a sample dump; PipelineError names the file and the offending key."""
    return _load(path, _samples_from_dict)


def _narrow(samples: Samples) -> Samples:
    """Return the samples as int8 (except the labels), in a quarter of the bytes."""
    kept: dict[int, npt.NDArray[np.int8]] = {}  # by id, so that shared arrays are written once

    def narrow(name: str, array: Array) -> npt.NDArray[np.int8]:
        if id(array) not in kept:
            kept[id(array)] = _int8(name, array, array.ndim).astype(np.int8)
        return kept[id(array)]

    arrays: dict[str, Any] = {
        "input": narrow("input", samples.input),
        "inter": tuple(narrow(f"inter_{i}", array) for i, array in enumerate(samples.inter)),
        "output": narrow("output", samples.output),
        "layers": {name: narrow(name, array) for name, array in samples.layers.items()},
    }
    return replace(samples, **arrays)


T = TypeVar("T")


def _dump(data: dict[str, Any], path: Path | str) -> None:
    # Protocol 4 is the newest that all supported versions of Python and numpy read.
    with replace_on_success(path) as temporary:
        temporary.write_bytes(sealed(pickle.dumps(data, protocol=4)))


def _load(path: Path | str, build: Callable[[Any], T]) -> T:
    data = restricted_load(BytesIO(read_sealed(path)), str(path))
    try:
        return build(data)
    except (ValueError, KeyError, TypeError) as error:
        reason = f"{error.args[0]} is missing" if isinstance(error, KeyError) else str(error)
        raise PipelineError(
            f"{path} is not a parameter or sample dump of this pipeline: {reason}; {restore(path)}."
        ) from error


def _to_dict(network: IntResMlp) -> dict[str, Any]:
    data: dict[str, Any] = {
        "embed_linear": _leaf_to_dict(network.embed_linear),
        "blocks": [
            {
                "token_mixer": _sublayer_to_dict(block.token_mixer),
                "mlp": _sublayer_to_dict(block.mlp),
            }
            for block in network.blocks
        ],
        "classifier_linear": _leaf_to_dict(network.classifier_linear),
    }
    if network.input_lut is not None:
        data["input"] = {"lut": network.input_lut}
    return data


def _sublayer_to_dict(sublayer: IntTokenMixer | IntChannelMlp) -> dict[str, Any]:
    leaves = {item.name: getattr(sublayer, item.name) for item in fields(sublayer)}
    # Pickle writes each string object once. Keys that are looked up, not built, are shared.
    return {
        PUBLISHED_NAMES.get(name, name): _leaf_to_dict(leaf)
        for name, leaf in leaves.items()
        if leaf is not None
    }


def _leaf_to_dict(leaf: IntLayer | IntTable) -> dict[str, Any]:
    if isinstance(leaf, IntTable):
        return {"lut": leaf.lut, "offset": -INT8_MIN, "knots": leaf.knots}
    return {"w": leaf.w, "b": leaf.b, "s": leaf.s}


def _network_from_dict(data: Any) -> IntResMlp:  # noqa: ANN401 - whatever the pickle held
    data = _mapping("the file", data)
    blocks = []
    for index, block in enumerate(data["blocks"]):
        name = f"blocks_{index}"
        mixer = _mapping(f"{name}_token_mixer", _mapping(name, block)["token_mixer"])
        mlp = _mapping(f"{name}_mlp", block["mlp"])
        mixer_layers = (
            _layer(f"{name}_token_mixer_{key}", mixer[key])
            for key in ("affine_1", "linear", "affine_2", "res_affine")
        )
        linear_1, linear_2, residual = (
            _layer(f"{name}_mlp_{key}", mlp[key]) for key in ("linear_1", "linear_2", "res_affine")
        )
        act_in, act_hidden = (
            _table(f"{name}_mlp_{key}", mlp[key]) if key in mlp else None
            for key in ("psa_1", "psa_2")
        )
        blocks.append(
            IntBlock(
                IntTokenMixer(*mixer_layers),
                IntChannelMlp(linear_1, linear_2, residual, act_in, act_hidden),
            )
        )
    return IntResMlp(
        _layer("embed_linear", data["embed_linear"]),
        tuple(blocks),
        _layer("classifier_linear", data["classifier_linear"]),
        _mapping("input", data["input"])["lut"] if "input" in data else None,
    )


def _layer(name: str, data: object) -> IntLayer:
    data = _mapping(name, data)
    missing = [key for key in "wbs" if key not in data]
    if missing:
        raise ValueError(f"{name} lacks {', '.join(missing)}")
    try:
        return IntLayer(data["w"], data["b"], data["s"])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _table(name: str, data: object) -> IntTable:
    data = _mapping(name, data)
    try:
        lut = _int8("lut", data.get("lut"), 2)
        if lut.shape[1] != 256 or data.get("offset") != -INT8_MIN:
            raise ValueError(f"lut must be [F, 256] with offset 128, found {lut.shape}")
        if "knots" not in data:  # a published dump; the hardware uses every fourth entry
            return IntTable.from_points(lut[:, :: 1 << TABLE_BITS])
        table = IntTable(data["knots"])
        if not np.array_equal(table.lut, lut):
            raise ValueError("knots and lut disagree")
        return table
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error


def _samples_from_dict(data: Any) -> Samples:  # noqa: ANN401 - whatever the pickle held
    data = _mapping("the file", data)
    inputs = _int8("input", data["input"], 3)
    count = len(inputs)
    labels = np.asarray(data["labels"])
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise ValueError("labels must be a 1-D array of integers")
    layers = _mapping("layers", data.get("layers", {}))
    unknown = [key for key in layers if not is_layer_name(name_of_published(str(key)))]
    if unknown:
        raise ValueError(f"layers holds {ascii(unknown[0])[:80]}, which no network has")
    samples = Samples(
        input=inputs,
        labels=labels.astype(np.int32),
        inter=tuple(_int8(f"inter_{i}", a, 3) for i, a in enumerate(data["inter"])),
        output=_int8("output", data["output"], 2),
        layers={
            name_of_published(key): _int8(key, array, np.ndim(array))
            for key, array in layers.items()
        },
    )
    for array in (samples.labels, samples.output, *samples.inter, *samples.layers.values()):
        if len(array) != count:
            raise ValueError(f"arrays must hold {count} samples like input, found {len(array)}")
    return samples


def _mapping(name: str, data: object) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ValueError(f"{name} must be a dictionary, found {type(data).__name__}")
    return data
