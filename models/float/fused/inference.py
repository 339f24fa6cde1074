"""Fold a trained ResMLP once into bfloat16 weights, for many forward passes on the CPU.

Every norm becomes scale * x + offset with its running statistics. A channel MLP adds a constant to
each channel. This constant is not added to the stream; it is carried along as a vector, and later
layers absorb it. As a result half of the passes over the stream become part of matrix products.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from models.float.activations.kernels import lerp_cpu
from models.float.fused import plain, streams
from models.float.fused.cpu import product, relu_product
from models.float.resmlp import ChannelMlp, ChannelNorm, TokenMixer

Step = Callable[[Tensor], Tensor]


def mixer_step(mixer: TokenMixer, constant: Tensor) -> Step:
    """Return the function x -> mixer(x + constant) - constant on streams [T, B, C]."""
    scale, offset = affine(mixer.affine_1)
    weight, outer = mixer.linear.weight, mixer.affine_2
    mixed = torch.outer(weight.sum(dim=1), offset + scale * constant)  # [T, C]
    shift = torch.addcmul(outer.bias, outer.weight, mixed + mixer.linear.bias.unsqueeze(1))
    half, factor = weight.bfloat16(), outer.weight * scale

    def step(x: Tensor) -> Tensor:
        z, y = torch.mm(half, x.flatten(1)).view(x.shape), torch.empty_like(x)
        streams.residual(x, z, factor, shift, y)
        return y

    return step


def mlp_step(mlp: ChannelMlp, constant: Tensor) -> tuple[Step, Tensor]:
    """Return the function x -> mlp(x + constant) - new constant, and the new constant [C].

    The function changes its stream [T, B, C] in place.
    """
    scale, offset = affine(mlp.affine_1)
    offset = offset + scale * constant
    first, second, outer = mlp.linear_1, mlp.linear_2, mlp.affine_2
    back = (outer.weight.unsqueeze(1) * second.weight).bfloat16().t()
    constant = constant + torch.addcmul(outer.bias, outer.weight, second.bias)
    if hasattr(mlp.act_hidden, "table"):
        branch = _table_branch(mlp, scale, offset)
    else:
        weight = (first.weight * scale).bfloat16()
        bias = torch.addmv(first.bias, first.weight, offset).bfloat16()

        def branch(x: Tensor) -> Tensor:
            return relu_product(x, weight, bias)

    def step(x: Tensor) -> Tensor:
        x.flatten(0, 1).addmm_(branch(x).flatten(0, 1), back)
        return x

    return step, constant


def _table_branch(mlp: ChannelMlp, scale: Tensor, offset: Tensor) -> Step:
    table_in, *grid_in = mlp.act_in.table()
    table, *grid = mlp.act_hidden.table()
    weight, bias = mlp.linear_1.weight.bfloat16().t(), mlp.linear_1.bias.clone()
    table_in, table = table_in.clone(), table.clone()

    def branch(x: Tensor) -> Tensor:
        u = lerp_cpu.forward(x, table_in, *grid_in, scale, offset)  # [T, B, C]
        return lerp_cpu.forward(product(u, weight), table, *grid, None, bias)

    return branch


def affine(norm: ChannelNorm) -> tuple[Tensor, Tensor]:
    """Return scale and offset [C] of a norm in eval mode, i.e. with its running statistics."""
    statistics = norm.running_mean, norm.running_var
    return plain.affine(plain.Norm(*statistics, norm.eps, norm.weight, norm.bias))
