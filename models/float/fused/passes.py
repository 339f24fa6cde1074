"""The ResMLP in few passes over memory: the mathematics of `models.float.resmlp`, faster.

The sublayers pass on a residual stream x [tokens, batch, channels] with the mean and variance of
its channels; the pass that writes x also computes these. So a norm is given by two vectors,

    s = gamma / sqrt(variance + eps),  d = beta - s * mean,  norm(x) = s * x + d,

which are absorbed into the neighbouring weights. No pass over x remains for the norm:

    token mixer    y = x + (a s) (W x) + [a (sum_j W_ij d + b_i) + c]          a, c: affine_2
    channel MLP    y = x + (a V) act(U (s x + d) + b) + (a e + c)              V, e: linear_2
      ReLU         act(...) = relu((U s) x + (U d + b))
      tables       act_in(s x + d) and act_hidden(x + b) are table look-ups of an affine function

Tokens are the first dimension, so that W x is one matrix product over all images. The stream is
bfloat16 where the device multiplies it (`fast_type`), float32 elsewhere.
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
from models.float.precision import fast_type, multiplies_bfloat16
from models.float.resmlp import Affine, ChannelMlp, ChannelNorm, ResMLP, TokenMixer

_MIDDLE = 128  # subtracted from the pixels by `center`
_RUNS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # type that holds so many uint8 pixels

_LOG = logging.getLogger(__name__)

Logits = Callable[[Tensor], Tensor]


def fused_forward(network: ResMLP, images: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """Map pixels 0..255 [batch, 3, 32, 32] to float32 logits [batch, classes].

    Computes the same function as `network(images)`. A norm in training mode uses batch statistics
    and updates the running ones; in eval mode it uses the running statistics. `dtype` is that of
    the stream; by default it is the device's fast one.
    """
    stream = embed(network, images, dtype or fast_type(images.device))
    for block in network.blocks:
        stream = channel_mlp(block.mlp, token_mixer(block.token_mixer, stream))
    scale, offset = plain.affine(_norm(network.norm, stream))
    pooled = _operations(stream.x).pool(stream.x)
    return network.classifier(scale * pooled + offset)


def fused_features(
    network: ResMLP, images: Tensor, block: int, dtype: torch.dtype | None = None
) -> Tensor:
    """Return the features [batch, tokens, channels] after block `block`; -1 is the embedding.

    Only this block gets gradients, because block-wise transfer freezes the layers before it.
    """
    with torch.no_grad():
        stream = embed(network, images, dtype or fast_type(images.device))
        for part in network.blocks[: max(block, 0)]:
            stream = channel_mlp(part.mlp, token_mixer(part.token_mixer, stream))
    if block >= 0:
        part = network.blocks[block]
        stream = channel_mlp(part.mlp, token_mixer(part.token_mixer, stream))
    return stream.x.transpose(0, 1)


def fused_available(device: torch.device) -> bool:
    """Return whether the fused passes are fast on a device.

    They are if the kernels for the device's fast type work. On CUDA the passes are plain PyTorch,
    which is fast after torch.compile if the GPU multiplies bfloat16. If False, the functions here
    still work, only slower.
    """
    if device.type == "cuda":
        return multiplies_bfloat16(device)
    return device.type == "cpu" and _cpu_operations(fast_type(device)) is not None


@torch.no_grad()
def fused_inference(network: ResMLP, dtype: torch.dtype | None = None) -> Logits:
    """Return a function that maps pixels to the float32 logits of `network` in eval mode.

    The network is folded when this function is called, so later changes of its weights have no
    effect. Without kernels, or with an activation that has no `table`, the network is not folded:
    then the result calls `fused_forward`, and later changes do have an effect.

    Raises ValueError if the network is in training mode.
    """
    if network.training:
        raise ValueError("fused_inference folds running statistics: call network.eval() first.")
    weight, bias = _embedding(network)
    dtype = dtype or fast_type(weight.device)
    operations = _operations(weight.to(dtype))
    foldable = all(_is_relu(block.mlp) or _has_tables(block.mlp) for block in network.blocks)
    if operations is plain or not foldable:
        return torch.no_grad()(partial(fused_forward, network, dtype=dtype))
    return _folded(network, operations, weight.to(dtype), bias)


def _folded(network: ResMLP, operations: ModuleType, embedding: Tensor, constant: Tensor) -> Logits:
    from models.float.fused import inference

    steps, dtype = [], embedding.dtype
    for block in network.blocks:
        steps.append(inference.mixer_step(block.token_mixer, constant, dtype))
        step, constant = inference.mlp_step(block.mlp, constant, dtype)
        steps.append(step)
    scale, offset = inference.affine(network.norm)
    weight = network.classifier.weight * scale
    bias = network.classifier(offset + scale * constant)

    @torch.no_grad()
    def logits(images: Tensor) -> Tensor:
        pixels = patches(images, network.patchify.patch_size)
        x = operations.linear(operations.center(pixels, dtype), embedding)
        for step in steps:
            x = step(x)
        return functional.linear(operations.pool(x), weight, bias)

    return logits


def embed(network: ResMLP, images: Tensor, dtype: torch.dtype) -> Stream:
    """Cut pixels into patches and embed them; the weights absorb the normalisation.

    `images` are pixels 0..255 [B, 3, height, width]; returns a stream [T, B, C].
    """
    pixels = patches(images, network.patchify.patch_size)  # [T, B, P]
    operations = _operations(pixels.new_empty(0, dtype=dtype))
    return operations.embed(operations.center(pixels, dtype), _embedding(network))


def _embedding(network: ResMLP) -> Linear:
    """Return the embedding layer [C, P] for the output of `patches` minus `_MIDDLE`."""
    linear, normalize, size = network.embed_linear, network.input, network.patchify.patch_size
    weight = linear.weight.view(-1, size, size, 3).permute(0, 3, 1, 2).flatten(2)  # [C, 3, size^2]
    weight = weight / (255 * normalize.std.view(-1, 1))
    shift = _MIDDLE - 255 * normalize.mean  # [3]
    return Linear(weight.flatten(1), linear.bias + (weight.sum(dim=2) * shift).sum(dim=1))


def patches(images: Tensor, size: int) -> Tensor:
    """Cut pixels [batch, 3, height, width] into patches [tokens, batch, 3 * size * size].

    The order inside a patch is (colour, row, column).
    """
    batch, colours, height, width = images.shape
    images = images.contiguous()
    # Move the uint8 pixels of a patch's row as one integer.
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
    """Compute `ChannelMlp.forward`; activations without a `table` are called directly."""
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
    """Return a norm's statistics and parameters; in training mode update its running statistics."""
    if not norm.training:
        return Norm(norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias)
    _track(norm, stream)
    return Norm(stream.mean, stream.variance, norm.eps, norm.weight, norm.bias)


@torch.no_grad()
def _track(norm: ChannelNorm, stream: Stream) -> None:
    """Update the running statistics as BatchNorm does, with the unbiased variance."""
    count = stream.x.shape[0] * stream.x.shape[1]
    if count < 2:
        raise ValueError("A norm in training mode needs more than one value per channel.")
    norm.num_batches_tracked.add_(1)
    norm.running_mean.lerp_(stream.mean, norm.momentum)
    norm.running_var.lerp_(stream.variance * (count / (count - 1)), norm.momentum)


def _operations(x: Tensor) -> ModuleType:
    return (_cpu_operations(x.dtype) if x.device.type == "cpu" else None) or plain


@cache
def _cpu_operations(dtype: torch.dtype) -> ModuleType | None:
    """Import the CPU implementation for a type once; None if there is none.

    If it does not work, one line is logged.
    """
    if dtype not in (torch.bfloat16, torch.float32):
        return None
    try:
        from models.float.fused import cpu

        cpu.operations(dtype)
    except Exception as error:  # no compiler, or a broken one, must not stop a training run
        _LOG.info("fused ResMLP: plain PyTorch on the CPU (%r)", error)
        return None
    return cpu
