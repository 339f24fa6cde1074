"""The INT8 network as standard ONNX: the same integers as numpy and C++, in onnxruntime.

An int8 value v is stored as the uint8 v + 128, with the zero point 128. Weights too: a product of
uint8 and int8 is not exact in onnxruntime on processors with AVX2 alone (its 16-bit sums of two
products saturate), one of uint8 and uint8 is exact on all.

A layer is MatMulInteger (int32), Cast to float32, Add of b * 2^s + 1/2 and QuantizeLinear with the
scale 2^s of each channel. This is saturate(rounding_shift(sum, s) + b), exactly:

- |sum| <= 2^24 (fixed_point.MAX_FAN_IN), and float32 holds b * 2^s + 1/2, as s <= 16.
- float32 holds the sum v of the two while |v| < 2^23. Beyond that |v / 2^s| >= 128, and both forms
  saturate.
- Dividing by a power of two is exact. QuantizeLinear rounds to the nearest integer, a tie to the
  even one, but there is no tie: v is half an integer, so v / 2^s is never halfway between two
  integers. Adding 1/2 to the integer sum + b * 2^s turns its ties upwards and changes nothing else.

A table is stored as its 65 knots. Nodes that depend on constants alone interpolate them in integers
to 256 entries, which a runtime does once, when it loads the file. An input then selects its entry.

Inside the network, values are [channels, images * tokens]: all that belongs to a channel (scale,
bias, table) then applies to a long row, which is what onnxruntime does fastest.
"""

import math

import numpy as np

from models.files.errors import PipelineError
from models.integer import fixed_point
from models.integer.params import (
    IntBlock,
    IntChannelMlp,
    IntLayer,
    IntResMlp,
    IntTable,
    IntTokenMixer,
)
from models.onnx.graph import Graph
from models.onnx.tables import table_entries

ZERO = -fixed_point.INT8_MIN  # the zero point: what uint8 values store in place of 0
IMAGES, LOGITS = "images", "logits"
_RULE = (
    "Layers: saturate(floor(sum / 2^s + 1/2) + b), rounding half up; tables: t[i] + "
    "floor(((t[i+1] - t[i]) * r + 2) / 4), i and r the upper six and the lower two bits of x + 128"
)
_LAYOUT = (
    "images: uint8 [n, height, width, 3], pixels 0..255 red, green, blue, rows from the top; "
    "logits: int8 [n, classes]"
)


def write(network: IntResMlp, name: str, image_size: int) -> bytes:
    """Return the ONNX file of a network for images of `image_size` x `image_size` pixels.

    Input `images` uint8 [n, size, size, 3], output `logits` int8 [n, classes], as
    `models.integer.resmlp.evaluate`. `name` is the network's, for the file's metadata. Raises
    PipelineError if the scale of the network's input is unknown, its tokens are not square patches
    of such images, or the package onnx is not installed.
    """
    writer = _Writer(network)
    graph = writer.graph
    graph.input(IMAGES, np.uint8, ["n", image_size, image_size, 3])
    logits = writer.logits(writer.tokens(image_size))
    graph.output(logits, np.int8, ["n", network.num_classes])
    metadata = {
        "network": name,
        "rounding": _RULE,
        "layout": _LAYOUT,
        "values": f"an int8 value v is stored as the uint8 v + {ZERO}",
        "input": "the table input_lut maps the pixels of each colour to int8",
    }
    text = f"The INT8 network {name}: every integer as in training, numpy and C++."
    return graph.model(name, text, metadata)


