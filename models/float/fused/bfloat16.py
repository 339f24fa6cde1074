"""The matrix products and passes of a sublayer for bfloat16 streams in memory [T, B, C].

`float32` has the same functions for the other type. Shapes, sums and gradients are explained there;
matrices are bfloat16, vectors and sums float32 or float64. Products are PyTorch's; the passes
between them are the kernels of `streams`. In the backward pass, the gradient of x through the
residual connection is written to a buffer, and the last matrix product adds the gradient through
the branch to it.
"""

import math

import torch
from torch import Tensor

from models.float.activations.kernels import lerp_cpu
from models.float.fused import algebra, streams
from models.float.fused.parts import (
    Coefficients,
    Mlp,
    MlpGrads,
    MlpStreams,
    TableGrads,
    Tables,
    arrays,
    tensors,
)
from models.float.precision import multiplies_bfloat16

DTYPE = torch.bfloat16
_SUMS = 8  # partial sums of a weight gradient


def center(pixels: Tensor) -> Tensor:
    """Return pixels minus 128."""
    return streams.center(pixels) if pixels.dtype == torch.uint8 else pixels.to(DTYPE) - 128


def pool(x: Tensor) -> Tensor:
    """Return the mean of a stream over its tokens, float32 [B, C]."""
    return streams.pool(x)


