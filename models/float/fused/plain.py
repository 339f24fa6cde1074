"""The sublayers of `models.float.fused.passes` in plain PyTorch: what each of them computes.

A stream x is [tokens, batch, channels] in any floating-point type. Weights are cast to it; vectors,
tables and statistics stay as they are, float32 or float64. A sublayer takes x, then mean, biased
variance, eps, weight and bias of its norm [C], its own parameters, and last weight and bias of the
affine that closes the branch [C]. It returns the new stream with the mean and variance of every
channel. `models.float.fused.cpu` has the same functions for the CPU; the tests hold them to these.
"""

import torch
from torch import Tensor
from torch.nn import functional

from models.float.activations.lerp import lerp

Norm = tuple[Tensor, Tensor, float, Tensor, Tensor]
Outer = tuple[Tensor, Tensor]
Table = tuple[Tensor, float, float]  # values at the knots [F, G], first knot, step
Summed = tuple[Tensor, Tensor, Tensor]


def center(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pixels - 128: whole numbers of eight bits, exact in bfloat16."""
    return pixels.to(dtype) - 128


def embed(pixels: Tensor, weight: Tensor, bias: Tensor) -> Summed:
    """Return pixels @ weight.T + bias; pixels [T, B, P], weight [C, P], bias [C]."""
    return summed((functional.linear(pixels, weight.to(pixels.dtype)) + bias).to(pixels.dtype))


def token_mixer(x: Tensor, norm: Norm, weight: Tensor, bias: Tensor, outer: Outer) -> Summed:
    """Return x + outer(weight @ norm(x) + bias); weight [T, T], bias [T]."""
    scale, offset = affine(norm)
    mixed = torch.outer(weight.sum(dim=1), offset) + bias.unsqueeze(1)
    shift = torch.addcmul(outer[1], outer[0], mixed)
    z = torch.matmul(weight.to(x.dtype), x.flatten(1)).view(x.shape)
    return summed((x + (outer[0] * scale) * z + shift.unsqueeze(1)).to(x.dtype))


def relu_mlp(
    x: Tensor, norm: Norm, first: tuple[Tensor, Tensor], second: tuple[Tensor, Tensor], outer: Outer
) -> Summed:
    """Return x + outer(second(relu(first(norm(x))))); first, second: weight and bias."""
    scale, offset = affine(norm)
    weight, bias = first[0] * scale, torch.addmv(first[1], first[0], offset)
    h = functional.linear(x, weight.to(x.dtype), bias.to(x.dtype)).relu()
    return add_linear(x, h, second, outer)


def table_mlp(
    x: Tensor,
    norm: Norm,
    table_in: Table,
    first: tuple[Tensor, Tensor],
    table_hidden: Table,
    second: tuple[Tensor, Tensor],
    outer: Outer,
) -> Summed:
    """Return x + outer(second(lerp(first(lerp(norm(x)))))) with a table for either lerp."""
    scale, offset = affine(norm)
    u = lerp(scale * x + offset, *table_in).to(x.dtype)
    h = functional.linear(u, first[0].to(x.dtype))
    v = lerp(h + first[1], *table_hidden).to(x.dtype)
    return add_linear(x, v, second, outer)


def add_linear(x: Tensor, v: Tensor, second: tuple[Tensor, Tensor], outer: Outer) -> Summed:
    """Return x + outer(second(v)); v [T, B, H], second: weight [C, H] and bias [C]."""
    weight = outer[0].unsqueeze(1) * second[0]
    bias = torch.addcmul(outer[1], outer[0], second[1])
    return summed((x + functional.linear(v, weight.to(v.dtype)) + bias).to(x.dtype))


def pool(x: Tensor) -> Tensor:
    """Return the mean over the tokens [B, C], at least in float32."""
    return x.mean(dim=0, dtype=torch.promote_types(x.dtype, torch.float32))


def affine(norm: Norm) -> tuple[Tensor, Tensor]:
    """Return a norm as scale and offset [C]: norm(x) = scale * x + offset."""
    mean, variance, eps, weight, bias = norm
    scale = weight * (variance + eps).rsqrt()
    return scale, bias - scale * mean


def summed(y: Tensor) -> Summed:
    """Return a stream with mean and biased variance of its channels."""
    wide = y.double() if y.dtype == torch.float64 else y.float()
    variance, mean = torch.var_mean(wide, dim=(0, 1), correction=0)
    return y, mean, variance
