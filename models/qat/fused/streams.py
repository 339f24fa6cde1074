"""The kernels of the fused INT8 network, one for each pass between its integer matrix products.

A stream is bfloat16 [tokens, batch, channels] with int8 values; an accumulator is int32 of the same
shape. All tensors are contiguous. Vectors are float32 per channel [C]; those called rows are per
token [T]. `inverse` is 2^-shift, round(v) is floor(v + 1/2), clip clamps to the int8 range. A
forward pass also returns `inside`, uint8 of the stream's shape: its bits mark the values that the
clamps did not change.
"""

import torch
from torch import Tensor

from models.qat.fused.loops import (
    AFFINE,
    AFFINE_BACK,
    LINEAR,
    LINEAR_BACK,
    LOOK_UP,
    MIXER,
    MIXER_BACK,
)

_UNIT = 32768  # most values per unit: about 20 microseconds of work

Vectors = dict[str, Tensor]  # per-channel or per-token vectors of a kernel, by name
Factor = dict[str, float]  # of the shortcut: factor = weight * 2^-shift, shrink = 2^-shift


def affine(x: Tensor, vectors: Vectors) -> tuple[Tensor, Tensor]:
    """Return the stream clip(round(x * weight * inverse) + bias), and `inside`."""
    units, sizes = _units(x)
    y, inside = torch.empty_like(x), torch.empty(x.shape, dtype=torch.uint8)
    AFFINE(units, **sizes, x=x, y=y, inside=inside, **vectors)
    return y, inside


def affine_back(
    grad: Tensor, x: Tensor, inside: Tensor, vectors: Vectors, grad_x: Tensor
) -> Tensor:
    """Add the gradient of `affine`'s x to grad_x; return those of weight and bias [2, C]."""
    units, sizes = _units(x)
    sums = torch.empty(units, 2, x.shape[2])
    given = {"grad": grad, "x": x, "inside": inside, "grad_x": grad_x, "sums": sums}
    AFFINE_BACK(units, **sizes, **given, **vectors)
    return sums.sum(dim=0)


def linear(acc: Tensor, vectors: Vectors, lowest: float) -> tuple[Tensor, Tensor]:
    """Return the stream max(lowest, clip(round(acc * inverse) + bias)), and `inside`."""
    return _linear_forward(acc, vectors, lowest=lowest)


def linear_add(acc: Tensor, vectors: Vectors, x: Tensor, factor: Factor) -> tuple[Tensor, Tensor]:
    """Return the stream clip(clip(round(acc * inverse) + bias) + clip(round(x * factor))).

    `inside` is returned, too.
    """
    return _linear_forward(acc, vectors, x=x, factor=factor["factor"])


def _linear_forward(acc: Tensor, vectors: Vectors, **more: Tensor | float) -> tuple[Tensor, Tensor]:
    units, sizes = _units(acc)
    y = torch.empty(acc.shape, dtype=torch.bfloat16)
    inside = torch.empty(acc.shape, dtype=torch.uint8)
    LINEAR(units, **sizes, acc=acc, y=y, inside=inside, **vectors, **more)
    return y, inside


def linear_back(grad: Tensor, inside: Tensor, vectors: Vectors) -> tuple[Tensor, Tensor]:
    """Return the gradients of `linear`'s acc (a stream) and bias [C]."""
    grad_acc, sums = _linear_backward(grad, inside, vectors)
    return grad_acc, sums[0]


def linear_add_back(
    grad: Tensor, inside: Tensor, vectors: Vectors, x: Tensor, factor: Factor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of `linear_add`'s acc and x (streams), bias [C] and the factor's weight.

    The last one is 0-dim.
    """
    grad_x = torch.empty_like(x)
    grad_acc, sums = _linear_backward(grad, inside, vectors, x=x, grad_x=grad_x, **factor)
    return grad_acc, grad_x, sums[0], sums[1].sum()


def _linear_backward(
    grad: Tensor, inside: Tensor, vectors: Vectors, **more: Tensor | float
) -> tuple[Tensor, Tensor]:
    units, sizes = _units(grad)
    grad_acc, sums = torch.empty_like(grad), torch.empty(units, 2, grad.shape[2])
    given = {"grad": grad, "inside": inside, "grad_acc": grad_acc, "sums": sums}
    LINEAR_BACK(units, **sizes, **given, **vectors, **more)
    return grad_acc, sums.sum(dim=0)


def mixer(
    acc: Tensor, rows: Vectors, vectors: Vectors, x: Tensor, factor: Factor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the streams z and y, and `inside`, of a token mixer.

    z = clip(round(acc * row_inverse) + row_bias), y = clip(affine(z) + clip(round(x * factor))).
    """
    units, sizes = _units(acc)
    y, z, inside = torch.empty_like(x), torch.empty_like(x), torch.empty(x.shape, dtype=torch.uint8)
    given = {"acc": acc, "x": x, "y": y, "z": z, "inside": inside, "factor": factor["factor"]}
    MIXER(units, **sizes, **given, **rows, **vectors)
    return z, y, inside


def mixer_back(
    grad: Tensor,
    z: Tensor,
    inside: Tensor,
    rows: Vectors,
    vectors: Vectors,
    x: Tensor,
    factor: Factor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the gradients of `mixer`: acc and x (streams), row_bias [T], and three more [3, C].

    The last three are the gradients of the factor's weight (not yet summed over the channels), of
    the affine's weight and of its bias.
    """
    units, sizes = _units(x)
    grad_acc, grad_x = torch.empty_like(x), torch.empty_like(x)
    sums = torch.empty(units, 4, x.shape[2])
    given = {"grad": grad, "x": x, "z": z, "inside": inside, "sums": sums}
    MIXER_BACK(
        units, **sizes, **given, grad_x=grad_x, grad_acc=grad_acc, **rows, **vectors, **factor
    )
    return grad_acc, grad_x, sums[:, 0].view(len(x), -1).sum(dim=1), sums[:, 1:].sum(dim=0)


def look_up(x: Tensor, table: Tensor) -> Tensor:
    """Return table[channel, x + 128] for a stream x; table bfloat16 [C, 256]."""
    units, sizes = _units(x)
    y = torch.empty_like(x)
    LOOK_UP(units, **sizes, x=x, table=table, y=y)
    return y


def _units(stream: Tensor) -> tuple[int, dict[str, int]]:
    tokens, batch, features = stream.shape
    parts = max(1, min(batch, batch * features // _UNIT))
    return tokens * parts, {"parts": parts, "batch": batch, "features": features}
