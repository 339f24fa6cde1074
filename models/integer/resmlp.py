"""The integer ResMLP in numpy: computes with `IntResMlp` parameters what the hardware computes.

There are two modes with bit-identical results. The reference (`exact_integers=True`) uses int32
arrays and the rules of `fixed_point`. The fast mode stores the same integers in float32 and uses
BLAS for the products. Float32 is exact for sums with |sum x*w| <= 2^24; an assertion checks this
bound for each layer. Then floor(v·2^-s + ½ + b) equals rounding_shift(v, s) + b if the result is in
the int8 range (s <= 16 and |b| <= 128 need at most 24 bits); outside, both saturate to the same
value.
"""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from models.files.errors import PipelineError
from models.integer import fixed_point
from models.integer.params import (
    Array,
    IntBlock,
    IntChannelMlp,
    IntLayer,
    IntResMlp,
    IntTable,
    IntTokenMixer,
    Samples,
)

Values = npt.NDArray[Any]  # integers, stored as int32 or float32
Record = Callable[[str, Array], None]  # called with the name and output of each layer
_FLOAT32_EXACT = 1 << 24


def make_input_lut(abs_max: float, mean: Sequence[float], std: Sequence[float]) -> Array:
    """Return the int8 value of every pixel value for each colour, [3, 256].

    The value is clamp(round((pixel/255 - mean) / std · 128/abs_max)). `abs_max` is the normalised
    magnitude that 128 stands for (2.0901384 for the published ReLU-96).
    """
    pixels = np.arange(256) / 255
    real = (pixels - np.reshape(mean, (3, 1))) / np.reshape(std, (3, 1))
    rounded = np.floor(real * (-fixed_point.INT8_MIN / abs_max) + 0.5)
    return np.asarray(fixed_point.saturate(rounded).astype(np.int32))


