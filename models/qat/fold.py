"""Fold a trained ResMLP: BatchNorms become affines, and neighbouring layers absorb affines.

See docs/published-system.md §3. The folded network is also a `ResMLP` and computes the same
function in eval mode. These parts remain: the embedding and the classifier; per block, the
cross-patch affine_1, linear and affine_2, the cross-channel linear_1 and linear_2 and, if
learnable, the two activations.
"""

import copy

import torch
from torch import Tensor, nn

from models.float.resmlp import Affine, ChannelMlp, ChannelNorm, ResMLP


@torch.no_grad()
def fold(network: ResMLP) -> ResMLP:
    """Return a folded copy of `network`, in eval mode; `network` itself is not changed."""
    folded = copy.deepcopy(network).eval()
    for block in folded.blocks:
        block.token_mixer.affine_1 = norm_to_affine(block.token_mixer.affine_1)
        _fold_channel_mlp(block.mlp)
    absorb_input(folded.classifier, norm_to_affine(folded.norm))
    folded.norm = nn.Identity()
    return folded


@torch.no_grad()
def norm_to_affine(norm: ChannelNorm) -> Affine:
    """Return the affine that equals a BatchNorm in eval mode."""
    scale, offset = _affine_of(norm)
    affine = Affine(norm.num_features).to(norm.weight)  # same device and dtype
    affine.weight.copy_(scale)
    affine.bias.copy_(offset)
    return affine


@torch.no_grad()
def absorb_input(linear: nn.Linear, affine: Affine) -> None:
    """Change `linear`, in place, to compute linear(affine(x)): W <- W·a, b <- b + W·d.

    a and d are weight and bias of the affine.
    """
    linear.bias += linear.weight @ affine.bias
    linear.weight *= affine.weight


@torch.no_grad()
def absorb_output(linear: nn.Linear, affine: Affine) -> None:
    """Change `linear`, in place, to compute affine(linear(x)): W <- a·W, b <- a·b + d.

    a and d are weight and bias of the affine.
    """
    linear.weight *= affine.weight.unsqueeze(1)
    linear.bias.mul_(affine.weight).add_(affine.bias)


def _affine_of(norm: ChannelNorm) -> tuple[Tensor, Tensor]:
    scale = norm.weight / (norm.running_var + norm.eps).sqrt()
    return scale, norm.bias - scale * norm.running_mean


def _fold_channel_mlp(mlp: ChannelMlp) -> None:
    affine = norm_to_affine(mlp.affine_1)
    if isinstance(mlp.act_in, nn.Identity):
        absorb_input(mlp.linear_1, affine)
    else:
        mlp.act_in = nn.Sequential(affine, mlp.act_in)
    absorb_output(mlp.linear_2, mlp.affine_2)
    mlp.affine_1, mlp.affine_2 = nn.Identity(), nn.Identity()
