"""The float network as standard ONNX; its logits are PyTorch's to the rounding of float32.

An activation that is a table (`table()`, as the fused training passes use it) becomes two look-ups
and an interpolation. A network with any other activation is written by PyTorch's own exporter.
"""

import io
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.files.errors import PipelineError, one_line
from models.float.activations.relu import ReLU
from models.float.resmlp import Affine, ChannelMlp, ResMLP, TokenMixer
from models.onnx.graph import Graph, missing_package

IMAGES, LOGITS = "images", "logits"
_LAYOUT = (
    "images: uint8 [n, height, width, 3], pixels 0..255 red, green, blue, rows from the top; "
    "logits: float32 [n, classes]"
)


def write(network: ResMLP, name: str) -> bytes:
    """Return the ONNX file of a trained float network, in eval mode.

    Input `images` uint8 [n, size, size, 3], output `logits` float32 [n, classes]. `name` is the
    network's, for the file's metadata. Raises PipelineError if the package onnx is not installed,
    or if PyTorch cannot write an activation that is no table.
    """
    activations = [act for b in network.blocks for act in (b.mlp.act_in, b.mlp.act_hidden)]
    if not all(map(_known, activations)):
        return _by_torch(network)
    writer = _Writer(network)
    writer.network()
    text = f"The float network {name}."
    return writer.graph.model(name, text, {"network": name, "layout": _LAYOUT})


def _known(activation: nn.Module) -> bool:
    return isinstance(activation, ReLU | nn.Identity) or hasattr(activation, "table")


