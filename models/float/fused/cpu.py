"""The sublayers of `models.float.fused.plain` on bfloat16 streams on the CPU, with their gradients.

Matrix products are PyTorch's, the passes between them the kernels of `_fused_cpu`, the algebra of
the small tensors is in `_fused_fold`. The gradient of x passes the residual connection in the
buffer into which the last matrix product of the backward pass adds the branch's.
"""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from models.float.activations.kernels import lerp_cpu
from models.float.fused import algebra as _fused_fold
from models.float.fused import streams as _fused_cpu
from models.float.fused.plain import Norm, Outer, Summed, Table

_SUMS = 8  # parts of a weight gradient

Context = Any  # what torch calls FunctionCtx, with the attributes that each forward sets
Grads = tuple[Any, ...]


class _Embed(Function):
    @staticmethod
    def forward(ctx: Context, pixels: Tensor, weight: Tensor, bias: Tensor) -> Summed:
        z = product(pixels, weight.bfloat16().t())
        y = torch.empty_like(z)
        none = torch.zeros_like(bias)
        sums = _fused_cpu.residual(z, z, none, bias.unsqueeze(0), y)
        mean, variance = _statistics(sums, y)
        ctx.save_for_backward(pixels, y, mean)
        ctx.set_materialize_grads(False)
        return y, mean, variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        pixels, y, mean = ctx.saved_tensors
        g, _, sums = _run_split(grads, y, mean, None)
        return None, *_tensors(_weight_gradient(g, pixels)), sums[:, 0].sum(dim=0)


class _TokenMixer(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, *parameters: Any) -> Summed:  # noqa: ANN401
        mean, variance, eps, gamma, beta, *own = parameters
        norm = _fused_fold.fold_norm(*_arrays(mean, variance), eps, *_arrays(gamma, beta))
        half, scale, shift = _tensors(*_fused_fold.fold_mixer(norm, *_arrays(*own)))
        z = torch.mm(half, x.flatten(1)).view(x.shape)
        y = torch.empty_like(x)
        sums = _fused_cpu.residual(x, z, scale, shift, y)
        y_mean, y_variance = _statistics(sums, y)
        ctx.save_for_backward(x, half, scale, z, y, y_mean, mean, gamma, *own)
        ctx.norm = norm
        ctx.set_materialize_grads(False)
        return y, y_mean, y_variance

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, half, scale, z, y, y_mean, mean, gamma, weight, bias, outer, _ = ctx.saved_tensors
        g, dz, sums = _run_split(grads, y, y_mean, (z, scale))
        flat = dz.flatten(1)
        grad_folded = torch.mm(flat, x.flatten(1).t()).float()
        if ctx.needs_input_grad[0]:
            g.flatten(1).addmm_(half.t(), flat)
        grad_weight, grad_bias, grad_outer, grad_affine = _fused_fold.unfold_mixer(
            *_arrays(grad_folded, sums[:, 1].sum(dim=0), sums[:, 0].contiguous()),
            ctx.norm,
            *_arrays(weight, bias, outer),
        )
        norm_grads = _norm_gradients(grad_affine, mean, gamma, ctx.norm)
        return g, *norm_grads, *_tensors(grad_weight, grad_bias, *grad_outer)


class _Pool(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor) -> Tensor:
        ctx.shape = x.shape
        return _fused_cpu.pool(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, grad: Tensor) -> Tensor:
        return (grad / ctx.shape[0]).bfloat16().expand(ctx.shape)  # one token's rows, for all


