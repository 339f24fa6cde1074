"""What the sublayers of both stream types share: their parts, and views as numpy arrays.

Shapes: T tokens, B images, C channels of the stream, H hidden channels, F channels and G knots of a
table.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

Coefficients = list[Tensor]  # constant and linear [C]


class Mlp(NamedTuple):
    """A channel MLP whose norms and affines are absorbed; matrices have the stream's type."""

    first: Tensor  # [H, C]
    bias_hidden: Tensor  # [H]
    second: Tensor  # [C, H]
    bias: Tensor  # [C]


class Tables(NamedTuple):
    """The tables (values [F, G], first knot, step) before both layers; the first affine [C]."""

    entry: tuple[Tensor, float, float]
    hidden: tuple[Tensor, float, float]
    scale: Tensor
    offset: Tensor


class MlpStreams(NamedTuple):
    """The streams of a channel MLP: u and h (only with tables), the hidden v, the result y."""

    u: Tensor | None
    h: Tensor | None
    v: Tensor
    y: Tensor


class MlpGrads(NamedTuple):
    """The gradients of x (a stream) and of an `Mlp`'s fields."""

    x: Tensor
    first: Tensor
    bias_hidden: Tensor
    second: Tensor
    bias: Tensor


class TableGrads(NamedTuple):
    """The gradients of both tables' values, and of the first affine."""

    entry: Tensor
    hidden: Tensor
    scale: Tensor
    offset: Tensor


def arrays(*given: Tensor) -> list[np.ndarray]:
    """View tensors as numpy arrays, bfloat16 as uint16 bits."""
    return [
        (t.view(torch.uint16) if t.dtype == torch.bfloat16 else t.detach()).numpy() for t in given
    ]


def tensors(*given: np.ndarray) -> list[Tensor]:
    """View numpy arrays as tensors, uint16 bits as bfloat16."""
    return [
        torch.from_numpy(a).view(torch.bfloat16) if a.dtype == np.uint16 else torch.from_numpy(a)
        for a in given
    ]
