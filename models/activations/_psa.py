"""Personal self-attention at given points: the function that `LerpPsa` interpolates.

`psa_reference` is the definition. Where gradients are asked for on a CPU on which the kernels of
`_lerp` work, `psa` is a torch operator with loops of its own (`lerp_psa::psa`); everywhere else,
and without gradients, it is the definition itself.
"""

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from models.activations._lerp import kernels

__all__ = ["psa", "psa_reference"]


def psa(
    points: Tensor,
    value: Tensor,
    query: Tensor,
    center: Tensor,
    scale: Tensor,
    offset: Tensor,
    epsilon: float,
) -> Tensor:
    """Evaluate psa (published system §1) at `points` [G] for every channel: [F, G].

    psa(x) = scale · sum_k value_k x · softmax_k(-(x - center_k)² / (query_k² + epsilon)) + offset;
    value, query and center are [F, terms], scale and offset [F]. All tensors are of one dtype.
    """
    tensors = (points, value, query, center, scale, offset)
    learning = torch.is_grad_enabled() and value.requires_grad and not points.requires_grad
    narrow = all(t.dtype == torch.float32 and t.device.type == "cpu" for t in tensors)
    if learning and narrow and _compiled():
        return _psa(*tensors, float(epsilon))
    return psa_reference(*tensors, epsilon)


def psa_reference(
    points: Tensor,
    value: Tensor,
    query: Tensor,
    center: Tensor,
    scale: Tensor,
    offset: Tensor,
    epsilon: float,
) -> Tensor:
    """Compute `psa` in plain PyTorch with PyTorch's own gradients: the definition."""
    # (features, terms, points): sums over the few terms then run along the points
    sharpness = -1 / (query.square() + epsilon)
    distances = (points - center.unsqueeze(2)).square()
    weights = (sharpness.unsqueeze(2) * distances).softmax(dim=1)
    attention = (value.unsqueeze(2) * weights).sum(dim=1) * points
    return scale.unsqueeze(1) * attention + offset.unsqueeze(1)


@torch.compiler.assume_constant_result
def _compiled() -> bool:
    return kernels("cpu", torch.float32) is not None


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
    from models.activations import _psa_loops as loops

    arrays = _arrays(points, value, query, center, scale, offset)
    return torch.from_numpy(loops.psa_forward(*arrays, epsilon))


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
    from models.activations import _psa_loops as loops

    arrays = _arrays(grad, points, value, query, center, scale)
    gradients = loops.psa_backward(*arrays, epsilon)
    return tuple(torch.from_numpy(gradient) for gradient in gradients)


@_psa.register_fake
def _(
    points: Tensor,
    value: Tensor,
    query: Tensor,
    center: Tensor,
    scale: Tensor,
    offset: Tensor,
    epsilon: float,
) -> Tensor:
    return value.new_empty(value.shape[0], points.shape[0])


@_psa_backward.register_fake
def _(
    grad: Tensor,
    points: Tensor,
    value: Tensor,
    query: Tensor,
    center: Tensor,
    scale: Tensor,
    epsilon: float,
) -> tuple[Tensor, ...]:
    return tuple(torch.empty_like(t) for t in (value, query, center, scale, scale))


def _setup_context(ctx: FunctionCtx, inputs: tuple, output: Tensor) -> None:
    *saved, _, ctx.epsilon = inputs
    ctx.save_for_backward(*saved)


def _autograd(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor | None, ...]:
    return None, *_psa_backward(grad, *ctx.saved_tensors, ctx.epsilon), None


def _arrays(*tensors: Tensor) -> list[np.ndarray]:
    return [tensor.detach().contiguous().numpy() for tensor in tensors]


_psa.register_autograd(_autograd, setup_context=_setup_context)