class _ReluMlp(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, *parameters: Any) -> Summed:  # noqa: ANN401
        mean, variance, eps, gamma, beta, weight, bias, *closing = parameters
        norm = _fused_fold.fold_norm(*_arrays(mean, variance), eps, *_arrays(gamma, beta))
        half, half_bias = _tensors(*_fused_fold.fold_first(norm, *_arrays(weight, bias)))
        h = relu_product(x, half, half_bias)
        summed, saved = _close(x, h, closing)
        ctx.save_for_backward(x, half, mean, gamma, weight, *saved)
        ctx.norm = norm
        ctx.set_materialize_grads(False)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, half, mean, gamma, weight, *saved = ctx.saved_tensors
        g, grad_h, closing_grads = _open(grads, saved)
        grad_bias = _fused_cpu.mask(grad_h, saved[0])
        grad_folded = _weight_gradient(grad_h, x)
        if ctx.needs_input_grad[0]:
            g.flatten(0, 1).addmm_(grad_h.flatten(0, 1), half)
        grad_weight, grad_affine = _fused_fold.unfold_first(
            grad_folded, *_arrays(grad_bias), ctx.norm, *_arrays(weight)
        )
        norm_grads = _norm_gradients(grad_affine, mean, gamma, ctx.norm)
        return g, *norm_grads, *_tensors(grad_weight), grad_bias, *closing_grads


class _TableMlp(Function):
    @staticmethod
    def forward(ctx: Context, x: Tensor, *parameters: Any) -> Summed:  # noqa: ANN401
        mean, variance, eps, gamma, beta, table_in, *parameters = parameters
        start_in, step_in, weight, bias, table_hidden, start, step, *closing = parameters
        norm = _fused_fold.fold_norm(*_arrays(mean, variance), eps, *_arrays(gamma, beta))
        _, scale, offset = _tensors(*norm)
        table_in, table_hidden = table_in.contiguous(), table_hidden.contiguous()
        u = lerp_cpu.forward(x, table_in, start_in, step_in, scale, offset)
        half = weight.bfloat16()
        h = product(u, half.t())
        v = lerp_cpu.forward(h, table_hidden, start, step, None, bias)
        summed, saved = _close(x, v, closing)
        ctx.save_for_backward(x, u, h, half, mean, gamma, bias, table_in, table_hidden, *saved)
        ctx.norm, ctx.grids = norm, ((start_in, step_in), (start, step))
        ctx.set_materialize_grads(False)
        return summed

    @staticmethod
    @once_differentiable
    def backward(ctx: Context, *grads: Tensor | None) -> Grads:
        x, u, h, half, mean, gamma, bias, table_in, table_hidden, *saved = ctx.saved_tensors
        g, grad_v, closing_grads = _open(grads, saved)
        grad_h, grad_hidden, grad_bias, _ = lerp_cpu.affine_backward(
            grad_v, h, table_hidden, *ctx.grids[1], None, bias
        )
        (grad_weight,) = _tensors(_weight_gradient(grad_h, u))
        grad_u = product(grad_h, half)
        _, scale, offset = _tensors(*ctx.norm)
        grad_x, grad_in, grad_offset, grad_scale = lerp_cpu.affine_backward(
            grad_u, x, table_in, *ctx.grids[0], scale, offset, others=g
        )
        grad_affine = np.stack(_arrays(grad_scale, grad_offset))
        norm_grads = _norm_gradients(grad_affine, mean, gamma, ctx.norm)
        own = (grad_in, None, None, grad_weight, grad_bias, grad_hidden, None, None)
        return grad_x, *norm_grads, *own, *closing_grads


def embed(pixels: Tensor, weight: Tensor, bias: Tensor) -> Summed:
    """Compute `_fused_plain.embed`."""
    return _Embed.apply(pixels, weight, bias)


