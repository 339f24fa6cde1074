"""Personal self-attention at given points: the function that `LerpPsa` interpolates.

`psa_reference` is the definition. For float32 on a CPU where numba works, `psa` is a torch operator
with compiled loops (`lerp_psa::psa`). It is used with and without gradients, so trained and
exported tables are equal bit for bit. Otherwise `psa` calls the definition.
"""

import logging
from functools import cache
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from .recording import is_recorded

__all__ = ["Channels", "psa", "psa_reference"]

_LOG = logging.getLogger(__name__)


class Channels(NamedTuple):
    """The parameters of a layer: value, query and center [F, terms], scale and offset [F]."""

    value: Tensor
    query: Tensor
    center: Tensor
    scale: Tensor
    offset: Tensor


def psa(points: Tensor, channels: Channels, epsilon: float) -> Tensor:
    """Evaluate psa (docs/published-system.md §1) at `points` [G] for every channel: [F, G].

    psa(x) = scale · sum_k value_k x · softmax_k(-(x - center_k)² / (query_k² + epsilon)) + offset.
    All tensors have the same dtype.
    """
    tensors = (points, *channels)
    narrow = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
    if narrow and not points.requires_grad and not is_recorded() and _available():
        return _psa(points, *channels, float(epsilon))
    return psa_reference(points, channels, epsilon)


def psa_reference(points: Tensor, channels: Channels, epsilon: float) -> Tensor:
    """Compute `psa` in plain PyTorch with PyTorch's own gradients; this is the definition."""
    value, query, center, scale, offset = channels
    # [features, terms, points]: sums over the few terms are then vectorised along the points
    sharpness = -1 / (query.square() + epsilon)
    distances = (points - center.unsqueeze(2)).square()
    weights = (sharpness.unsqueeze(2) * distances).softmax(dim=1)
    attention = (value.unsqueeze(2) * weights).sum(dim=1) * points
    return scale.unsqueeze(1) * attention + offset.unsqueeze(1)


@torch.compiler.assume_constant_result
def _available() -> bool:
    return _loops() is not None


@cache
def _loops() -> ModuleType | None:
    """Import and try the loops once; if they do not work, log one line and return None."""
    try:
        from .kernels.notice import announce

        announce("psa_loops")
        from .kernels import psa_loops as loops

        row, column = torch.ones(1, 1).numpy(), torch.ones(1).numpy()
        loops.psa_forward(column, row, row, row, column, column, 1.0)
        loops.psa_backward(row, column, row, row, row, column, 1.0)
    except Exception as error:  # no compiler, or a broken one, must not stop a training run
        _LOG.info("psa: plain PyTorch on the CPU (%r)", error)
        return None
    return loops


# Separate tensor arguments, because PyTorch takes much longer for an operator with a tensor list.
@torch.library.custom_op("lerp_psa::psa", mutates_args=(), device_types="cpu")
def _psa(
    points: Tensor,
    value: Tensor,
    query: Tensor,
    center: Tensor,
    scale: Tensor,
    offset: Tensor,
    epsilon: float,
) -> Tensor:
    arrays = _arrays(points, value, query, center, scale, offset)
    return torch.from_numpy(_loops().psa_forward(*arrays, epsilon))


@torch.library.custom_op("lerp_psa::psa_backward", mutates_args=(), device_types="cpu")
def _psa_backward(
    grad: Tensor,
    points: Tensor,
    value: Tensor,
    query: Tensor,
    center: Tensor,
    scale: Tensor,
    epsilon: float,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    arrays = _arrays(grad, points, value, query, center, scale)
    value, query, center, scale, offset = _loops().psa_backward(*arrays, epsilon)
    return tuple(map(torch.from_numpy, (value, query, center, scale, offset)))


def _arrays(*tensors: Tensor) -> list[Any]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


@_psa.register_fake
def _(points: Tensor, value: Tensor, *others: Tensor | float) -> Tensor:
    return points.new_empty(value.shape[0], points.shape[0])


@_psa_backward.register_fake
def _(grad: Tensor, points: Tensor, *inputs: Tensor | float) -> tuple[Tensor, ...]:
    *parameters, scale, _ = inputs
    like = (*parameters, scale, scale)  # offset has the shape of scale and is not an input
    return tuple(torch.empty_like(t, memory_format=torch.contiguous_format) for t in like)


def _setup_context(ctx: FunctionCtx, inputs: tuple[Any, ...], output: Tensor) -> None:
    *tensors, ctx.epsilon = inputs
    ctx.save_for_backward(*tensors)


def _autograd(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
    points, *parameters = ctx.saved_tensors
    if torch.is_grad_enabled():  # create_graph=True: gradients of gradients are PyTorch's own
        return None, *_differentiable_backward(grad, points, parameters, ctx.epsilon), None
    return None, *_psa_backward(grad, points, *parameters[:-1], ctx.epsilon), None


def _differentiable_backward(
    grad: Tensor, points: Tensor, parameters: list[Tensor], epsilon: float
) -> tuple[Tensor, ...]:
    # Views, so that gradients with respect to them do not stop at what the caller holds.
    own = [parameter.view_as(parameter) for parameter in parameters]
    wanted = [parameter for parameter in own if parameter.requires_grad]
    result = psa_reference(points, Channels(*own), epsilon)
    found = iter(torch.autograd.grad(result, wanted, grad, create_graph=True))
    return tuple(next(found) if parameter.requires_grad else None for parameter in own)


_psa.register_autograd(_autograd, setup_context=_setup_context)