class _Writer:
    """Writes one network; every method adds nodes and returns the name of a value."""

    def __init__(self, network: IntResMlp) -> None:
        self._network = network
        self.graph = Graph()
        self._zero = self.graph.constant("zero_point", ZERO, np.uint8)
        self._one = self.graph.constant("scale_of_one", 1, np.float32)

    def tokens(self, image_size: int) -> str:
        """Cut the images into patches and map their pixels to int8: [patch_dim, n * tokens]."""
        graph, network = self.graph, self._network
        if network.input_lut is None:
            raise PipelineError(
                "The network has no table from pixels to its input, as networks from published "
                "headers; ONNX is written of networks that were quantised here."
            )
        grid = math.isqrt(network.num_patches)
        size = image_size // grid
        if (grid**2, grid * size, 3 * size**2) != (
            *(network.num_patches, image_size),
            network.patch_dim,
        ):
            raise PipelineError(
                f"The network has {network.num_patches} tokens of {network.patch_dim} values, but "
                f"images of {image_size} x {image_size} pixels cannot be cut into as many equal "
                "squares; it is a network for other images."
            )
        x = graph.reshape(IMAGES, [-1, grid, size, grid, size, 3], "patches")
        x = graph.node("Transpose", [x], "patches_by_value", perm=[2, 4, 5, 0, 1, 3])
        x = graph.reshape(x, [network.patch_dim, -1], "pixels")
        lut = np.tile(network.input_lut, (size * size, 1)) + ZERO
        return self._looked_up(x, graph.constant("input_lut", lut, np.uint8), "tokens")

    def logits(self, x: str) -> str:
        """Run the network on tokens; return the logits [n, classes]."""
        network = self._network
        x = self._linear(network.embed_linear, x, "embed_linear")
        for index, block in enumerate(network.blocks):
            x = self._block(block, x, f"blocks_{index}")
        x = self._mean(x)
        x = self._linear(network.classifier_linear, x, "classifier_linear", np.int8)
        return self.graph.node("Transpose", [x], LOGITS, perm=[1, 0])

    def _block(self, block: IntBlock, x: str, name: str) -> str:
        x = self._token_mixer(block.token_mixer, x, f"{name}_token_mixer")
        return self._channel_mlp(block.mlp, x, f"{name}_mlp")

    def _token_mixer(self, p: IntTokenMixer, x: str, name: str) -> str:
        real = self._real(x)
        y = self._affine(p.affine_1, real, f"{name}_affine_1")
        y = self._token_linear(p.linear, y, f"{name}_linear")
        y = self._affine(p.affine_2, self._real(y), f"{name}_affine_2")
        return self._residual(p.residual, real, y, name)

    def _channel_mlp(self, p: IntChannelMlp, x: str, name: str) -> str:
        y = self._table(p.act_in, x, f"{name}_act_in") if p.act_in else x
        relu = None if p.act_hidden else f"{name}_relu"
        y = self._linear(p.linear_1, y, f"{name}_linear_1", relu=relu)
        y = self._table(p.act_hidden, y, f"{name}_act_hidden") if p.act_hidden else y
        y = self._linear(p.linear_2, y, f"{name}_linear_2")
        return self._residual(p.residual, self._real(x), y, name)

    def _residual(self, layer: IntLayer, real: str, branch: str, name: str) -> str:
        """saturate(branch + affine(x)): onnxruntime makes one integer addition of these nodes."""
        shortcut = self._real(self._affine(layer, real, f"{name}_residual"))
        total = self.graph.node("Add", [self._real(branch), shortcut], f"{name}_sum")
        return self._quantized(total, name)

    def _affine(self, layer: IntLayer, real: str, name: str) -> str:
        w = self.graph.constant(f"{name}_w", layer.w[:, None], np.float32)
        product = self.graph.node("Mul", [real, w], f"{name}_product")
        return self._requantized(layer, product, name)

    def _token_linear(self, layer: IntLayer, x: str, name: str) -> str:
        """Apply a linear layer over the tokens: tokens become rows, as channels are elsewhere."""
        x = self.graph.reshape(x, [-1, self._network.num_patches], f"{name}_rows")
        x = self.graph.node("Transpose", [x], f"{name}_in", perm=[1, 0])
        y = self._linear(layer, x, f"{name}_out")
        y = self.graph.node("Transpose", [y], f"{name}_back", perm=[1, 0])
        return self.graph.reshape(y, [self._network.embed_dim, -1], name)

    def _linear(
        self, layer: IntLayer, x: str, name: str, output: type = np.uint8, relu: str | None = None
    ) -> str:
        graph = self.graph
        w = graph.constant(f"{name}_w", layer.w + ZERO, np.uint8)
        total = graph.node("MatMulInteger", [w, x, self._zero, self._zero], f"{name}_sum")
        real = graph.cast(total, np.float32, f"{name}_sum_real")
        return self._requantized(layer, real, name, output, relu)

    def _requantized(
        self,
        layer: IntLayer,
        total: str,
        name: str,
        output: type = np.uint8,
        relu: str | None = None,
    ) -> str:
        """saturate(rounding_shift(total, s) + b) of float32 rows: the rule of the module."""
        graph, steps = self.graph, np.exp2(layer.s)
        offset = graph.constant(f"{name}_offset", (layer.b * steps + 0.5)[:, None], np.float32)
        y = graph.node("Add", [total, offset], f"{name}_shifted")
        y = graph.node("Relu", [y], f"{relu}_shifted") if relu else y
        scale = graph.constant(f"{name}_steps", steps, np.float32)
        stored = np.full(len(steps), ZERO if output is np.uint8 else 0)
        zero = graph.constant(f"{name}_zero_point", stored, output)
        return graph.node("QuantizeLinear", [y, scale, zero], relu or name, axis=0)

    def _table(self, table: IntTable, x: str, name: str) -> str:
        """Interpolate the knots to 256 entries and look `x` up in them."""
        graph = self.graph
        entries = table_entries(graph, table.knots, name)
        zero = graph.constant("zero_point_wide", ZERO, np.int32)
        entries = graph.node("Add", [entries, zero], f"{name}_entries_stored")
        entries = graph.cast(entries, np.uint8, f"{name}_lut")
        return self._looked_up(x, entries, name)

    def _looked_up(self, x: str, table: str, name: str) -> str:
        """Return table[c, x[c, ...]]: x uint8 [C, ...], table [C, 256]."""
        index = self.graph.cast(x, np.int32, f"{name}_index")
        return self.graph.node("GatherElements", [table, index], name, axis=1)

    def _mean(self, x: str) -> str:
        """rounding_shift(sum, log2 tokens) by the rule of the layers; |sum| <= 2^7 tokens."""
        graph, network = self.graph, self._network
        x = graph.reshape(x, [network.embed_dim, -1, network.num_patches], "mean_in")
        axes = graph.constant("mean_axes", [2], np.int64)
        total = graph.node("ReduceSum", [self._real(x), axes], "mean_sum", keepdims=0)
        half = graph.constant("mean_offset", 0.5, np.float32)
        total = graph.node("Add", [total, half], "mean_shifted")
        steps = 1 << fixed_point.mean_shift(network.num_patches)
        scale = graph.constant("mean_steps", steps, np.float32)
        return graph.node("QuantizeLinear", [total, scale, self._zero], "mean")

    def _real(self, x: str) -> str:
        name = f"{x}_as_real"
        return self.graph.node("DequantizeLinear", [x, self._one, self._zero], name)

    def _quantized(self, real: str, name: str) -> str:
        return self.graph.node("QuantizeLinear", [real, self._one, self._zero], name)
