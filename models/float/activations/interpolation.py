"""Piecewise linear interpolation with one table per channel, used by every learnable activation.

`lerp` is the only entry point. It is a custom torch operator (`lerp_psa::lerp`, with the backward
`lerp_psa::lerp_backward`), so torch.compile, autocast and autograd see one opaque node that saves
only `x` and the table. What records operators for other programs (torch.export, ONNX,
torch.jit.trace) sees plain operators instead, so that a file needs neither this package nor a
kernel. `_kernels` selects the implementation: numba on the CPU, Triton on CUDA, and plain PyTorch
for float64, for other devices and if a compiler does not work. `lerp_reference` is
the definition in plain PyTorch; all implementations must agree with it.
"""

import logging
from functools import cache
from types import ModuleType

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from .recording import is_recorded

__all__ = ["lerp", "lerp_reference"]

_LOG = logging.getLogger(__name__)


def lerp(x: Tensor, table: Tensor, start: float, step: float, dim: int = -1) -> Tensor:
    """Interpolate every channel of `x` [..., F] linearly in its row of `table` [F, G].

    The channels are dimension `dim` of x; 1 for images [batch, F, height, width].

    Knot g of channel f is the point (start + step * g, table[f, g]); G >= 2, step > 0. Outside the
    grid the first and the last segment are extrapolated linearly. At a knot the gradient is that of
    the segment to its right. Returns a tensor with x's shape and dtype, which is contiguous if the
    channels come last.

    >>> lerp(torch.tensor([[0.5], [3.0]]), torch.tensor([[0.0, 2.0, 3.0]]), start=0.0, step=1.0)
    tensor([[1.],
            [4.]])

    The arithmetic is u = (x - start) / step, i = clamp(floor(u), 0, G - 2), r = u - i, y = t[i] +
    (t[i + 1] - t[i]) * r. It is done in x's dtype; for float16 and bfloat16 it is done in float32
    with one rounding at the end. Therefore integer tables and u in quarters give the exact result.
    The table and its gradient are float32 (float64 if x is float64): a narrower table is widened
    first, so autocast changes nothing here.

    NaN gives NaN (and NaN gradients at knots 0 and 1). An infinite u, which also results from an
    |x| near the largest float, gives an infinity with the sign of the outer segment's slope, or NaN
    if the segment is flat. Differentiable in `x` and `table`, as often as wanted; the second
    derivative in x is zero, as that of straight lines.

    Raises ValueError if the shapes do not match, x is not floating-point or step <= 0.
    """
    if dim not in (-1, x.dim() - 1):
        last = x.movedim(dim, -1)
        return lerp(last, table, start, step).movedim(-1, dim)
    _check(x, table, step)
    if is_recorded():
        return lerp_reference(x, table, start, step)
    table = table.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    return _lerp(x, table, float(start), float(step))


def lerp_reference(x: Tensor, table: Tensor, start: float, step: float, dim: int = -1) -> Tensor:
    """Compute `lerp` in plain PyTorch with PyTorch's own gradients; this is the definition."""
    if dim not in (-1, x.dim() - 1):
        last = x.movedim(dim, -1)
        return lerp_reference(last, table, start, step).movedim(-1, dim)
    _check(x, table, step)
    wide = torch.float64 if x.dtype == torch.float64 else torch.float32
    index, rest = _locate(x.to(wide), table.shape[1], start, step)
    left, right = _ends(table.to(wide), index)
    return (left + (right - left) * rest).to(x.dtype)


def _check(x: Tensor, table: Tensor, step: float) -> None:
    if torch.jit.is_tracing():  # sizes are tensors then
        return
    fits = x.dim() >= 1 and table.dim() == 2 and x.shape[-1] == table.shape[0] >= 1
    if not fits or table.shape[1] < 2:
        raise ValueError(
            f"lerp needs x [..., F >= 1] and a table [F, G >= 2], not {list(x.shape)} and "
            f"{list(table.shape)}; for channels in another dimension pass dim, for images 1."
        )
    if not x.dtype.is_floating_point or not step > 0:
        raise ValueError(f"lerp needs a floating-point x and step > 0, not {x.dtype} and {step}.")


