"""ResMLP as few passes over memory: the same mathematics as `models.float.resmlp`, in bfloat16.

A residual stream x [tokens, batch, channels] goes from sublayer to sublayer together with mean and
variance of its channels, which the pass that wrote it has summed up. A norm is then two vectors,

    s = gamma / sqrt(variance + eps),  d = beta - s * mean,  norm(x) = s * x + d,

and they move into the small tensors beside it, so that no pass over x is left for it:

    token mixer    y = x + (a s) (W x) + [a (sum_j W_ij d + b_i) + c]          a, c: affine_2
    channel MLP    y = x + (a V) act(U (s x + d) + b) + (a e + c)              V, e: linear_2
      ReLU         act(...) = relu((U s) x + (U d + b))
      tables       act_in(s x + d) and act_hidden(x + b) are look-ups of an affine function of x

Tokens come first because W x is then one matrix product over all images.
"""

import logging
from collections.abc import Callable
from functools import cache, partial
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.float.activations.relu import ReLU
from models.float.fused import plain
from models.float.fused.plain import Linear, Norm, Outer, Stream, Table
from models.float.resmlp import Affine, ChannelMlp, ChannelNorm, ResMLP, TokenMixer

_MIDDLE = 128  # what `center` takes from the pixels
_RUNS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # as many pixels, moved as one

_AMPERE = (8, 0)  # the first compute capability with bfloat16 products

_LOG = logging.getLogger(__name__)

Logits = Callable[[Tensor], Tensor]


