"""The integer ResMLP in numpy: what the hardware computes, from `IntResMlp` parameters.

Two ways through the matrix products, equal bit for bit: float32 BLAS on integer values, exact
because |sum x*w| <= 2^24 (asserted per layer), and plain int32 (`exact_integers=True`), slower, the
reference for the first. Values between layers are int32 arrays that hold int8 values.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from models import fixed_point
from models.int_params import (
    Array,
    IntBlock,
    IntChannelMlp,
    IntLayer,
    IntResMlp,
    IntTable,
    IntTokenMixer,
    Samples,
)

Record = Callable[[str, Array], None]  # called with the name and output of each layer
_FLOAT32_EXACT = 1 << 24


def make_input_lut(abs_max: float, mean: Sequence[float], std: Sequence[float]) -> Array:
    """Return the int8 value of every pixel value per colour channel, [3, 256].

    clamp(round((pixel/255 - mean) / std · 128/abs_max)): `abs_max` is the normalised magnitude that
    the int8 range stands for (published system §3; 2.0901384 for the published ReLU-96).
    """
    pixels = np.arange(256) / 255
    real = (pixels - np.reshape(mean, (3, 1))) / np.reshape(std, (3, 1))
    rounded = np.floor(real * (-fixed_point.INT8_MIN / abs_max) + 0.5)
    return np.asarray(fixed_point.saturate(rounded).astype(np.int32))


def patchify(images: npt.NDArray[np.integer], patch_dim: int) -> Array:
    """Cut images [n, 32, 32, 3] into tokens [n, patches, patch_dim].

    Token order is row-major over the patch grid, inside a patch (row, column, channel).
    """
    count, height, width, channels = images.shape
    size = round((patch_dim / channels) ** 0.5)
    grid = images.reshape(count, height // size, size, width // size, size, channels)
    tokens = (height // size) * (width // size)
    return grid.transpose(0, 1, 3, 2, 4, 5).reshape(count, tokens, patch_dim).astype(np.int32)


def quantize_images(network: IntResMlp, images: npt.NDArray[np.uint8]) -> Array:
    """Turn uint8 images [n, 32, 32, 3] into int8 tokens [n, patches, patch_dim]."""
    if network.input_lut is None:
        raise ValueError("this network has no input_lut: the scale of its input is not known")
    quantized = np.stack([network.input_lut[c][images[..., c]] for c in range(3)], axis=-1)
    return patchify(quantized, network.patch_dim)


def forward(
    network: IntResMlp,
    tokens: Array,
    record: Record | None = None,
    exact_integers: bool = False,
) -> Array:
    """Compute int8 logits [n, classes] of int8 tokens [n, patches, patch_dim].

    `record(name, values)` is called with the output of every layer under its published name.
    """
    note = record or (lambda name, values: None)
    x = _linear(network.embed_linear, tokens, exact_integers)
    note("embed_linear", x)
    for index, block in enumerate(network.blocks):
        x = _block(block, x, f"blocks_{index}", note, exact_integers)
    shift = fixed_point.mean_shift(network.num_patches)
    mean = fixed_point.rounding_shift(x.sum(axis=1, dtype=np.int32), shift)
    note("mean", mean)
    logits = _linear(network.classifier_linear, mean, exact_integers)
    note("classifier_linear", logits)
    return logits


def evaluate(network: IntResMlp, images: npt.NDArray[np.uint8], batch_size: int = 64) -> Array:
    """Return the int8 logits [n, classes] of uint8 images, in batches of bounded memory."""
    batches = (images[i : i + batch_size] for i in range(0, len(images), batch_size))
    logits = [forward(network, quantize_images(network, batch)) for batch in batches]
    return np.concatenate(logits) if logits else np.empty((0, network.num_classes), np.int32)


def accuracy(logits: npt.NDArray[np.integer], labels: npt.NDArray[np.integer]) -> float:
    """Return the top-1 accuracy in percent; the first of equal logits is the class."""
    return float(100 * np.mean(logits.argmax(axis=1) == labels))


def make_samples(network: IntResMlp, tokens: Array, labels: npt.NDArray[np.integer]) -> Samples:
    """Run the network on `tokens` and keep the output of every layer."""
    layers: dict[str, Array] = {}
    output = forward(network, tokens, layers.__setitem__)
    names = ["embed_linear", *(f"blocks_{i}_mlp" for i in range(len(network.blocks)))]
    inter = tuple(layers[name] for name in names)
    return Samples(tokens, labels.astype(np.int32), inter, output, layers)


def _block(block: IntBlock, x: Array, name: str, note: Record, exact: bool) -> Array:
    x = _token_mixer(block.token_mixer, x, f"{name}_token_mixer", note, exact)
    return _channel_mlp(block.mlp, x, f"{name}_mlp", note, exact)


def _token_mixer(p: IntTokenMixer, x: Array, name: str, note: Record, exact: bool) -> Array:
    y = _affine(p.affine_1, x)
    note(f"{name}_affine_1", y)
    y = _linear(p.linear, y.transpose(0, 2, 1), exact).transpose(0, 2, 1)
    note(f"{name}_linear", y)
    y = _affine(p.affine_2, y)
    note(f"{name}_affine_2", y)
    return _residual(p.res_affine, x, y, name, note)


def _channel_mlp(p: IntChannelMlp, x: Array, name: str, note: Record, exact: bool) -> Array:
    y = _activation(p.psa_1, x, f"{name}_psa_1", note) if p.psa_1 else x
    y = _linear(p.linear_1, y, exact)
    note(f"{name}_linear_1", y)
    if p.psa_2:
        y = _activation(p.psa_2, y, f"{name}_psa_2", note)
    else:
        y = fixed_point.relu(y)
        note(f"{name}_relu", y)
    y = _linear(p.linear_2, y, exact)
    note(f"{name}_linear_2", y)
    return _residual(p.res_affine, x, y, name, note)


def _residual(res: IntLayer, x: Array, branch: Array, name: str, note: Record) -> Array:
    shortcut = _affine(res, x)
    note(f"{name}_res_affine", shortcut)
    total: Array = fixed_point.saturating_add(branch, shortcut)
    note(name, total)
    return total


def _affine(layer: IntLayer, x: Array) -> Array:
    return np.asarray(fixed_point.requantize(x * layer.w, layer.s, layer.b))


def _activation(table: IntTable, x: Array, name: str, note: Record) -> Array:
    channel = np.arange(len(table.knots))
    y: Array = table.lut[channel, x - fixed_point.INT8_MIN]
    note(name, y)
    return y


def _linear(layer: IntLayer, x: Array, exact: bool) -> Array:
    if exact:
        acc = np.matmul(x, layer.w.T)
    else:
        bound = int(np.abs(layer.w).sum(axis=1).max()) * -fixed_point.INT8_MIN
        assert bound <= _FLOAT32_EXACT, f"a sum of up to {bound} is not exact in float32"
        product = np.matmul(x.astype(np.float32), layer.w.T.astype(np.float32))
        acc = product.astype(np.int32)
    return np.asarray(fixed_point.requantize(acc, layer.s, layer.b))