def _locate(x: Tensor, knots: int, start: float, step: float) -> tuple[Tensor, Tensor]:
    """Return each x's segment (int64; NaN: segment 0) and its position in the segment."""
    u = (x - start) / step
    index = u.detach().floor().clamp(0, knots - 2).nan_to_num(0.0)
    return index.long(), u - index


def _ends(table: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    """Return the table's values at the left and right ends of the segments `index` [..., F]."""
    columns, rows = table.t(), index.reshape(-1, table.shape[0])
    left, right = columns.gather(0, rows), columns.gather(0, rows + 1)
    return left.view(index.shape), right.view(index.shape)


@torch.library.custom_op("lerp_psa::lerp", mutates_args=())
def _lerp(x: Tensor, table: Tensor, start: float, step: float) -> Tensor:
    kernels = _kernels(x.device.type, x.dtype)
    if kernels is None:
        return lerp_reference(x, table, start, step).contiguous()
    return kernels.forward(x.contiguous(), table.contiguous(), start, step)


@torch.library.custom_op("lerp_psa::lerp_backward", mutates_args=())
def _lerp_backward(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    kernels = _kernels(x.device.type, x.dtype)
    if kernels is None:
        return _backward_plain(grad, x, table, start, step)
    return kernels.backward(grad.contiguous(), x.contiguous(), table.contiguous(), start, step)


def _backward_plain(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    features, knots = table.shape
    index, rest = _locate(x.to(table.dtype), knots, start, step)
    left, right = _ends(table, index)
    grad = grad.to(table.dtype)
    rows, weight = index.reshape(-1, features), (rest * grad).reshape(-1, features)
    grad_table = torch.zeros_like(table.t())
    grad_table.scatter_add_(0, rows, grad.reshape(-1, features) - weight)
    grad_table.scatter_add_(0, rows + 1, weight)
    grad_x = (right - left) / step * grad
    return grad_x.to(x.dtype).contiguous(), grad_table.t().contiguous()


@_lerp.register_fake
def _(x: Tensor, table: Tensor, start: float, step: float) -> Tensor:
    return x.new_empty(x.shape)


@_lerp_backward.register_fake
def _(grad: Tensor, x: Tensor, table: Tensor, start: float, step: float) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape), table.new_empty(table.shape)


def _setup_context(
    ctx: FunctionCtx, inputs: tuple[Tensor, Tensor, float, float], output: Tensor
) -> None:
    x, table, ctx.start, ctx.step = inputs
    ctx.save_for_backward(x, table)


def _autograd(ctx: FunctionCtx, grad: Tensor) -> tuple[Tensor, Tensor, None, None]:
    x, table = ctx.saved_tensors
    # Gradients of gradients (create_graph=True) are those of the plain operators.
    backward = _backward_plain if torch.is_grad_enabled() else _lerp_backward
    return *backward(grad, x, table, ctx.start, ctx.step), None, None


_lerp.register_autograd(_autograd, setup_context=_setup_context)


def _kernels(device: str, dtype: torch.dtype) -> ModuleType | None:
    """Return the module with the fused kernels for a device and dtype, None for plain PyTorch."""
    module = {"cpu": "lerp_cpu", "cuda": "lerp_triton"}.get(device)
    narrow = dtype in (torch.float32, torch.float16, torch.bfloat16)
    return _load(module, device) if module is not None and narrow else None


@cache
def _load(module: str, device: str) -> ModuleType | None:
    """Import and try the kernels once; if they do not work, log one line and return None."""
    try:
        if module == "lerp_cpu":
            from .kernels.notice import announce

            announce("lerp_loops")
            from .kernels import lerp_cpu as kernels
        else:
            from .kernels import lerp_triton as kernels
        value, table = torch.zeros(1, 1, device=device), torch.zeros(1, 2, device=device)
        kernels.backward(kernels.forward(value, table, 0.0, 1.0), value, table, 0.0, 1.0)
    except Exception as error:  # no compiler, or a broken one, must not stop a training run
        _LOG.info("lerp: plain PyTorch instead of %s on %s (%r)", module, device, error)
        return None
    return kernels