def fused_forward(network: ResMLP, images: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Map pixels 0..255 [batch, 3, 32, 32] to float32 logits, as `network(images)` does.

    Every norm follows its own mode: batch statistics (and an update of the running ones) in
    training mode, running statistics in eval mode. `dtype` is the stream's.
    """
    stream = embed(network, images, dtype)
    for block in network.blocks:
        stream = channel_mlp(block.mlp, token_mixer(block.token_mixer, stream))
    scale, offset = plain.affine(_norm(network.norm, stream))
    pooled = _operations(stream.x).pool(stream.x)
    return network.classifier(scale * pooled + offset)


def fused_features(
    network: ResMLP, images: Tensor, block: int, dtype: torch.dtype = torch.bfloat16
) -> Tensor:
    """Return the features [batch, tokens, channels] after a block; -1 is the embedding.

    Only the last block gets gradients: what comes before it is frozen in block-wise transfer.
    """
    with torch.no_grad():
        stream = embed(network, images, dtype)
        for part in network.blocks[: max(block, 0)]:
            stream = channel_mlp(part.mlp, token_mixer(part.token_mixer, stream))
    if block >= 0:
        part = network.blocks[block]
        stream = channel_mlp(part.mlp, token_mixer(part.token_mixer, stream))
    return stream.x.transpose(0, 1)


def fused_available(device: torch.device) -> bool:
    """Say whether this is the fast way on a device: kernels work, and bfloat16 products are fast.

    On CUDA the passes are plain PyTorch's, and fast once torch.compile has made kernels of them.
    Everything here also runs where it is not the fast way.
    """
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= _AMPERE
    return device.type == "cpu" and _cpu_operations() is not None


@torch.no_grad()
def fused_inference(network: ResMLP, dtype: torch.dtype = torch.bfloat16) -> Logits:
    """Return a function from pixels to the float32 logits of `network` in eval mode.

    The network is folded here and now: later changes of its weights are not seen. Where there are
    no kernels (or an activation without `table`) it runs as `fused_forward` does, unfolded, and
    sees them.
    Raises ValueError where the network is in training mode.
    """
    if network.training:
        raise ValueError("fused_inference folds running statistics: call network.eval() first.")
    weight, bias = _embedding(network)
    operations = _operations(weight.to(dtype))
    foldable = all(_is_relu(block.mlp) or _has_tables(block.mlp) for block in network.blocks)
    if operations is plain or not foldable:
        return torch.no_grad()(partial(fused_forward, network, dtype=dtype))
    return _folded(network, operations, weight.to(dtype).t(), bias)


def _folded(network: ResMLP, operations: ModuleType, embedding: Tensor, constant: Tensor) -> Logits:
    from models.float.fused import inference

    steps = []
    for block in network.blocks:
        steps.append(inference.mixer_step(block.token_mixer, constant))
        step, constant = inference.mlp_step(block.mlp, constant)
        steps.append(step)
    scale, offset = inference.affine(network.norm)
    weight = network.classifier.weight * scale
    bias = network.classifier(offset + scale * constant)

    @torch.no_grad()
    def logits(images: Tensor) -> Tensor:
        pixels = patches(images, network.patchify.patch_size)
        x = inference.product(operations.center(pixels, embedding.dtype), embedding)
        for step in steps:
            x = step(x)
        return functional.linear(operations.pool(x), weight, bias)

    return logits


def embed(network: ResMLP, images: Tensor, dtype: torch.dtype) -> Stream:
    """Cut pixels into patches and embed them; the weights absorb the normalisation."""
    pixels = patches(images, network.patchify.patch_size)  # [T, B, P]
    operations = _operations(pixels.new_empty(0, dtype=dtype))
    return operations.embed(operations.center(pixels, dtype), _embedding(network))


def _embedding(network: ResMLP) -> Linear:
    """Return the embedding [C, P] of what `patches` cuts, less `_MIDDLE`."""
    linear, normalize, size = network.embed_linear, network.input, network.patchify.patch_size
    weight = linear.weight.view(-1, size, size, 3).permute(0, 3, 1, 2).flatten(2)  # [C, 3, size^2]
    weight = weight / (255 * normalize.std.view(-1, 1))
    shift = _MIDDLE - 255 * normalize.mean  # [3]
    return Linear(weight.flatten(1), linear.bias + (weight.sum(dim=2) * shift).sum(dim=1))


def patches(images: Tensor, size: int) -> Tensor:
    """Cut pixels into [tokens, batch, 3 * size * size], inside a patch (colour, row, column)."""
    batch, colours, height, width = images.shape
    images = images.contiguous()
    # The uint8 pixels of a patch's row move as one number.
    runs = _RUNS[size] if images.dtype == torch.uint8 and size in _RUNS else images.dtype
    # [B, colour, patch row, row in the patch, patch column, runs]
    rows = images.view(runs).view(batch, colours, height // size, size, width // size, -1)
    # [patch row, patch column, B, colour, row in the patch, runs]
    cut = rows.permute(2, 4, 0, 1, 3, 5).contiguous()
    return cut.flatten(3).flatten(0, 1).view(images.dtype)


def token_mixer(mixer: TokenMixer, stream: Stream) -> Stream:
    """Compute `TokenMixer.forward`."""
    norm, outer = _norm(mixer.affine_1, stream), _outer(mixer.affine_2)
    return _operations(stream.x).token_mixer(stream.x, norm, _linear(mixer.linear), outer)


def channel_mlp(mlp: ChannelMlp, stream: Stream) -> Stream:
    """Compute `ChannelMlp.forward`; activations that have no `table` run as they are."""
    x, norm, operations = stream.x, _norm(mlp.affine_1, stream), _operations(stream.x)
    first, second, outer = _linear(mlp.linear_1), _linear(mlp.linear_2), _outer(mlp.affine_2)
    if _is_relu(mlp):
        return operations.relu_mlp(x, norm, first, second, outer)
    if _has_tables(mlp):
        table_in, table_hidden = Table(*mlp.act_in.table()), Table(*mlp.act_hidden.table())
        return operations.table_mlp(x, norm, table_in, first, table_hidden, second, outer)
    scale, offset = plain.affine(norm)
    u = mlp.act_in(scale * x + offset).to(x.dtype)  # [T, B, C]
    h = functional.linear(u, first.weight.to(x.dtype))  # [T, B, H]
    v = mlp.act_hidden(h + first.bias).to(x.dtype)  # [T, B, H]
    return plain.add_linear(x, v, second, outer)


def _is_relu(mlp: ChannelMlp) -> bool:
    return isinstance(mlp.act_in, nn.Identity) and isinstance(mlp.act_hidden, ReLU)


def _has_tables(mlp: ChannelMlp) -> bool:
    return hasattr(mlp.act_in, "table") and hasattr(mlp.act_hidden, "table")


def _linear(layer: nn.Linear) -> Linear:
    return Linear(layer.weight, layer.bias)


def _outer(affine: Affine) -> Outer:
    return Outer(affine.weight, affine.bias)


def _norm(norm: ChannelNorm, stream: Stream) -> Norm:
    """Return what a norm computes with; in training mode track the statistics of its input."""
    if not norm.training:
        return Norm(norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    _track(norm, stream)
    return Norm(stream.mean, stream.variance, norm.eps, norm.weight, norm.bias)


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
    fused = x.dtype == torch.bfloat16 and x.device.type == "cpu"
    return (_cpu_operations() if fused else None) or plain


@cache
def _cpu_operations() -> ModuleType | None:
    """Import the CPU forms once; where they do not work log one line and return None."""
    try:
        from models.float.fused import cpu

        fast = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    except Exception as error:  # no compiler, or a broken one, must not stop a training run
        _LOG.info("fused ResMLP: plain PyTorch on the CPU (%r)", error)
        return None
    return cpu if fast else None