class _Writer:
    """Writes one network; every method adds nodes and returns the name of a value."""

    def __init__(self, network: ResMLP) -> None:
        self._network = network
        self.graph = Graph()

    def network(self) -> None:
        """Write the network, from its input to its output."""
        graph, network = self.graph, self._network
        size = network.image_size
        graph.input(IMAGES, np.uint8, ["n", size, size, 3])
        x = self._embedding()
        for index, block in enumerate(network.blocks):
            x = self._token_mixer(block.token_mixer, x, f"blocks_{index}_token_mixer")
            x = self._mlp(block.mlp, x, f"blocks_{index}_mlp")
        x = self._norm(network.norm, x, "norm")
        x = self._by_image(x, "norm_by_image")
        x = graph.node("ReduceMean", [x], "mean", axes=[1], keepdims=0)
        x = self._linear(network.classifier, x, LOGITS)
        graph.output(x, np.float32, ["n", network.classifier.out_features])

    def _embedding(self) -> str:
        """Normalise the pixels and embed the patches: [n * tokens, channels]."""
        graph, network = self.graph, self._network
        x = graph.cast(IMAGES, np.float32, "pixels")
        for operator, values in (("Sub", network.input.mean), ("Div", network.input.std)):
            constant = self._weight(f"input_{operator.lower()}", 255 * values)
            x = graph.node(operator, [x, constant], f"input_{operator.lower()}_out")
        patch = network.patchify.patch_size
        grid = network.image_size // patch
        x = graph.reshape(x, [-1, grid, patch, grid, patch, 3], "patches")
        x = graph.node("Transpose", [x], "patches_in_order", perm=[0, 1, 3, 2, 4, 5])
        x = graph.reshape(x, [-1, network.embed_linear.in_features], "tokens")
        return self._linear(network.embed_linear, x, "embed_linear")

    def _token_mixer(self, part: TokenMixer, x: str, name: str) -> str:
        graph = self.graph
        y = self._norm(part.affine_1, x, f"{name}_affine_1")
        y = self._by_image(y, f"{name}_linear_in")
        weight = self._weight(f"{name}_linear_w", part.linear.weight)
        bias = self._weight(f"{name}_linear_b", part.linear.bias.unsqueeze(1))
        y = graph.node("MatMul", [weight, y], f"{name}_linear_product")
        y = graph.node("Add", [y, bias], f"{name}_linear")
        y = graph.reshape(y, [-1, part.affine_2.weight.numel()], f"{name}_linear_out")
        y = self._affine(part.affine_2, y, f"{name}_affine_2")
        return graph.node("Add", [x, y], name)

    def _mlp(self, part: ChannelMlp, x: str, name: str) -> str:
        y = self._norm(part.affine_1, x, f"{name}_affine_1")
        y = self._activation(part.act_in, y, f"{name}_act_in")
        y = self._linear(part.linear_1, y, f"{name}_linear_1")
        y = self._activation(part.act_hidden, y, f"{name}_act_hidden")
        y = self._linear(part.linear_2, y, f"{name}_linear_2")
        y = self._affine(part.affine_2, y, f"{name}_affine_2")
        return self.graph.node("Add", [x, y], name)

    def _activation(self, activation: nn.Module, x: str, name: str) -> str:
        if isinstance(activation, nn.Identity):
            return x
        if isinstance(activation, ReLU):
            return self.graph.node("Relu", [x], name)
        table: Any = activation
        return self._lerp(x, *table.table(), name)

    def _lerp(self, x: str, table: Tensor, start: float, step: float, name: str) -> str:
        """The definition in models/float/activations/lerp.py, node by node."""
        graph = self.graph
        first, width = (
            graph.constant(f"{name}_{k}", np.float32(v), np.float32)
            for k, v in (("start", start), ("step", step))
        )
        u = graph.node("Sub", [x, first], f"{name}_from_start")
        u = graph.node("Div", [u, width], f"{name}_u")
        limits = [graph.constant("segment_0", 0, np.float32)]
        limits.append(graph.constant(f"{name}_last_segment", table.shape[1] - 2, np.float32))
        segment = graph.node("Floor", [u], f"{name}_floor")
        segment = graph.node("Clip", [segment, *limits], f"{name}_segment")
        rest = graph.node("Sub", [u, segment], f"{name}_rest")
        index = graph.cast(segment, np.int32, f"{name}_index")
        knots = table.detach().numpy()
        left = graph.constant(f"{name}_knots", knots[:, :-1].T, np.float32)  # [G - 1, F]
        rise = graph.constant(f"{name}_rises", np.diff(knots, axis=1).T, np.float32)
        left = graph.node("GatherElements", [left, index], f"{name}_left", axis=0)
        rise = graph.node("GatherElements", [rise, index], f"{name}_rise", axis=0)
        part = graph.node("Mul", [rise, rest], f"{name}_part")
        return graph.node("Add", [left, part], name)

    def _norm(self, norm: nn.BatchNorm1d, x: str, name: str) -> str:
        parts = {
            "w": norm.weight,
            "b": norm.bias,
            "mean": norm.running_mean,
            "variance": norm.running_var,
        }
        constants = [self._weight(f"{name}_{key}", value) for key, value in parts.items()]
        return self.graph.node("BatchNormalization", [x, *constants], name, epsilon=norm.eps)

    def _affine(self, affine: Affine, x: str, name: str) -> str:
        y = self.graph.node("Mul", [x, self._weight(f"{name}_w", affine.weight)], f"{name}_scaled")
        return self.graph.node("Add", [y, self._weight(f"{name}_b", affine.bias)], name)

    def _linear(self, linear: nn.Linear, x: str, name: str) -> str:
        weight = self._weight(f"{name}_w", linear.weight)
        bias = self._weight(f"{name}_b", linear.bias)
        return self.graph.node("Gemm", [x, weight, bias], name, transB=1)

    def _by_image(self, x: str, name: str) -> str:
        """Return rows [n * tokens, channels] as [n, tokens, channels]."""
        network = self._network
        tokens = (network.image_size // network.patchify.patch_size) ** 2
        return self.graph.reshape(x, [-1, tokens, network.embed_linear.out_features], name)

    def _weight(self, name: str, values: Tensor | None) -> str:
        assert values is not None  # of a norm without statistics, which ResMLP does not have
        array: npt.NDArray[np.float32] = values.detach().cpu().numpy()
        return self.graph.constant(name, array, np.float32)


class _FromImages(nn.Module):
    """A network whose input has the layout of the other files: uint8 [n, size, size, 3]."""

    def __init__(self, network: ResMLP) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.network(images.permute(0, 3, 1, 2))
        return logits


def _by_torch(network: ResMLP) -> bytes:
    """Return what PyTorch's exporter writes."""
    try:
        import onnxscript  # noqa: F401 - torch.onnx needs it
    except ImportError as error:
        raise missing_package("onnxscript") from error
    size, file = network.image_size, io.BytesIO()
    images = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    free = {0: torch.export.Dim("n")}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about its own parts
            program = torch.onnx.export(
                _FromImages(network).eval(),
                (images,),
                opset_version=18,
                input_names=[IMAGES],
                output_names=[LOGITS],
                dynamic_shapes=(free,),
                dynamo=True,
                verbose=False,
            )
        program.save(file)
    except Exception as error:  # torch.onnx.errors, torch.export's and Python's own
        raise PipelineError(
            "PyTorch cannot write this network's activation as ONNX "
            f"({one_line(error)}); give the activation a method table() (docs/extending.md)."
        ) from error
    return file.getvalue()
