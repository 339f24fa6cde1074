"""The INT8 network of `models.qat.layers` in few passes over memory, for training.

`models.qat.layers` stores int8 values in float32 and makes a separate pass for every rounding,
clamp and addition. Here a value takes two bytes (int8 is exact in bfloat16), a sublayer consists of
its integer matrix products with one kernel after each (`models.qat.fused.cpu`), and tokens are the
first dimension, as in `models.float.fused.passes`. The methods of the network's parts compute the
integer parameters, so the logits equal those of `network(images).real()` bit for bit. Gradients are
bfloat16.
"""

import logging
from functools import cache
from types import ModuleType

import torch
from torch import Tensor, nn

from models.float.fused.passes import fused_available, patches
from models.float.precision import multiplies_bfloat16
from models.float.resmlp import ChannelMlp, ResMLP, TokenMixer
from models.qat.layers import IntTensor, QuantReLU

_LOG = logging.getLogger(__name__)


def fused_qat_available(device: torch.device) -> bool:
    """Return whether `fused_qat_forward` works on a device."""
    kernels = device.type == "cpu" and multiplies_bfloat16(device) and fused_available(device)
    return kernels and _operations() is not None


def fused_qat_forward(network: ResMLP, images: Tensor) -> Tensor:
    """Map uint8 pixels [batch, 3, 32, 32] to real logits, equal to `network(images).real()`.

    `network` was made by `models.qat.layers.prepare`. Call this only where `fused_qat_available`.
    """
    x = _embed(network, images)
    for block in network.blocks:
        x = _channel_mlp(block.mlp, _token_mixer(block.token_mixer, x))
    values = IntTensor(x.values.transpose(0, 1).float(), x.scale)
    return network.classifier(network.pool(values)).real()


def _embed(network: ResMLP, images: Tensor) -> IntTensor:
    layer, entry = network.embed_linear, network.input
    size = entry.patchify.patch_size
    pixels = patches(images, size)
    integers = layer.integers(entry.scale)
    # Inside a patch, weights are in the order (row, column, colour), pixels (colour, row, column).
    weight = integers["w"].view(-1, size, size, len(entry.lut)).permute(0, 3, 1, 2).flatten(1)
    values = _operations().input_values(pixels, entry.lut.repeat_interleave(size * size, dim=0))
    return IntTensor(_operations().linear(values, {**integers, "w": weight}), layer.scale())


def _token_mixer(mixer: TokenMixer, x: IntTensor) -> IntTensor:
    parts, scale = [], x.scale
    for part in (mixer.affine_1, mixer.linear, mixer.affine_2):
        parts.append(part.integers(scale))
        scale = part.scale()
    residual = mixer.residual.integers(x.scale, scale)
    return IntTensor(_operations().token_mixer(x.values, *parts, residual), scale)


def _channel_mlp(mlp: ChannelMlp, x: IntTensor) -> IntTensor:
    operations, first, second = _operations(), mlp.linear_1, mlp.linear_2
    u = _table(mlp.act_in, x)
    layer, scale = first.integers(u.scale), first.scale()
    if isinstance(mlp.act_hidden, QuantReLU):
        v = IntTensor(operations.linear(u.values, layer, lowest=0), scale)
    else:
        v = _table(mlp.act_hidden, IntTensor(operations.linear(u.values, layer), scale))
    layer, scale = second.integers(v.scale), second.scale()
    residual = mlp.residual.integers(x.scale, scale)
    return IntTensor(operations.linear_add(v.values, layer, x.values, residual), scale)


def _table(table: nn.Module, x: IntTensor) -> IntTensor:
    if isinstance(table, nn.Identity):
        return x
    knots = table.knots(x.scale, x.values.shape[-1])
    return IntTensor(_operations().look_up(x.values, knots), table.scale())


@cache
def _operations() -> ModuleType | None:
    """Import the kernels once; if they do not work, log one line and return None."""
    try:
        from models.qat.fused import cpu

        exact = cpu.exact()
    except Exception as error:  # no compiler, or a broken one, must not stop a training run
        _LOG.info("fused QAT: plain PyTorch on the CPU (%r)", error)
        return None
    return cpu if exact else None
