"""The sublayers of `models.float.fused.passes` in plain PyTorch; this is their definition.

A stream x is [tokens, batch, channels] in any floating-point type. Weights are cast to this type;
vectors, tables and statistics keep theirs, float32 or float64. A sublayer takes x, the norm before
it, its own layers, and the affine at the end of the branch. `models.float.fused.cpu` has the same
functions for the CPU; tests compare them with these.

Shapes: T tokens, B images of a batch, C channels of the stream, H hidden channels, P values of a
patch, F channels and G knots of a table.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from models.float.activations.interpolation import lerp


class Stream(NamedTuple):
    """Features x [T, B, C] with the mean [C] and biased variance [C] of their channels."""

    x: Tensor
    mean: Tensor
    variance: Tensor


class Norm(NamedTuple):
    """A norm's parameters and the statistics with which it normalises; vectors [C]."""

    mean: Tensor
    variance: Tensor
    eps: float
    gamma: Tensor
    beta: Tensor


class Linear(NamedTuple):
    """A linear layer: weight [out, in] and bias [out]."""

    weight: Tensor
    bias: Tensor


class Table(NamedTuple):
    """A learned function per channel: values at the knots [F, G], first knot and step."""

    values: Tensor
    start: float
    step: float


class Outer(NamedTuple):
    """The affine at the end of a branch: scale and offset per channel [C]."""

    scale: Tensor
    offset: Tensor


def center(pixels: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pixels - 128: 8-bit integers, which are exact in bfloat16."""
    return pixels.to(dtype) - 128


def embed(pixels: Tensor, linear: Linear) -> Stream:
    """Return linear(pixels); pixels [T, B, P]."""
    z = functional.linear(pixels, linear.weight.to(pixels.dtype))  # [T, B, C]
    return summed((z + linear.bias).to(pixels.dtype))


def token_mixer(x: Tensor, norm: Norm, linear: Linear, outer: Outer) -> Stream:
    """Return x + outer(weight @ norm(x) + bias); weight [T, T], bias [T]."""
    scale, offset = affine(norm)
    mixed = torch.outer(linear.weight.sum(dim=1), offset) + linear.bias.unsqueeze(1)  # [T, C]
    shift = torch.addcmul(outer.offset, outer.scale, mixed)
    z = torch.matmul(linear.weight.to(x.dtype), x.flatten(1)).view(x.shape)  # over T; [T, B, C]
    return summed((x + (outer.scale * scale) * z + shift.unsqueeze(1)).to(x.dtype))


def relu_mlp(x: Tensor, norm: Norm, first: Linear, second: Linear, outer: Outer) -> Stream:
    """Return x + outer(second(relu(first(norm(x)))))."""
    scale, offset = affine(norm)
    weight = first.weight * scale  # [H, C]
    bias = torch.addmv(first.bias, first.weight, offset)  # [H]
    h = functional.linear(x, weight.to(x.dtype), bias.to(x.dtype)).relu()  # [T, B, H]
    return add_linear(x, h, second, outer)


def table_mlp(
    x: Tensor,
    norm: Norm,
    table_in: Table,
    first: Linear,
    table_hidden: Table,
    second: Linear,
    outer: Outer,
) -> Stream:
    """Return x + outer(second(lerp(first(lerp(norm(x)))))), with one table for each lerp."""
    scale, offset = affine(norm)
    u = lerp(scale * x + offset, *table_in).to(x.dtype)  # [T, B, C]
    h = functional.linear(u, first.weight.to(x.dtype))  # [T, B, H]
    v = lerp(h + first.bias, *table_hidden).to(x.dtype)  # [T, B, H]
    return add_linear(x, v, second, outer)


def add_linear(x: Tensor, v: Tensor, second: Linear, outer: Outer) -> Stream:
    """Return x + outer(second(v)); v [T, B, H]."""
    weight = outer.scale.unsqueeze(1) * second.weight  # [C, H]
    bias = torch.addcmul(outer.offset, outer.scale, second.bias)  # [C]
    return summed((x + functional.linear(v, weight.to(v.dtype)) + bias).to(x.dtype))


def pool(x: Tensor) -> Tensor:
    """Return the mean over the tokens [B, C], in float32 or wider."""
    return x.mean(dim=0, dtype=torch.promote_types(x.dtype, torch.float32))


def affine(norm: Norm) -> tuple[Tensor, Tensor]:
    """Return scale and offset [C] of a norm: norm(x) = scale * x + offset."""
    scale = norm.gamma * (norm.variance + norm.eps).rsqrt()
    return scale, norm.beta - scale * norm.mean


def summed(x: Tensor) -> Stream:
    """Return features [T, B, C] as a stream with the mean and biased variance of their channels."""
    wide = x.double() if x.dtype == torch.float64 else x.float()
    variance, mean = torch.var_mean(wide, dim=(0, 1), correction=0)
    return Stream(x, mean, variance)
