"""The sublayers of `models.float.fused.plain` for bfloat16 streams on the CPU, with gradients.

Matrix products are PyTorch's; the passes between them are the kernels of `streams`; the small
tensors are computed in `algebra`. In the backward pass, the gradient of x through the residual
connection is written to a buffer, and the last matrix product adds the gradient through the branch
to it.

An autograd function takes and returns single tensors. `_flat` unpacks the parts of a sublayer for
it, `_parts` packs them again. Shapes are those of `models.float.fused.plain`.
"""

import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from models.float.activations.kernels import lerp_cpu
from models.float.fused import algebra, streams
from models.float.fused.plain import Linear, Norm, Outer, Stream, Table

_SUMS = 8  # partial sums of a weight gradient

Context = Any  # torch's FunctionCtx, with the attributes that each forward sets
Grads = tuple[Any, ...]


class _Branch(NamedTuple):
    """The tensors that the backward pass of y = x + outer(second(v)) needs."""

    v: Tensor  # [T, B, H]
    y: Tensor  # [T, B, C]
    mean: Tensor  # [C], of y
    half: Tensor  # [C, H], outer.scale * second.weight in bfloat16
    weight: Tensor  # [C, H], of second
    bias: Tensor  # [C], of second
    scale: Tensor  # [C], of outer


