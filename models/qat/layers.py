"""INT8 quantisation-aware training in integer units (docs/published-system.md §3).

`prepare` replaces the parts of a folded ResMLP by parts that pass on `IntTensor`s: int8 values in
float32, and the scale of one unit. Every value between layers is computed with the integer rules of
`fixed_point` (tables use an operation that is tested to be equal). So the trained network is, bit
for bit, the network that numpy and C++ run. Gradients pass roundings unchanged (straight-through)
and are zero where a value saturates. Sums of products are at most 2^24, so they are exact in
float32; on CUDA this requires TF32 to be off, which is PyTorch's default.

Scales are learned step sizes (Esser et al., "Learned step size quantization", 2020). The derivative
of the integer form with straight-through roundings is LSQ's gradient: round(x/s) - x/s inside the
range, the clipping bound outside. A tensor has one scale. The scale of a weight follows from the
scales of its layer's input and output and from the shift, a power of two per output channel:
step = 2^-shift · out_scale / in_scale.
"""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from models.float.activations.interpolation import lerp
from models.float.activations.registry import is_tabulated
from models.float.activations.relu import ReLU
from models.float.resmlp import IMAGE_CHANNELS, Affine, ResMLP, ResMlpBlock, TokenLinear
from models.integer import fixed_point
from models.integer.params import (
    Array,
    IntBlock,
    IntChannelMlp,
    IntLayer,
    IntResMlp,
    IntTable,
    IntTokenMixer,
)

_KNOT_STEP = 1 << fixed_point.TABLE_BITS
_LOG2_SCALES = (-126, 126)  # of scales that float32 holds with all their bits


class IntTensor(NamedTuple):
    """Int8 values in a float32 tensor, and the scale: the real number per unit (0-dim)."""

    values: Tensor
    scale: Tensor

    def real(self) -> Tensor:
        """Return the real values: integers times scale."""
        return self.values * self.scale


def round_half_up(x: Tensor) -> Tensor:
    """Return floor(x + 1/2) with the gradient of x."""
    return x + ((x + 0.5).floor() - x).detach()


def to_int8(x: Tensor) -> Tensor:
    """Round and saturate to int8 values in float; the gradient is zero where a value saturates."""
    return round_half_up(fixed_point.saturate(x))