def center(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute `_fused_plain.center`."""
    return _fused_cpu.center(pixels) if pixels.dtype == torch.uint8 else pixels.to(dtype) - 128


def token_mixer(x: Tensor, norm: Norm, weight: Tensor, bias: Tensor, outer: Outer) -> Summed:
    """Compute `_fused_plain.token_mixer`."""
    return _TokenMixer.apply(x, *norm, weight, bias, *outer)


def relu_mlp(
    x: Tensor, norm: Norm, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], outer: Outer
) -> Summed:
    """Compute `_fused_plain.relu_mlp`."""
    return _ReluMlp.apply(x, *norm, *first, *second, *outer)


def table_mlp(
    x: Tensor,
    norm: Norm,
    table_in: Table,
    first: tuple[Tensor, Tensor],
    table_hidden: Table,
    second: tuple[Tensor, Tensor],
    outer: Outer,
) -> Summed:
    """Compute `_fused_plain.table_mlp`."""
    return _TableMlp.apply(x, *norm, *table_in, *first, *table_hidden, *second, *outer)


def pool(x: Tensor) -> Tensor:
    """Compute `_fused_plain.pool`."""
    return _Pool.apply(x)


def _close(x: Tensor, v: Tensor, closing: list[Tensor]) -> tuple[Summed, tuple[Tensor, ...]]:
    """Return x + outer(second(v)) with its statistics, and what `_open` needs of it."""
    half, bias = _tensors(*_fused_fold.fold_second(*_arrays(*closing)))
    z = product(v, half.t())
    y = torch.empty_like(z)
    sums = _fused_cpu.residual(x, z, torch.ones_like(bias), bias.unsqueeze(0), y)
    mean, variance = _statistics(sums, y)
    return (y, mean, variance), (v, y, mean, half, *closing[:3])


def _open(
    grads: tuple[Tensor | None, ...], saved: list[Tensor]
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return the gradients of x, of v and of `closing` from those of y, its mean and variance."""
    v, y, mean, half, weight, bias, outer = saved
    g, _, sums = _run_split(grads, y, mean, None)
    total = sums[:, 0].sum(dim=0)
    small = _fused_fold.unfold_second(_weight_gradient(g, v), *_arrays(total, weight, bias, outer))
    return g, product(g, half), (*_tensors(*small), total)


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return x [tokens, batch, A] @ matrix [A, B]."""
    return torch.mm(x.flatten(0, 1), matrix).view(*x.shape[:2], -1)


def _weight_gradient(grad: Tensor, x: Tensor) -> np.ndarray:
    """Return the sum over all rows of grad ⊗ x, float32.

    PyTorch gives one long sum to one thread; a batch of shorter ones goes to all.
    """
    parts = math.gcd(len(x), _SUMS)
    grad, x = (stream.view(parts, -1, stream.shape[2]) for stream in (grad, x))
    return _fused_fold.add_halves(*_arrays(torch.bmm(grad.transpose(1, 2), x)))


def relu_product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return relu(x [tokens, batch, A] @ weight [B, A]^T + bias [B])."""
    if torch.backends.mkldnn.is_available():
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    return torch.addmm(bias, x.flatten(0, 1), weight.t()).relu_().view(*x.shape[:2], -1)


def _statistics(sums: Tensor, y: Tensor) -> list[Tensor]:
    """Return mean and biased variance [C] of the stream y from its sums."""
    return _tensors(*_fused_fold.statistics(sums.numpy(), y.shape[0] * y.shape[1]))


def _run_split(
    grads: tuple[Tensor | None, ...], y: Tensor, mean: Tensor, branch: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Run the backward pass of a residual addition from the gradients of y, mean and variance."""
    grad, *moments = grads
    zero = torch.zeros_like(mean)
    moments = [zero if moment is None else moment for moment in moments]
    count = y.shape[0] * y.shape[1]
    constant, linear = _tensors(*_fused_fold.through_statistics(*_arrays(*moments, mean), count))
    grad = torch.zeros_like(y) if grad is None else grad
    grad = grad[:1] if grad.stride(0) == 0 else grad
    return _fused_cpu.split(grad.contiguous(), y, constant, linear, branch)


def _norm_gradients(
    grad_affine: np.ndarray, mean: Tensor, gamma: Tensor, norm: np.ndarray
) -> tuple[Tensor | None, ...]:
    """Return the gradients of mean, variance, eps (None), gamma and beta."""
    grads = _fused_fold.unfold_norm(*grad_affine, *_arrays(mean, gamma), norm)
    mean, variance, gamma, beta = _tensors(*grads)
    return mean, variance, None, gamma, beta


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    """View tensors as arrays, bfloat16 as its bits."""
    return [
        (t.view(torch.uint16) if t.dtype == torch.bfloat16 else t.detach()).numpy() for t in tensors
    ]


def _tensors(*arrays: np.ndarray) -> list[Tensor]:
    """View arrays as tensors, bits as bfloat16."""
    return [
        torch.from_numpy(a).view(torch.bfloat16) if a.dtype == np.uint16 else torch.from_numpy(a)
        for a in arrays
    ]