class _Embed(Function):
    @staticmethod
    def forward(ctx: Context, pixels: Tensor, weight: Tensor, bias: Tensor) -> Stream:
        z = product(pixels, weight.bfloat16().t())  # [T, B, P] @ [P, C]
        y = torch.empty_like(z)
        none = torch.zeros_like(bias)
        sums = streams.residual(z, z, none, bias.unsqueeze(0), y)
        mean, variance = _statistics(sums, y)
        ctx.save_for_backward(pixels, y, mean)
        ctx.set_materialize_grads(False)
        return Stream(y, mean, variance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        pixels, y, mean = ctx.saved_tensors
        g, _, sums = _run_split(grads, y, mean, None)
        (grad_weight,) = _tensors(weight_gradient(g, pixels))  # [C, P]
        return None, grad_weight, sums[:, 0].sum(dim=0)


class _TokenMixer(Function):
    PARTS = (Norm, Linear, Outer)

    @staticmethod
    def forward(ctx: Context, x: Tensor, *values: Any) -> Stream:  # noqa: ANN401
        norm, linear, outer = _parts(_TokenMixer.PARTS, values)
        absorbed = _absorb_norm(norm)
        half, scale, shift = _tensors(
            *algebra.absorb_mixer(absorbed, *_arrays(*linear), *_arrays(*outer))
        )  # [T, T], [C], [T, C]
        z = torch.mm(half, x.flatten(1)).view(x.shape)  # [T, T] @ [T, B * C]
        y = torch.empty_like(x)
        sums = streams.residual(x, z, scale, shift, y)
        y_mean, y_variance = _statistics(sums, y)
        ctx.save_for_backward(
            x, half, scale, z, y, y_mean, norm.mean, norm.gamma, *linear, outer.scale
        )
        ctx.absorbed = absorbed
        ctx.set_materialize_grads(False)
        return Stream(y, y_mean, y_variance)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, half, scale, z, y, y_mean, mean, gamma, weight, bias, outer = ctx.saved_tensors
        g, dz, sums = _run_split(grads, y, y_mean, (z, scale))  # [T, B, C] twice, [T, 2, C]
        flat = dz.flatten(1)  # [T, B * C]
        grad_half = torch.mm(flat, x.flatten(1).t()).float()  # [T, T]
        if ctx.needs_input_grad[0]:
            g.flatten(1).addmm_(half.t(), flat)
        grad_weight, grad_bias, grad_outer, grad_affine = algebra.absorb_mixer_back(
            *_arrays(grad_half, sums[:, 1].sum(dim=0), sums[:, 0].contiguous()),
            ctx.absorbed,
            *_arrays(weight, bias, outer),
        )  # [T, T], [T], [2, C], [2, C]
        return g, *_flat(
            _norm_gradients(grad_affine, mean, gamma, ctx.absorbed),
            Linear(*_tensors(grad_weight, grad_bias)),
            Outer(*_tensors(*grad_outer)),
        )


class _Pool(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return streams.pool(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Tensor:
        return (grad / ctx.shape[0]).bfloat16().expand(ctx.shape)  # stride 0 over the tokens


class _ReluMlp(Function):
    PARTS = (Norm, Linear, Linear, Outer)

    @staticmethod
    def forward(ctx: Context, x: Tensor, *values: Any) -> Stream:  # noqa: ANN401
        norm, first, second, outer = _parts(_ReluMlp.PARTS, values)
        absorbed = _absorb_norm(norm)
        half, half_bias = _tensors(*algebra.absorb_input(absorbed, *_arrays(*first)))  # [H, C], [H]
        h = relu_product(x, half, half_bias)  # [T, B, H]
        summed, branch = _close(x, h, second, outer)
        ctx.save_for_backward(x, half, norm.mean, norm.gamma, first.weight, *branch)
        ctx.absorbed = absorbed
        ctx.set_materialize_grads(False)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, half, mean, gamma, weight, *branch = ctx.saved_tensors
        branch = _Branch(*branch)
        g, grad_h, grad_second, grad_outer = _open(grads, branch)  # [T, B, C], [T, B, H]
        grad_bias = streams.mask(grad_h, branch.v)
        grad_half = weight_gradient(grad_h, x)  # [H, C]
        if ctx.needs_input_grad[0]:
            g.flatten(0, 1).addmm_(grad_h.flatten(0, 1), half)
        grad_weight, grad_affine = algebra.absorb_input_back(
            grad_half, *_arrays(grad_bias), ctx.absorbed, *_arrays(weight)
        )  # [H, C], [2, C]
        return g, *_flat(
            _norm_gradients(grad_affine, mean, gamma, ctx.absorbed),
            Linear(*_tensors(grad_weight), grad_bias),
            grad_second,
            grad_outer,
        )


class _TableMlp(Function):
    PARTS = (Norm, Table, Linear, Table, Linear, Outer)

    @staticmethod
    def forward(ctx: Context, x: Tensor, *values: Any) -> Stream:  # noqa: ANN401
        norm, table_in, first, table_hidden, second, outer = _parts(_TableMlp.PARTS, values)
        absorbed = _absorb_norm(norm)
        _, scale, offset = _tensors(*absorbed)
        knots_in, knots_hidden = table_in.values.contiguous(), table_hidden.values.contiguous()
        grid_in, grid_hidden = table_in[1:], table_hidden[1:]
        u = lerp_cpu.forward(x, knots_in, *grid_in, scale, offset)  # [T, B, C]
        half = first.weight.bfloat16()  # [H, C]
        h = product(u, half.t())  # [T, B, H]
        v = lerp_cpu.forward(h, knots_hidden, *grid_hidden, None, first.bias)  # [T, B, H]
        summed, branch = _close(x, v, second, outer)
        ctx.save_for_backward(
            x, u, h, half, norm.mean, norm.gamma, first.bias, knots_in, knots_hidden, *branch
        )
        ctx.absorbed, ctx.grids = absorbed, (grid_in, grid_hidden)
        ctx.set_materialize_grads(False)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, u, h, half, mean, gamma, bias, knots_in, knots_hidden, *branch = ctx.saved_tensors
        grid_in, grid_hidden = ctx.grids
        g, grad_v, grad_second, grad_outer = _open(grads, _Branch(*branch))
        grad_h, grad_hidden, grad_bias, _ = lerp_cpu.affine_backward(
            grad_v, h, knots_hidden, *grid_hidden, None, bias
        )  # [T, B, H], [H, G], [H]
        (grad_weight,) = _tensors(weight_gradient(grad_h, u))  # [H, C]
        grad_u = product(grad_h, half)  # [T, B, C]
        _, scale, offset = _tensors(*ctx.absorbed)
        grad_x, grad_in, grad_offset, grad_scale = lerp_cpu.affine_backward(
            grad_u, x, knots_in, *grid_in, scale, offset, others=g
        )  # [T, B, C], [C, G], [C], [C]
        grad_affine = np.stack(_arrays(grad_scale, grad_offset))
        return grad_x, *_flat(
            _norm_gradients(grad_affine, mean, gamma, ctx.absorbed),
            Table(grad_in, start=None, step=None),
            Linear(grad_weight, grad_bias),
            Table(grad_hidden, start=None, step=None),
            grad_second,
            grad_outer,
        )


def embed(pixels: Tensor, linear: Linear) -> Stream:
    """Compute `plain.embed`."""
    return Stream(*_Embed.apply(pixels, *linear))


def center(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute `plain.center`."""
    return streams.center(pixels) if pixels.dtype == torch.uint8 else pixels.to(dtype) - 128


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


def _close(x: Tensor, v: Tensor, second: Linear, outer: Outer) -> tuple[Stream, _Branch]:
    """Return x + outer(second(v)) with its statistics, and the tensors for its backward `_open`."""
    half, bias = _tensors(
        *algebra.absorb_output(*_arrays(*second), *_arrays(*outer))
    )  # [C, H], [C]
    z = product(v, half.t())  # [T, B, C]
    y = torch.empty_like(z)
    sums = streams.residual(x, z, torch.ones_like(bias), bias.unsqueeze(0), y)
    mean, variance = _statistics(sums, y)
    return Stream(y, mean, variance), _Branch(v, y, mean, half, *second, outer.scale)


def _open(
    grads: tuple[Tensor | None, ...], branch: _Branch
) -> tuple[Tensor, Tensor, Linear, Outer]:
    """Return the gradients of x, v, second and outer; the backward of `_close`.

    `grads` are the gradients of y, its mean and its variance.
    """
    g, _, sums = _run_split(grads, branch.y, branch.mean, None)
    total = sums[:, 0].sum(dim=0)  # [C], gradient of a constant that is added to y
    grad_weight, grad_bias, grad_scale = _tensors(
        *algebra.absorb_output_back(
            weight_gradient(g, branch.v), *_arrays(total, branch.weight, branch.bias, branch.scale)
        )
    )
    grad_v = product(g, branch.half)  # [T, B, H]
    return g, grad_v, Linear(grad_weight, grad_bias), Outer(grad_scale, offset=total)


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return x [T, B, A] @ matrix [A, D], [T, B, D]."""
    return torch.mm(x.flatten(0, 1), matrix).view(*x.shape[:2], -1)


def weight_gradient(grad: Tensor, x: Tensor) -> np.ndarray:
    """Return the sum over all rows of grad ⊗ x, float32 [D, A], for grad [T, B, D] and x [T, B, A].

    PyTorch runs one long sum on one thread, but a batch of shorter sums on all threads.
    """
    parts = math.gcd(len(x), _SUMS)
    grad, x = (stream.view(parts, -1, stream.shape[2]) for stream in (grad, x))
    return algebra.add_halves(*_arrays(torch.bmm(grad.transpose(1, 2), x)))


def relu_product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return relu(x [T, B, A] @ weight [D, A]^T + bias [D]), [T, B, D]."""
    if torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    return torch.addmm(bias, x.flatten(0, 1), weight.t()).relu_().view(*x.shape[:2], -1)


def _statistics(sums: Tensor, y: Tensor) -> list[Tensor]:
    """Return mean [C] and biased variance [C] of the stream y from its sums [U, 2, C]."""
    return _tensors(*algebra.statistics(sums.numpy(), y.shape[0] * y.shape[1]))


def _run_split(
    grads: tuple[Tensor | None, ...], y: Tensor, mean: Tensor, branch: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return `streams.split` for the gradients of y, its mean and its variance (None: zero).

    This is the backward pass of a residual addition.
    """
    grad, *moments = grads
    zero = torch.zeros_like(mean)
    moments = [zero if moment is None else moment for moment in moments]
    count = y.shape[0] * y.shape[1]
    constant, linear = _tensors(*algebra.through_statistics(*_arrays(*moments, mean), count))
    grad = torch.zeros_like(y) if grad is None else grad
    grad = grad[:1] if grad.stride(0) == 0 else grad
    return streams.split(grad.contiguous(), y, constant, linear, branch)


def _absorb_norm(norm: Norm) -> np.ndarray:
    """Return r, scale and offset [3, C] of a norm (see `algebra`)."""
    statistics = _arrays(norm.mean, norm.variance)
    return algebra.absorb_norm(*statistics, norm.eps, *_arrays(norm.gamma, norm.beta))


def _norm_gradients(
    grad_affine: np.ndarray, mean: Tensor, gamma: Tensor, absorbed: np.ndarray
) -> Norm:
    """Return the gradients of a norm's fields.

    `grad_affine` [2, C] holds the gradients of its scale and offset.
    """
    grads = algebra.absorb_norm_back(*grad_affine, *_arrays(mean, gamma), absorbed)
    grad_mean, grad_variance, grad_gamma, grad_beta = _tensors(*grads)
    return Norm(grad_mean, grad_variance, eps=None, gamma=grad_gamma, beta=grad_beta)


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """View tensors as numpy arrays, bfloat16 as uint16 bits."""
    return [
        (t.view(torch.uint16) if t.dtype == torch.bfloat16 else t.detach()).numpy() for t in tensors
    ]


def _tensors(*arrays: np.ndarray) -> list[Tensor]:
    """View numpy arrays as tensors, uint16 bits as bfloat16."""
    return [
        torch.from_numpy(a).view(torch.bfloat16) if a.dtype == np.uint16 else torch.from_numpy(a)
        for a in arrays
    ]