class _Requantize(torch.autograd.Function):
    """`fixed_point.requantize` for integers in float tensors, with straight-through gradients."""

    @staticmethod
    def forward(ctx: FunctionCtx, acc: Tensor, shift: Tensor, bias: Tensor) -> Tensor:
        rounded = fixed_point.rounding_shift(acc.to(torch.int32), shift) + bias.to(torch.int32)
        result = fixed_point.saturate(rounded)
        ctx.save_for_backward(rounded == result, shift)
        ctx.bias_shape = bias.shape
        return result.to(acc.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:  # noqa: ANN401
        inside, shift = ctx.saved_tensors
        grad = grad * inside
        return grad * torch.exp2(-shift.to(grad.dtype)), None, grad.sum_to_size(ctx.bias_shape)


def requantize(acc: Tensor, shift: Tensor, bias: Tensor) -> Tensor:
    """Apply `fixed_point.requantize` to integers in float tensors; differentiable in acc and bias.

    `shift` is int32; `shift` and `bias` broadcast over `acc`.
    """
    return _Requantize.apply(acc, shift, bias)


class QuantLayer(nn.Module):
    """Base class of linear layers and affines: int8 weights and bias, shifts, the output's scale.

    Parameters: weight [out, in] or [channels] and bias [out] in real units, log2_scale (0-dim) of
    the output. Buffer: shift [out] int32.
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.detach().clone())
        self.bias = nn.Parameter(bias.detach().clone())
        self.log2_scale = nn.Parameter(torch.zeros(()))
        self.register_buffer("shift", torch.ones(len(weight), dtype=torch.int32))

    def scale(self) -> Tensor:
        """Return the real number that one unit of the output stands for."""
        return torch.exp2(self.log2_scale)

    def impossible(self) -> tuple[str, str] | None:
        """Return the name of a tensor and the rule that it breaks, None if none does."""
        if not ((self.shift >= 1) & (self.shift <= fixed_point.MAX_SHIFT)).all():
            return "shift", f"from 1 to {fixed_point.MAX_SHIFT}"
        return _impossible_scale(self.log2_scale)

    def step(self, in_scale: Tensor) -> Tensor:
        """Return the scale of the weights [out]: 2^-shift · out_scale / in_scale."""
        return torch.exp2(-self.shift.float()) * self.scale() / in_scale

    def integers(self, in_scale: Tensor) -> dict[str, Tensor]:
        """Return {w, b, s}: int8 weights and bias (in float, differentiable) and int32 shifts."""
        step = self.step(in_scale).view(-1, *(1,) * (self.weight.dim() - 1))
        return {
            "w": to_int8(self.weight / step),
            "b": to_int8(self.bias / self.scale()),
            "s": self.shift,
        }


class QuantLinear(QuantLayer):
    """saturate(rounding_shift(sum x·w, s) + b) over the last dimension."""

    def forward(self, x: IntTensor) -> IntTensor:
        """Map values [..., in] to [..., out]."""
        p = self.integers(x.scale)
        acc = nn.functional.linear(x.values, p["w"])
        return IntTensor(requantize(acc, p["s"], p["b"]), self.scale())


class QuantTokenLinear(QuantLayer):
    """saturate(rounding_shift(sum x·w, s) + b) over the tokens of [batch, tokens, channels]."""

    def forward(self, x: IntTensor) -> IntTensor:
        """Map values [batch, tokens, channels] to the same shape."""
        p = self.integers(x.scale)
        acc = torch.matmul(p["w"], x.values)
        return IntTensor(requantize(acc, p["s"].unsqueeze(1), p["b"].unsqueeze(1)), self.scale())


class QuantAffine(QuantLayer):
    """saturate(rounding_shift(x·w, s) + b) per channel."""

    def forward(self, x: IntTensor) -> IntTensor:
        """Map values [..., channels] to the same shape."""
        p = self.integers(x.scale)
        return IntTensor(requantize(x.values * p["w"], p["s"], p["b"]), self.scale())


class QuantResidual(nn.Module):
    """Rescale the shortcut to the branch's scale, then add and saturate.

    The rescaling factor is w · 2^-s, the closest to in_scale / branch_scale with 64 <= w <= 127.
    """

    def integers(self, in_scale: Tensor, branch_scale: Tensor) -> dict[str, Tensor]:
        """Return {w, b, s} of the rescaling, 0-dim each; b is 0."""
        ratio = in_scale / branch_scale
        shift = (fixed_point.INT8_MAX / ratio.detach()).log2().floor()
        shift = shift.clamp(1, fixed_point.MAX_SHIFT).to(torch.int32)
        w = to_int8(ratio * torch.exp2(shift.float()))
        return {"w": w, "b": torch.zeros_like(w), "s": shift}

    def forward(self, x: IntTensor, branch: IntTensor) -> IntTensor:
        """Add two tensors of the same shape; the sum has the branch's scale."""
        p = self.integers(x.scale, branch.scale)
        shortcut = requantize(x.values * p["w"], p["s"], p["b"])
        return IntTensor(fixed_point.saturating_add(branch.values, shortcut), branch.scale)


class QuantReLU(nn.Module):
    """ReLU on integers; it keeps the scale."""

    def forward(self, x: IntTensor) -> IntTensor:
        """Map values to the same shape."""
        return IntTensor(fixed_point.relu(x.values), x.scale)


class QuantTable(nn.Module):
    """A per-channel function as 65 int8 knots with linear interpolation (64 segments).

    Every forward pass computes the knots from the wrapped float function, so the function's
    parameters are trained through the table.
    """

    def __init__(self, function: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.log2_scale = nn.Parameter(torch.zeros(()))

    def scale(self) -> Tensor:
        """Return the real number that one unit of the output stands for."""
        return torch.exp2(self.log2_scale)

    def impossible(self) -> tuple[str, str] | None:
        """Return the name of a tensor and the rule that it breaks, None if none does."""
        return _impossible_scale(self.log2_scale)

    def knots(self, in_scale: Tensor, channels: int) -> Tensor:
        """Return the int8 knots [channels, 65] (in float, differentiable)."""
        points = fixed_point.INT8_MIN + _KNOT_STEP * torch.arange(
            fixed_point.TABLE_KNOTS, dtype=torch.float32, device=in_scale.device
        )
        inputs = (in_scale * points).unsqueeze(1).expand(-1, channels)
        return to_int8(self.function(inputs).t() / self.scale())

    def forward(self, x: IntTensor) -> IntTensor:
        """Map values [..., channels] to the same shape."""
        knots = self.knots(x.scale, x.values.shape[-1])
        # Exact in float32, and after round_half_up equal to fixed_point.table_lookup: knots are
        # integers, and the position in a segment is a multiple of 1/4.
        between = lerp(x.values, knots, float(fixed_point.INT8_MIN), float(_KNOT_STEP))
        return IntTensor(round_half_up(between), self.scale())


class QuantMeanPool(nn.Module):
    """Mean over the tokens, rounding_shift(sum, log2 tokens); it keeps the scale."""

    def forward(self, x: IntTensor) -> IntTensor:
        """Map values [batch, tokens, channels] to [batch, channels]."""
        shift = torch.tensor(fixed_point.mean_shift(x.values.shape[1]), dtype=torch.int32)
        return IntTensor(requantize(x.values.sum(dim=1), shift, torch.zeros(())), x.scale)


class QuantInput(nn.Module):
    """Map pixels to int8 tokens with the table that numpy uses: lut [3, 256], scale 0-dim."""

    def __init__(self, patchify: nn.Module) -> None:
        super().__init__()
        self.patchify = patchify
        self.register_buffer("lut", torch.zeros(3, 256))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, images: Tensor) -> IntTensor:
        """Map pixels 0..255 [batch, 3, height, width] to values [batch, patches, patch_dim]."""
        channel = torch.arange(3, device=images.device).view(-1, 1, 1)
        return IntTensor(self.patchify(self.lut[channel, images.long()]), self.scale)

    def impossible(self) -> tuple[str, str] | None:
        """Return the name of a buffer and the rule that it breaks, None if it breaks none."""
        if not (self.scale > 0).all():
            return "scale", "above 0"
        if not torch.equal(self.lut, fixed_point.saturate(self.lut.round())):
            return "lut", "whole numbers from -128 to 127"
        return None


def _impossible_scale(log2_scale: Tensor) -> tuple[str, str] | None:
    low, high = _LOG2_SCALES
    possible = ((log2_scale >= low) & (log2_scale <= high)).all()
    return None if possible else ("log2_scale", f"from {low} to {high}")


def prepare(folded: ResMLP) -> ResMLP:
    """Replace the parts of a folded ResMLP, in place, by their INT8 counterparts; return it.

    The caller must then set scales and shifts with `models.qat.calibrate.calibrate` or
    `load_state_dict`. The network maps pixels to an `IntTensor` of logits. Raises TypeError if a
    part has no INT8 form.
    """
    folded.input, folded.patchify = QuantInput(folded.patchify), nn.Identity()
    folded.pool = QuantMeanPool()
    folded.embed_linear = _quantized(folded.embed_linear)
    folded.classifier = _quantized(folded.classifier)
    for block in folded.blocks:
        for name in ("affine_1", "linear", "affine_2"):
            setattr(block.token_mixer, name, _quantized(getattr(block.token_mixer, name)))
        for name in ("act_in", "linear_1", "act_hidden", "linear_2"):
            setattr(block.mlp, name, _quantized(getattr(block.mlp, name)))
        for sublayer in (block.token_mixer, block.mlp):
            sublayer.residual = QuantResidual()
    return folded


def _quantized(module: nn.Module) -> nn.Module:
    layers = {nn.Linear: QuantLinear, TokenLinear: QuantTokenLinear, Affine: QuantAffine}
    if type(module) in layers:
        return layers[type(module)](module.weight, module.bias)
    if isinstance(module, nn.Identity):
        return module
    if isinstance(module, ReLU):
        return QuantReLU()
    function = module[-1] if isinstance(module, nn.Sequential) else module  # `fold` adds an affine
    if is_tabulated(function):
        return QuantTable(module)
    raise TypeError(
        f"{type(function).__name__} has no INT8 form: a layer needs one in models/qat/layers.py, "
        "an activation `tabulated=True` in its file in models/float/activations/specs/."
    )


@torch.no_grad()
def export(network: ResMLP) -> IntResMlp:
    """Return the integer parameters of a network that `prepare` made and QAT trained.

    The same `integers` and `knots` methods compute them as in the forward pass. The input scale of
    each part is recorded in a forward pass of a black image.
    """
    leaves: dict[nn.Module, IntLayer | IntTable] = {}
    hooks = [
        part.register_forward_pre_hook(
            lambda part, inputs: leaves.update({part: _leaf(part, *inputs)})
        )
        for part in network.modules()
        if isinstance(part, QuantLayer | QuantResidual | QuantTable)
    ]
    size, device = network.image_size, network.input.lut.device
    network(torch.zeros(1, IMAGE_CHANNELS, size, size, device=device))
    for hook in hooks:
        hook.remove()
    return IntResMlp(
        leaves[network.embed_linear],
        tuple(_export_block(block, leaves) for block in network.blocks),
        leaves[network.classifier],
        _int_array(network.input.lut),
    )


def _leaf(part: nn.Module, x: IntTensor, branch: IntTensor | None = None) -> IntLayer | IntTable:
    if isinstance(part, QuantTable):
        return IntTable(_int_array(part.knots(x.scale, x.values.shape[-1])))
    if isinstance(part, QuantResidual):
        scalars = part.integers(x.scale, branch.scale)
        channels = x.values.shape[-1]
        return IntLayer(**{key: _int_array(v.expand(channels)) for key, v in scalars.items()})
    return IntLayer(**{key: _int_array(value) for key, value in part.integers(x.scale).items()})


def _int_array(values: Tensor) -> Array:
    return values.cpu().numpy().astype(np.int32)


def _export_block(block: ResMlpBlock, leaves: dict[nn.Module, Any]) -> IntBlock:
    mixer, mlp = block.token_mixer, block.mlp
    return IntBlock(
        IntTokenMixer(
            leaves[mixer.affine_1],
            leaves[mixer.linear],
            leaves[mixer.affine_2],
            leaves[mixer.residual],
        ),
        IntChannelMlp(
            leaves[mlp.linear_1],
            leaves[mlp.linear_2],
            leaves[mlp.residual],
            leaves.get(mlp.act_in),
            leaves.get(mlp.act_hidden),
        ),
    )
