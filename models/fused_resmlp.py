"""ResMLP as few passes over memory: the same mathematics as `models.resmlp`, in bfloat16.

A residual stream x [tokens, batch, channels] goes from sublayer to sublayer together with the mean
and variance of its channels, which the pass that wrote it has summed up. A norm is then two vectors,

    s = gamma / sqrt(variance + eps),  d = beta - s * mean,  norm(x) = s * x + d,

and they move into the small tensors beside it, so that no pass over x is left for it:

    token mixer    y = x + (a s) (W x) + [a (sum_j W_ij d + b_i) + c]          a, c: affine_2
    channel MLP    y = x + (a V) act(U (s x + d) + b) + (a e + c)              V, e: linear_2
      ReLU         act(...) = relu((U s) x + (U d + b))
      tables       act_in(s x + d) and act_hidden(x + b) are look-ups of an affine function of x

Tokens come first because W x is then one matrix product over all images.
"""

from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models import _fused_plain
from models._fused_plain import Norm
from models.activations.relu import ReLU
from models.resmlp import Affine, ChannelMlp, ChannelNorm, ResMLP, TokenMixer

_MIDDLE = 128  # pixels less this are whole numbers that bfloat16 holds exactly
_RUNS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # as many pixels, moved as one


class Stream(NamedTuple):
    """Features x [tokens, batch, channels], with mean and biased variance of their channels."""

    x: Tensor
    mean: Tensor
    variance: Tensor


def fused_forward(network: ResMLP, images: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Map pixels 0..255 [batch, 3, 32, 32] to float32 logits, as `network(images)` does.

    Every norm follows its own mode: batch statistics (and an update of the running ones) in
    training mode, running statistics in eval mode. `dtype` is the stream's.
    """
    stream = embed(network, images, dtype)
    for block in network.blocks:
        stream = channel_mlp(block.mlp, token_mixer(block.token_mixer, stream))
    scale, offset = _fused_plain.affine(_norm(network.norm, stream))
    pooled = stream.x.sum(dim=0, dtype=scale.dtype) / len(stream.x)
    return network.classifier(scale * pooled + offset)


def fused_features(
    network: ResMLP, images: Tensor, block: int, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Return the features [batch, tokens, channels] after a block; -1 is the embedding.

    Only the last block gets gradients: what comes before it is frozen in block-wise transfer.
    """
    with torch.no_grad():
        stream = embed(network, images, dtype)
        for part in network.blocks[:block]:
            stream = channel_mlp(part.mlp, token_mixer(part.token_mixer, stream))
    if block >= 0:
        part = network.blocks[block]
        stream = channel_mlp(part.mlp, token_mixer(part.token_mixer, stream))
    return stream.x.transpose(0, 1)


def fused_available(device: torch.device) -> bool:
    """Say whether the passes have kernels of their own on a device; if not, plain PyTorch runs."""
    return device.type == "cpu" and _cpu_operations() is not None


def embed(network: ResMLP, images: Tensor, dtype: torch.dtype) -> Stream:
    """Cut pixels into patches and embed them, the normalisation folded into the weights."""
    linear, normalize, size = network.embed_linear, network.input, network.patchify.patch_size
    weight = linear.weight.view(-1, size, size, 3).permute(0, 3, 1, 2).flatten(2)
    weight = weight / (255 * normalize.std.view(-1, 1))
    shift = _MIDDLE - 255 * normalize.mean
    bias = linear.bias + (weight.sum(dim=2) * shift).sum(dim=1)
    pixels = patches(images, size).to(dtype)
    return Stream(*_operations(pixels).embed(pixels, weight.flatten(1), bias))


def patches(images: Tensor, size: int) -> Tensor:
    """Return pixels - 128 as [tokens, batch, 3 * size * size], in a patch (colour, row, column)."""
    batch, colours, height, width = images.shape
    images = images.contiguous()
    if images.dtype == torch.uint8 and size in _RUNS:
        images = images.view(_RUNS[size])  # the pixels of a patch's row as one
        rows = images.view(batch, colours, height // size, size, width // size, 1)
    else:
        rows = images.view(batch, colours, height // size, size, width // size, size)
    cut = rows.permute(2, 4, 0, 1, 3, 5).contiguous()
    if images.dtype.is_floating_point:
        return cut.flatten(3).flatten(0, 1) - _MIDDLE
    pixels = cut.view(torch.uint8).bitwise_xor_(_MIDDLE).view(torch.int8)
    return pixels.flatten(3).flatten(0, 1)


def token_mixer(mixer: TokenMixer, stream: Stream) -> Stream:
    """Compute `TokenMixer.forward`."""
    linear, norm = mixer.linear, _norm(mixer.affine_1, stream)
    operation = _operations(stream.x).token_mixer
    return Stream(*operation(stream.x, norm, linear.weight, linear.bias, _pair(mixer.affine_2)))


def channel_mlp(mlp: ChannelMlp, stream: Stream) -> Stream:
    """Compute `ChannelMlp.forward`; activations that have no `table` run as they are."""
    x, norm, operations = stream.x, _norm(mlp.affine_1, stream), _operations(stream.x)
    first, second, outer = _pair(mlp.linear_1), _pair(mlp.linear_2), _pair(mlp.affine_2)
    if isinstance(mlp.act_in, nn.Identity) and isinstance(mlp.act_hidden, ReLU):
        return Stream(*operations.relu_mlp(x, norm, first, second, outer))
    if hasattr(mlp.act_in, "table") and hasattr(mlp.act_hidden, "table"):
        tables = mlp.act_in.table(), mlp.act_hidden.table()
        return Stream(*operations.table_mlp(x, norm, tables[0], first, tables[1], second, outer))
    scale, offset = _fused_plain.affine(norm)
    h = functional.linear(mlp.act_in(scale * x + offset).to(x.dtype), first[0].to(x.dtype))
    v = mlp.act_hidden(h + first[1]).to(x.dtype)
    return Stream(*_fused_plain.add_linear(x, v, second, outer))


def _pair(layer: nn.Linear | Affine) -> tuple[Tensor, Tensor]:
    return layer.weight, layer.bias


def _norm(norm: ChannelNorm, stream: Stream) -> Norm:
    """Return what a norm computes with; in training mode track the statistics of its input."""
    if not norm.training:
        return norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    _track(norm, stream)
    return stream.mean, stream.variance, norm.eps, norm.weight, norm.bias


@torch.no_grad()
def _track(norm: ChannelNorm, stream: Stream) -> None:
    """Update the running statistics as BatchNorm does, the variance as an unbiased estimate."""
    count = stream.x.shape[0] * stream.x.shape[1]
    if count < 2:
        raise ValueError("A norm in training mode needs more than one value per channel.")
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(stream.mean, norm.momentum)
    norm.running_var.lerp_(stream.variance * (count / (count - 1)), norm.momentum)


def _operations(x: Tensor) -> ModuleType:
    fused = x.dtype == torch.bfloat16 and fused_available(x.device)
    return (_cpu_operations() if fused else None) or _fused_plain


@cache
def _cpu_operations() -> ModuleType | None:
    try:
        from models import _fused_ops
    except ImportError:
        return None
    return _fused_ops