def embed(pixels: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return the stream weight @ pixels + bias and its sums."""
    z = product(pixels, weight.t())  # [T, B, P] @ [P, C]
    y = torch.empty_like(z)
    return y, streams.residual(z, z, torch.zeros_like(bias), bias.unsqueeze(0), y)


def embed_back(
    grad: Tensor, coefficients: Coefficients, y: Tensor, pixels: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of weight [C, P] and bias [C]."""
    g, _, sums = streams.split(grad.contiguous(), y, *coefficients, None)
    return weight_gradient(g, pixels), sums[:, 0].sum(dim=0)


def mixer(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return z = weight @ x, the stream x + scale * z + shift, and its sums."""
    z = torch.mm(weight, x.flatten(1)).view(x.shape)  # [T, T] @ [T, B * C]
    y = torch.empty_like(x)
    return z, y, streams.residual(x, z, scale, shift, y)


def mixer_back(
    grad: Tensor,
    coefficients: Coefficients,
    y: Tensor,
    x: Tensor,
    z: Tensor,
    weight: Tensor,
    scale: Tensor,
    deep: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x, weight [T, T], scale [C] and shift [T, C].

    Without `deep` that of x is not finished.
    """
    # [T, B, C] twice, [T, 2, C]
    g, dz, sums = streams.split(grad.contiguous(), y, *coefficients, (z, scale))
    flat = dz.flatten(1)  # [T, B * C]
    grad_weight = torch.mm(flat, x.flatten(1).t()).float()  # [T, T]
    if deep:
        g.flatten(1).addmm_(weight.t(), flat)
    return g, grad_weight, sums[:, 1].sum(dim=0), sums[:, 0].contiguous()


def relu_mlp(x: Tensor, mlp: Mlp) -> tuple[MlpStreams, Tensor]:
    """Return the streams of x + second @ relu(first @ x + bias_hidden) + bias, and its sums."""
    v = relu_product(x, mlp.first, mlp.bias_hidden)  # [T, B, H]
    y, sums = _close(x, v, mlp)
    return MlpStreams(None, None, v, y), sums


def relu_mlp_back(
    grad: Tensor, coefficients: Coefficients, x: Tensor, found: MlpStreams, mlp: Mlp, deep: bool
) -> MlpGrads:
    """Return the gradients of `relu_mlp`; without `deep` that of x is not finished."""
    g, grad_h, total, grad_second = _open(grad, coefficients, found, mlp)
    grad_bias = streams.mask(grad_h, found.v)
    grad_first = weight_gradient(grad_h, x)  # [H, C]
    if deep:
        g.flatten(0, 1).addmm_(grad_h.flatten(0, 1), mlp.first)
    return MlpGrads(g, grad_first, grad_bias, grad_second, total)


def table_mlp(x: Tensor, mlp: Mlp, tables: Tables) -> tuple[MlpStreams, Tensor]:
    """Return the streams of x + second @ lerp(first @ lerp(scale * x + offset) + ...) + bias.

    The sums of the last one are returned, too.
    """
    u = lerp_cpu.forward(x, *tables.entry, tables.scale, tables.offset)  # [T, B, C]
    h = product(u, mlp.first.t())  # [T, B, H]
    v = lerp_cpu.forward(h, *tables.hidden, None, mlp.bias_hidden)  # [T, B, H]
    y, sums = _close(x, v, mlp)
    return MlpStreams(u, h, v, y), sums


def table_mlp_back(
    grad: Tensor, coefficients: Coefficients, x: Tensor, found: MlpStreams, mlp: Mlp, tables: Tables
) -> tuple[MlpGrads, TableGrads]:
    """Return the gradients of `table_mlp`."""
    g, grad_v, total, grad_second = _open(grad, coefficients, found, mlp)
    grad_h, grad_hidden, grad_bias, _ = lerp_cpu.affine_backward(
        grad_v, found.h, *tables.hidden, None, mlp.bias_hidden
    )  # [T, B, H], [H, G], [H]
    grad_first = weight_gradient(grad_h, found.u)  # [H, C]
    grad_u = product(grad_h, mlp.first)  # [T, B, C]
    grad_x, grad_in, grad_offset, grad_scale = lerp_cpu.affine_backward(
        grad_u, x, *tables.entry, tables.scale, tables.offset, others=g
    )  # [T, B, C], [C, G], [C], [C]
    grads = MlpGrads(grad_x, grad_first, grad_bias, grad_second, total)
    return grads, TableGrads(grad_in, grad_hidden, grad_scale, grad_offset)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """Return the stream weight @ x; weight [D, A]."""
    return product(x, weight.t())


def mixed(x: Tensor, weight: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return x + scale * (weight @ x) + shift."""
    _, y, _ = mixer(x, weight, scale, shift)
    return y


def transformed(x: Tensor, mlp: Mlp, tables: Tables | None) -> Tensor:
    """Add an MLP whose last bias is zero to the stream x, in place; return x."""
    if tables is None:
        v = relu_product(x, mlp.first, mlp.bias_hidden)
    else:
        u = lerp_cpu.forward(x, *tables.entry, tables.scale, tables.offset)
        v = lerp_cpu.forward(product(u, mlp.first.t()), *tables.hidden, None, mlp.bias_hidden)
    x.flatten(0, 1).addmm_(v.flatten(0, 1), mlp.second.t())
    return x


def product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return x [T, B, A] @ matrix [A, D], [T, B, D]."""
    return torch.mm(x.flatten(0, 1), matrix).view(*x.shape[:2], -1)


def weight_gradient(grad: Tensor, x: Tensor) -> Tensor:
    """Return the sum over all rows of grad ⊗ x, float32 [D, A], for grad [T, B, D] and x [T, B, A].

    PyTorch runs one long sum on one thread, but a batch of shorter sums on all threads.
    """
    parts = math.gcd(len(x), _SUMS)
    grad, x = (stream.view(parts, -1, stream.shape[2]) for stream in (grad, x))
    (total,) = tensors(algebra.add_parts(*arrays(torch.bmm(grad.transpose(1, 2), x))))
    return total


def relu_product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return relu(x [T, B, A] @ weight [D, A]^T + bias [D]), [T, B, D]."""
    if multiplies_bfloat16(x.device):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
    return torch.addmm(bias, x.flatten(0, 1), weight.t()).relu_().view(*x.shape[:2], -1)


def _close(x: Tensor, v: Tensor, mlp: Mlp) -> tuple[Tensor, Tensor]:
    """Return x + second @ v + bias and its sums."""
    z = product(v, mlp.second.t())  # [T, B, C]
    y = torch.empty_like(z)
    return y, streams.residual(x, z, torch.ones_like(mlp.bias), mlp.bias.unsqueeze(0), y)


def _open(
    grad: Tensor, coefficients: Coefficients, found: MlpStreams, mlp: Mlp
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of x and v (streams), bias [C] and second [C, H].

    This is the backward pass of `_close`.
    """
    g, _, sums = streams.split(grad.contiguous(), found.y, *coefficients, None)
    return g, product(g, mlp.second), sums[:, 0].sum(dim=0), weight_gradient(g, found.v)
