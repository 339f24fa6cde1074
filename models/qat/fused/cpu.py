"""The sublayers of the fused INT8 network on the CPU, with their gradients.

Streams are bfloat16 [tokens, batch, channels] with int8 values. The forward pass is exact: matrix
products are int8 with int32 sums, everything else are the kernels of `streams`. Gradients are
bfloat16 with float32 sums, as in `models.float.fused.bfloat16`. Weights and biases are the integers
in float tensors that `models.qat.layers` computes; shifts are int32.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from models.float.activations.kernels import lerp_cpu
from models.float.fused.bfloat16 import center, product, weight_gradient
from models.integer import fixed_point
from models.qat.fused import streams

Context = Any  # torch's FunctionCtx, with the attributes that each forward sets
Grads = tuple[Tensor | None, ...]
Integers = dict[str, Tensor]  # w, b, s of a layer


def exact() -> bool:
    """Return whether PyTorch's int8 products are exact on this machine, even for the largest sums.

    Processors without int8 dot products add pairs of products in 16 bits, which can overflow.
    """
    low, high = fixed_point.INT8_MIN, fixed_point.INT8_MAX
    patterns = ([low] * 4, [high] * 4, [low, high] * 2, [low, low, high, high])
    rows = torch.tensor(patterns, dtype=torch.int8).repeat(16, 32)
    return torch.equal(torch._int_mm(rows, rows.t()), rows.int() @ rows.int().t())


class _Linear(Function):
    @staticmethod
    def forward(
        ctx: Context, x: Tensor, weight: Tensor, bias: Tensor, shift: Tensor, lowest: float
    ) -> Tensor:
        vectors = {"inverse": _inverse(shift), "bias": bias}
        y, inside = streams.linear(_product(x, weight), vectors, lowest)
        ctx.save_for_backward(x, weight, inside, vectors["inverse"])
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Grads:
        x, weight, inside, inverse = ctx.saved_tensors
        grad_acc, grad_bias = streams.linear_back(grad.contiguous(), inside, {"inverse": inverse})
        return *_product_back(ctx, grad_acc, x, weight), grad_bias, None, None


class _LinearAdd(Function):
    @staticmethod
    def forward(
        ctx: Context,
        v: Tensor,
        weight: Tensor,
        bias: Tensor,
        shift: Tensor,
        x: Tensor,
        *residual: Tensor,
    ) -> Tensor:
        vectors, factor = {"inverse": _inverse(shift), "bias": bias}, _factor(*residual)
        y, inside = streams.linear_add(_product(v, weight), vectors, x, factor)
        ctx.save_for_backward(v, weight, x, inside, vectors["inverse"])
        ctx.factor = factor
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Grads:
        v, weight, x, inside, inverse = ctx.saved_tensors
        grad_acc, grad_x, grad_bias, grad_factor = streams.linear_add_back(
            grad.contiguous(), inside, {"inverse": inverse}, x, ctx.factor
        )
        own = _product_back(ctx, grad_acc, v, weight)
        return *own, grad_bias, None, grad_x, grad_factor, None


class _TokenMixer(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, *parameters: Tensor) -> Tensor:
        first, linear, second, residual = (parameters[i : i + 3] for i in (0, 3, 6, 9))
        first, second = _vectors(*first), _vectors(*second)
        weight, bias, shift = linear
        rows, factor = {"row_inverse": _inverse(shift), "row_bias": bias}, _factor(*residual[:2])
        u, inside_u = streams.affine(x, first)
        acc = int_product(weight, u.flatten(1)).view(x.shape)
        z, y, inside = streams.mixer(acc, rows, second, x, factor)
        ctx.save_for_backward(x, weight, u, inside_u, z, inside)
        ctx.vectors = first, rows, second, factor
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Grads:
        x, weight, u, inside_u, z, inside = ctx.saved_tensors
        first, rows, second, factor = ctx.vectors
        grad_acc, grad_x, grad_rows, sums = streams.mixer_back(
            grad.contiguous(), z, inside, rows, second, x, factor
        )
        flat = grad_acc.flatten(1)
        grad_weight = torch.mm(flat, u.flatten(1).t()).float()
        grad_u = torch.mm(weight.bfloat16().t(), flat).view(x.shape)
        grad_first = streams.affine_back(grad_u, x, inside_u, first, grad_x)
        linear = (grad_weight, grad_rows, None)
        return grad_x, *grad_first, None, *linear, *sums[1:], None, sums[0].sum(), None


class _LookUp(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, knots: Tensor) -> Tensor:
        ctx.save_for_backward(x, knots)
        channel = torch.arange(len(knots)).unsqueeze(1)
        values = torch.arange(fixed_point.INT8_MIN, fixed_point.INT8_MAX + 1)
        table = fixed_point.table_lookup(knots.to(torch.int32), channel, values)
        return streams.look_up(x, table.bfloat16())

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Grads:
        x, knots = ctx.saved_tensors
        start, step = float(fixed_point.INT8_MIN), float(1 << fixed_point.TABLE_BITS)
        return lerp_cpu.backward(grad.contiguous(), x, knots.contiguous(), start, step)


def int_product(a: Tensor, b: Tensor) -> Tensor:
    """Return the int32 product of two matrices of int8 values, which may be stored in any type."""
    a, b = a.to(torch.int8), b.to(torch.int8)
    if a.shape[1] == 1:  # PyTorch 2.13's _int_mm gets outer products wrong
        return a.to(torch.int32) * b.to(torch.int32)
    return torch._int_mm(a, b)


def input_values(pixels: Tensor, lut: Tensor) -> Tensor:
    """Return the stream lut[p, pixel] for uint8 pixels [T, B, P]; lut [P, 256]."""
    return streams.look_up(center(pixels), lut.bfloat16())


def linear(x: Tensor, layer: Integers, lowest: int = fixed_point.INT8_MIN) -> Tensor:
    """Return max(lowest, saturate(rounding_shift(x · w, s) + b)) for a stream; lowest=0: ReLU."""
    return _Linear.apply(x, layer["w"], layer["b"], layer["s"], float(lowest))


def linear_add(v: Tensor, layer: Integers, x: Tensor, residual: Integers) -> Tensor:
    """Return the saturated sum of linear(v) and the rescaled shortcut x."""
    own = layer["w"], layer["b"], layer["s"]
    return _LinearAdd.apply(v, *own, x, residual["w"], residual["s"])


def token_mixer(
    x: Tensor, first: Integers, layer: Integers, second: Integers, residual: Integers
) -> Tensor:
    """Return the saturated sum of second(layer(first(x))) and the rescaled shortcut x.

    `layer` works over the tokens; `first` and `second` are affines per channel.
    """
    parts = [part[key] for part in (first, layer, second) for key in "wbs"]
    return _TokenMixer.apply(x, *parts, residual["w"], residual["s"])


def look_up(x: Tensor, knots: Tensor) -> Tensor:
    """Return `fixed_point.table_lookup` for a stream; knots [C, 65]."""
    return _LookUp.apply(x, knots)


def _product(x: Tensor, weight: Tensor) -> Tensor:
    """Return the int32 product of a stream [T, B, in] with weight [out, in]: [T, B, out]."""
    return int_product(x.flatten(0, 1), weight.t()).view(*x.shape[:2], -1)


def _product_back(ctx: Context, grad: Tensor, x: Tensor, weight: Tensor) -> Grads:
    """Return the gradients of x (None if not needed) and weight."""
    grad_x = product(grad, weight.bfloat16()) if ctx.needs_input_grad[0] else None
    return grad_x, weight_gradient(grad, x)


def _inverse(shift: Tensor) -> Tensor:
    """Return 2^-shift, exactly."""
    return (1 << shift).float().reciprocal()


def _vectors(weight: Tensor, bias: Tensor, shift: Tensor) -> dict[str, Tensor]:
    return {"weight": weight, "inverse": _inverse(shift), "bias": bias}


def _factor(weight: Tensor, shift: Tensor) -> dict[str, float]:
    shrink = 2.0 ** -int(shift)
    return {"factor": float(weight) * shrink, "shrink": shrink}
