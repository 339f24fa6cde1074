"""Fold a trained ResMLP once into few weights, for many forward passes on the CPU.

Every norm becomes scale * x + offset with its running statistics. A channel MLP adds a constant to
each channel. This constant is not added to the stream; it is carried along as a vector, and later
layers absorb it. With bfloat16 streams, half of the passes over the stream so become part of matrix
products.

So the true stream is x + constant at every step, with constant [C]; the caller adds the last one at
the end. Shapes: T tokens, B images, C channels, H hidden channels.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.float.fused import plain
from models.float.fused.cpu import operations
from models.float.fused.parts import Mlp, Tables
from models.float.resmlp import ChannelMlp, ChannelNorm, TokenMixer

Step = Callable[[Tensor], Tensor]


def mixer_step(mixer: TokenMixer, constant: Tensor, dtype: torch.dtype) -> Step:
    """Return the function x -> mixer(x + constant) - constant on streams [T, B, C] of a type."""
    scale, offset = affine(mixer.affine_1)
    weight, outer = mixer.linear.weight, mixer.affine_2
    # What the weight makes of the norm of a constant: each row's sum times that vector.
    mixed = torch.outer(weight.sum(dim=1), offset + scale * constant)  # [T, C]
    shift = torch.addcmul(outer.bias, outer.weight, mixed + mixer.linear.bias.unsqueeze(1))
    matrix, factor = weight.to(dtype, copy=True), outer.weight * scale
    mixed_stream = operations(dtype).mixed

    def step(x: Tensor) -> Tensor:
        return mixed_stream(x, matrix, factor, shift)

    return step


def mlp_step(mlp: ChannelMlp, constant: Tensor, dtype: torch.dtype) -> tuple[Step, Tensor]:
    """Return the function x -> mlp(x + constant) - new constant, and the new constant [C].

    The function may change its stream [T, B, C].
    """
    scale, offset = affine(mlp.affine_1)
    offset = offset + scale * constant
    first, second, outer = mlp.linear_1, mlp.linear_2, mlp.affine_2
    back = (outer.weight.unsqueeze(1) * second.weight).to(dtype)  # [C, H]
    constant = constant + torch.addcmul(outer.bias, outer.weight, second.bias)
    none = torch.zeros_like(constant)
    if hasattr(mlp.act_hidden, "table"):
        # The tables cannot absorb the norm: their scale and offset go along as they are.
        matrix, bias = first.weight.to(dtype, copy=True), first.bias.clone()  # [H, C], [H]
        entry, hidden = (_copied(act.table()) for act in (mlp.act_in, mlp.act_hidden))
        tables = Tables(entry, hidden, scale, offset)
    else:
        matrix = (first.weight * scale).to(dtype)
        bias = torch.addmv(first.bias, first.weight, offset).to(dtype)
        tables = None
    absorbed, transformed = Mlp(matrix, bias, back, none), operations(dtype).transformed

    def step(x: Tensor) -> Tensor:
        return transformed(x, absorbed, tables)

    return step, constant


def affine(norm: ChannelNorm) -> tuple[Tensor, Tensor]:
    """Return scale and offset [C] of a norm in eval mode, i.e. with its running statistics."""
    statistics = norm.running_mean, norm.running_var
    return plain.affine(plain.Norm(*statistics, norm.eps, norm.weight, norm.bias))


def _copied(table: tuple[Tensor, float, float]) -> tuple[Tensor, float, float]:
    values, start, step = table
    return values.clone(), start, step