def patchify(images: npt.NDArray[np.integer], patch_dim: int) -> Array:
    """Cut images [n, height, width, 3] into tokens [n, patches, patch_dim].

    Tokens are in row-major order over the patch grid; values inside a patch are in the order (row,
    column, channel).
    """
    count, height, width, channels = images.shape
    size = round((patch_dim / channels) ** 0.5)
    grid = images.reshape(count, height // size, size, width // size, size, channels)
    tokens = (height // size) * (width // size)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(count, tokens, patch_dim).astype(np.int32)


def quantize_images(network: IntResMlp, images: npt.NDArray[np.uint8]) -> Array:
    """Map uint8 images [n, height, width, 3] to int8 tokens [n, patches, patch_dim].

    Raises ValueError if the network has no `input_lut`, and PipelineError if its tokens are not the
    square patches of images of this size.
    """
    if network.input_lut is None:
        raise ValueError("this network has no input_lut: the scale of its input is not known")
    height, width, channels = images.shape[1:]
    size = math.isqrt(network.patch_dim // channels)
    tokens = (height // max(size, 1)) * (width // max(size, 1))
    if channels * size**2 != network.patch_dim or tokens != network.num_patches:
        raise PipelineError(
            f"The network has {network.num_patches} tokens of {network.patch_dim} values, but "
            f"images of {height} x {width} pixels of {channels} colours cannot be cut into as many "
            "equal squares; it is a network for other images."
        )
    quantized = np.stack([network.input_lut[c][images[..., c]] for c in range(3)], axis=-1)
    return patchify(quantized, network.patch_dim)


def forward(
    network: IntResMlp,
    tokens: Array,
    record: Record | None = None,
    exact_integers: bool = False,
) -> Array:
    """Map int8 tokens [n, patches, patch_dim] to int8 logits [n, classes].

    `record(name, values)` is called with the name and output of every layer. The names are those of
    `IntResMlp.leaves`, of the sublayers (`blocks_0_mlp`), `mean` and, without tables,
    `blocks_0_mlp_relu`. For `exact_integers` see the module docstring.
    """

    def note(name: str, values: Values) -> None:
        if record is not None:
            record(name, values.astype(np.int32))

    x = _linear(network.embed_linear, tokens.astype(np.int32 if exact_integers else np.float32))
    note("embed_linear", x)
    for index, block in enumerate(network.blocks):
        x = _block(block, x, f"blocks_{index}", note)
    shift = fixed_point.mean_shift(network.num_patches)
    total = x.sum(axis=1, dtype=x.dtype).astype(np.int32)
    mean: Values = fixed_point.rounding_shift(total, shift).astype(x.dtype)
    note("mean", mean)
    logits = _linear(network.classifier_linear, mean)
    note("classifier_linear", logits)
    return logits.astype(np.int32)


def evaluate(
    network: IntResMlp,
    images: npt.NDArray[np.uint8],
    batch_size: int = 32,
    threads: int | None = None,
) -> Array:
    """Return the int8 logits [n, classes] of uint8 images [n, height, width, 3].

    The batch size bounds the memory: about 60 kB per image and layer, which fits the processor's
    caches. Each of the `threads` (default: one per core) processes whole batches.
    """
    batches = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
    if not batches:
        return np.empty((0, network.num_classes), np.int32)

    def logits(batch: npt.NDArray[np.uint8]) -> Array:
        return forward(network, quantize_images(network, batch))

    workers = threads or len(os.sched_getaffinity(0))
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(workers) as pool:
        return np.concatenate(list(pool.map(logits, batches)))


def accuracy(logits: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> float:
    """Return the top-1 accuracy in percent; of equal logits the first one counts.

    `logits` are [n, classes], `labels` [n].
    """
    return float(100 * np.mean(logits.argmax(axis=1) == labels))


def make_samples(network: IntResMlp, tokens: Array, labels: npt.NDArray[np.integer]) -> Samples:
    """Run the network on int8 `tokens` [n, T, P] and return the outputs of all layers."""
    layers: dict[str, Array] = {}
    output = forward(network, tokens, layers.__setitem__)
    names = ["embed_linear", *(f"blocks_{i}_mlp" for i in range(len(network.blocks)))]
    inter = tuple(layers[name] for name in names)
    return Samples(tokens, labels.astype(np.int32), inter, output, layers)


Note = Callable[[str, Values], None]


def _block(block: IntBlock, x: Values, name: str, note: Note) -> Values:
    x = _token_mixer(block.token_mixer, x, f"{name}_token_mixer", note)
    return _channel_mlp(block.mlp, x, f"{name}_mlp", note)


def _token_mixer(p: IntTokenMixer, x: Values, name: str, note: Note) -> Values:
    y = _affine(p.affine_1, x)
    note(f"{name}_affine_1", y)
    y = _token_linear(p.linear, y)
    note(f"{name}_linear", y)
    y = _affine(p.affine_2, y)
    note(f"{name}_affine_2", y)
    return _residual(p.residual, x, y, name, note)


def _channel_mlp(p: IntChannelMlp, x: Values, name: str, note: Note) -> Values:
    y = x
    if p.act_in:
        y = _activation(p.act_in, x)
        note(f"{name}_act_in", y)
    y = _linear(p.linear_1, y)
    note(f"{name}_linear_1", y)
    y = _activation(p.act_hidden, y) if p.act_hidden else fixed_point.relu(y)
    note(f"{name}_act_hidden" if p.act_hidden else f"{name}_relu", y)
    y = _linear(p.linear_2, y)
    note(f"{name}_linear_2", y)
    return _residual(p.residual, x, y, name, note)


def _residual(layer: IntLayer, x: Values, branch: Values, name: str, note: Note) -> Values:
    shortcut = _affine(layer, x)
    note(f"{name}_residual", shortcut)
    total: Values = fixed_point.saturating_add(branch, shortcut)
    note(name, total)
    return total


def _affine(layer: IntLayer, x: Values) -> Values:
    return _requantize(x * layer.w.astype(x.dtype), layer.s, layer.b)


def _activation(table: IntTable, x: Values) -> Values:
    row_starts = 256 * np.arange(len(table.knots), dtype=np.int32) - fixed_point.INT8_MIN
    index = x.astype(np.int32)
    index += row_starts
    return table.lut.astype(x.dtype).ravel().take(index)


def _linear(layer: IntLayer, x: Values) -> Values:
    return _requantize(np.matmul(x, _weights(layer, x).T), layer.s, layer.b)


def _token_linear(layer: IntLayer, x: Values) -> Values:
    acc = np.matmul(_weights(layer, x), x)
    return _requantize(acc, layer.s[:, None], layer.b[:, None])


def _weights(layer: IntLayer, x: Values) -> Values:
    """Return w in the type of x; for float32 assert that every possible sum is exact."""
    bound = int(np.abs(layer.w).sum(axis=1).max()) * -fixed_point.INT8_MIN
    assert x.dtype != np.float32 or bound <= _FLOAT32_EXACT, f"a sum may reach {bound}, not exact"
    return layer.w.astype(x.dtype)


def _requantize(acc: Values, shift: Array, bias: Array) -> Values:
    """Return `fixed_point.requantize` in the type of `acc`; a float32 `acc` is overwritten."""
    if acc.dtype == np.int32:
        return np.asarray(fixed_point.requantize(acc, shift, bias))
    acc *= np.exp2(-shift).astype(np.float32)
    acc += (bias + 0.5).astype(np.float32)
    np.floor(acc, out=acc)
    return np.asarray(np.clip(acc, fixed_point.INT8_MIN, fixed_point.INT8_MAX, out=acc))
