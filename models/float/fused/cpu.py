"""The sublayers of `models.float.fused.plain` on the CPU, with gradients.

What is done to whole streams is done by `models.float.fused.bfloat16` or `.float32`, which have the
same functions; the small tensors are computed in `algebra`.

An autograd function takes and returns single tensors. `_flat` unpacks the parts of a sublayer for
it, `_parts` packs them again. Shapes are those of `models.float.fused.plain`.
"""

from collections.abc import Iterable, Sequence
from itertools import islice
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from models.float.fused import algebra
from models.float.fused.parts import Coefficients, Mlp, MlpStreams, Tables, arrays, tensors
from models.float.fused.plain import Linear, Norm, Outer, Stream, Table

Context = Any  # torch's FunctionCtx, with the attributes that each forward sets
Grads = tuple[Any, ...]


class _Embed(Function):
    @staticmethod
    def forward(ctx: Context, pixels: Tensor, weight: Tensor, bias: Tensor) -> Stream:
        y, sums = operations(pixels.dtype).embed(pixels, weight.to(pixels.dtype), bias)
        mean, variance = _statistics(sums, y)
        ctx.save_for_backward(pixels, y, mean)
        ctx.set_materialize_grads(False)
        return Stream(y, mean, variance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        pixels, y, mean = ctx.saved_tensors
        grad, coefficients = _through_statistics(grads, y, mean)
        return None, *operations(y.dtype).embed_back(grad, coefficients, y, pixels)


class _TokenMixer(Function):
    PARTS = (Norm, Linear, Outer)

    @staticmethod
    def forward(ctx: Context, x: Tensor, *values: Any) -> Stream:  # noqa: ANN401
        norm, linear, outer = _parts(_TokenMixer.PARTS, values)
        absorbed = _absorb_norm(norm)
        scale, shift = tensors(
            *algebra.absorb_mixer(absorbed, *arrays(*linear), *arrays(*outer))
        )  # [C], [T, C]
        matrix = linear.weight.to(x.dtype)  # [T, T]
        z, y, sums = operations(x.dtype).mixer(x, matrix, scale, shift)
        y_mean, y_variance = _statistics(sums, y)
        ctx.save_for_backward(
            x, matrix, scale, z, y, y_mean, norm.mean, norm.gamma, *linear, outer.scale
        )
        ctx.absorbed = absorbed
        ctx.set_materialize_grads(False)
        return Stream(y, y_mean, y_variance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, matrix, scale, z, y, y_mean, mean, gamma, weight, bias, outer = ctx.saved_tensors
        grad, coefficients = _through_statistics(grads, y, y_mean)
        g, *own = operations(y.dtype).mixer_back(
            grad, coefficients, y, x, z, matrix, scale, ctx.needs_input_grad[0]
        )  # [T, B, C]; [T, T], [C], [T, C]
        grad_weight, grad_bias, grad_outer, grad_affine = algebra.absorb_mixer_back(
            *arrays(*own), ctx.absorbed, *arrays(weight, bias, outer)
        )  # [T, T], [T], [2, C], [2, C]
        return g, *_flat(
            _norm_gradients(grad_affine, mean, gamma, ctx.absorbed),
            Linear(*tensors(grad_weight, grad_bias)),
            Outer(*tensors(*grad_outer)),
        )


class _Pool(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        ctx.shape, ctx.dtype = x.shape, x.dtype
        return operations(x.dtype).pool(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Tensor:
        return (grad / ctx.shape[0]).to(ctx.dtype).expand(ctx.shape)  # stride 0 over the tokens


class _ReluMlp(Function):
    PARTS = (Norm, Linear, Linear, Outer)

    @staticmethod
    def forward(ctx: Context, x: Tensor, *values: Any) -> Stream:  # noqa: ANN401
        norm, first, second, outer = _parts(_ReluMlp.PARTS, values)
        absorbed = _absorb_norm(norm)
        matrix, vector = _like(first.weight, x), _like(first.bias, x)  # [H, C], [H]
        algebra.absorb_input(absorbed, *arrays(*first, matrix, vector))
        mlp = Mlp(matrix, vector, *_absorb_output(second, outer, x))
        streams, sums = operations(x.dtype).relu_mlp(x, mlp)
        mean, variance = _statistics(sums, streams.y)
        ctx.save_for_backward(
            x, streams.v, streams.y, mean, *mlp, norm.mean, norm.gamma, first.weight, *second,
            outer.scale,
        )  # fmt: skip
        ctx.absorbed = absorbed
        ctx.set_materialize_grads(False)
        return Stream(streams.y, mean, variance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, v, y, y_mean, *rest = ctx.saved_tensors
        mlp, (mean, gamma, weight, *end) = Mlp(*rest[:4]), rest[4:]
        grad, coefficients = _through_statistics(grads, y, y_mean)
        own = operations(y.dtype).relu_mlp_back(
            grad, coefficients, x, MlpStreams(None, None, v, y), mlp, ctx.needs_input_grad[0]
        )
        grad_weight, grad_affine = algebra.absorb_input_back(
            *arrays(own.first, own.bias_hidden), ctx.absorbed, *arrays(weight)
        )  # [H, C], [2, C]
        return own.x, *_flat(
            _norm_gradients(grad_affine, mean, gamma, ctx.absorbed),
            Linear(*tensors(grad_weight), own.bias_hidden),
            *_output_gradients(own.second, own.bias, *end),
        )


class _TableMlp(Function):
    PARTS = (Norm, Table, Linear, Table, Linear, Outer)

    @staticmethod
    def forward(ctx: Context, x: Tensor, *values: Any) -> Stream:  # noqa: ANN401
        norm, table_in, first, table_hidden, second, outer = _parts(_TableMlp.PARTS, values)
        absorbed = _absorb_norm(norm)
        _, scale, offset = tensors(*absorbed)
        entry = Table(table_in.values.contiguous(), *table_in[1:])
        hidden = Table(table_hidden.values.contiguous(), *table_hidden[1:])
        mlp = Mlp(first.weight.to(x.dtype), first.bias, *_absorb_output(second, outer, x))
        tables = Tables(entry, hidden, scale, offset)
        streams, sums = operations(x.dtype).table_mlp(x, mlp, tables)
        mean, variance = _statistics(sums, streams.y)
        ctx.save_for_backward(
            x, *streams, mean, *mlp, entry.values, hidden.values, norm.mean, norm.gamma, *second,
            outer.scale,
        )  # fmt: skip
        ctx.absorbed, ctx.grids = absorbed, (entry[1:], hidden[1:])
        ctx.set_materialize_grads(False)
        return Stream(streams.y, mean, variance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, u, h, v, y, y_mean, *rest = ctx.saved_tensors
        mlp, (entry, hidden, mean, gamma, *end) = Mlp(*rest[:4]), rest[4:]
        _, scale, offset = tensors(*ctx.absorbed)
        grid_in, grid_hidden = ctx.grids
        tables = Tables((entry, *grid_in), (hidden, *grid_hidden), scale, offset)
        grad, coefficients = _through_statistics(grads, y, y_mean)
        own, table_grads = operations(y.dtype).table_mlp_back(
            grad, coefficients, x, MlpStreams(u, h, v, y), mlp, tables
        )
        grad_affine = np.stack(arrays(table_grads.scale, table_grads.offset))
        return own.x, *_flat(
            _norm_gradients(grad_affine, mean, gamma, ctx.absorbed),
            Table(table_grads.entry, start=None, step=None),
            Linear(own.first, own.bias_hidden),
            Table(table_grads.hidden, start=None, step=None),
            *_output_gradients(own.second, own.bias, *end),
        )


def operations(dtype: torch.dtype) -> ModuleType:
    """Import and return the functions for whole streams of a type: bfloat16 or float32.

    Raises ImportError, OSError or AttributeError if they do not work here.
    """
    if dtype == torch.bfloat16:
        from models.float.fused import bfloat16

        return bfloat16
    from models.float.fused import float32

    return float32


def embed(pixels: Tensor, linear: Linear) -> Stream:
    """Compute `plain.embed`."""
    return Stream(*_Embed.apply(pixels, *linear))


def center(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute `plain.center`."""
    return operations(dtype).center(pixels)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return weight @ x, without a gradient."""
    return operations(x.dtype).linear(x, weight)


def token_mixer(x: Tensor, norm: Norm, linear: Linear, outer: Outer) -> Stream:
    """Compute `plain.token_mixer`."""
    return Stream(*_TokenMixer.apply(x, *_flat(norm, linear, outer)))


def relu_mlp(x: Tensor, norm: Norm, first: Linear, second: Linear, outer: Outer) -> Stream:
    """Compute `plain.relu_mlp`."""
    return Stream(*_ReluMlp.apply(x, *_flat(norm, first, second, outer)))


def table_mlp(
    x: Tensor,
    norm: Norm,
    table_in: Table,
    first: Linear,
    table_hidden: Table,
    second: Linear,
    outer: Outer,
) -> Stream:
    """Compute `plain.table_mlp`."""
    parts = (norm, table_in, first, table_hidden, second, outer)
    return Stream(*_TableMlp.apply(x, *_flat(*parts)))


def pool(x: Tensor) -> Tensor:
    """Compute `plain.pool`."""
    return _Pool.apply(x)


def _flat(*parts: Iterable[Any]) -> list[Any]:
    """Return the fields of several parts as one list."""
    return [value for part in parts for value in part]


def _parts(kinds: Sequence[Any], values: Iterable[Any]) -> list[Any]:
    """Return parts from the list of their fields, the inverse of `_flat`.

    `kinds` are the NamedTuple classes of the parts, in order.
    """
    rest = iter(values)
    return [kind(*islice(rest, len(kind._fields))) for kind in kinds]


def _like(tensor: Tensor, x: Tensor) -> Tensor:
    """Return an empty tensor of a shape, in the type of the stream x."""
    return torch.empty(tensor.shape, dtype=x.dtype)


def _absorb_output(second: Linear, outer: Outer, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return weight [C, H], in the type of x, and bias [C] of a layer with the affine after it."""
    matrix = _like(second.weight, x)
    bias = algebra.absorb_output(*arrays(*second, *outer, matrix))
    return matrix, *tensors(bias)


def _output_gradients(
    grad_matrix: Tensor, grad_bias: Tensor, weight: Tensor, bias: Tensor, scale: Tensor
) -> tuple[Linear, Outer]:
    """Return the gradients of the last layer and of the affine after it."""
    own = algebra.absorb_output_back(*arrays(grad_matrix, grad_bias, weight, bias, scale))
    grad_weight, grad_own_bias, grad_scale = tensors(*own)
    return Linear(grad_weight, grad_own_bias), Outer(grad_scale, offset=grad_bias)


def _statistics(sums: Tensor, y: Tensor) -> list[Tensor]:
    """Return mean [C] and biased variance [C] of the stream y from its sums [U, 2, C]."""
    return tensors(*algebra.statistics(sums.numpy(), y.shape[0] * y.shape[1]))


def _through_statistics(
    grads: tuple[Tensor | None, ...], y: Tensor, mean: Tensor
) -> tuple[Tensor, Coefficients]:
    """Return the gradient of y and the coefficients of what it gets through its statistics.

    `grads` are the gradients of y, its mean and its variance (None: zero). A gradient that is the
    same for all tokens is returned for one token.
    """
    grad, *moments = grads
    zero = torch.zeros_like(mean)
    moments = [zero if moment is None else moment for moment in moments]
    count = y.shape[0] * y.shape[1]
    coefficients = tensors(*algebra.through_statistics(*arrays(*moments, mean), count))
    grad = torch.zeros_like(y) if grad is None else grad
    return grad[:1] if grad.stride(0) == 0 else grad, coefficients


def _absorb_norm(norm: Norm) -> np.ndarray:
    """Return r, scale and offset [3, C] of a norm (see `algebra`)."""
    statistics = arrays(norm.mean, norm.variance)
    return algebra.absorb_norm(*statistics, norm.eps, *arrays(norm.gamma, norm.beta))


def _norm_gradients(
    grad_affine: np.ndarray, mean: Tensor, gamma: Tensor, absorbed: np.ndarray
) -> Norm:
    """Return the gradients of a norm's fields.

    `grad_affine` [2, C] holds the gradients of its scale and offset.
    """
    grads = algebra.absorb_norm_back(*grad_affine, *arrays(mean, gamma), absorbed)
    grad_mean, grad_variance, grad_gamma, grad_beta = tensors(*grads)
    return Norm(grad_mean, grad_variance, eps=None, gamma=grad_gamma, beta=grad_beta)
