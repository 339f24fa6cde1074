"""Fused forward and backward of `lerp` on the CPU, compiled by numba at the first import.

The kernels compute lerp(scale * x + offset) with a scale and an offset per channel. So a norm
before the activation, or the bias of a linear layer, needs no separate pass. x, y and the gradient
of x are float32 or bfloat16; every sum is float32. In bfloat16 the position in the grid is computed
as x * (scale / step) + (offset - start) / step, which saves a division.
"""

import torch
from torch import Tensor

from .lerp_loops import BACKWARD, FORWARD

_CHUNK = 16384  # fewest values per chunk: about 20 microseconds of work
_MOST_CHUNKS = 64


def forward(
    x: Tensor,
    table: Tensor,
    start: float,
    step: float,
    scale: Tensor | None = None,
    offset: Tensor | None = None,
) -> Tensor:
    """Return lerp(scale * x + offset) in x's dtype.

    Arguments: x [..., F], float32 table [F, G], scale [F] (default: ones) and offset [F] (default:
    zeros). All are contiguous.
    """
    wide = x.float() if x.dtype == torch.float16 else x
    y = torch.empty_like(wide)
    inputs = _inputs(wide, table, start, step, scale, offset)
    FORWARD(_chunks(x), **inputs, y=y)
    return y.to(x.dtype)


def backward(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x [..., F] and of the table [F, G].

    All arguments are contiguous; the table is float32.
    """
    if x.dtype == torch.float16:
        grad, x = grad.float(), x.float()
        grad_x, grad_table = backward(grad, x, table, start, step)
        return grad_x.half(), grad_table
    grad_x, segments, _ = _backward_sums(grad, x, table, start, step, None, None)
    return grad_x, _table_gradient(segments)


def affine_backward(
    grad: Tensor,
    x: Tensor,
    table: Tensor,
    start: float,
    step: float,
    scale: Tensor | None,
    offset: Tensor | None,
    others: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """Return the gradients of x, the table, the offset and the scale (None without a scale).

    `grad` and `others` have x's dtype, float32 or bfloat16. `others` is another gradient of x; it
    is added to the gradient of x in the same pass. All arguments are contiguous.
    """
    grad_x, segments, products = _backward_sums(
        grad, x, table, start, step, scale, offset, others=others
    )
    return grad_x, *table_gradients((table, start, step), segments), products


def table_gradients(table: tuple[Tensor, float, float], segments: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of a table's values [F, G] and of the offset of its argument [F].

    `table` is (values, first knot, step). `segments` [F, G, 2] are the sums per segment of the
    gradient of the result, and of that gradient times the position within the segment, 0 to 1.
    """
    values, _, step = table
    # The slope is constant within a segment, so the offset's gradient follows from segment sums.
    grad_offset = (values.diff(dim=1) * segments[:, :-1, 0]).sum(dim=1) / step
    return _table_gradient(segments), grad_offset


def _inputs(
    x: Tensor,
    table: Tensor,
    start: float,
    step: float,
    scale: Tensor | None,
    offset: Tensor | None,
) -> dict[str, Tensor | float]:
    features, knots = table.shape
    return {
        "rows": x.numel() // features,
        "features": features,
        "knots": knots,
        "narrow": x.dtype == torch.bfloat16,
        "start": start,
        "step": step,
        "x": x,
        "scale": torch.ones(features) if scale is None else scale,
        "offset": torch.zeros(features) if offset is None else offset,
        "table": table,
    }


def _backward_sums(
    grad: Tensor,
    x: Tensor,
    table: Tensor,
    start: float,
    step: float,
    scale: Tensor | None,
    offset: Tensor | None,
    others: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return the gradient of x, the sums per segment [F, G, 2], and the gradient of the scale [F].

    The sums are those of grad and of rest * grad; rest is the position within the segment, 0 to 1.
    """
    chunks = min(_chunks(x), max(1, x.numel() // (8 * table.numel())))
    grad_x, segments = torch.empty_like(x), torch.empty(chunks, *table.shape, 2)
    products = None if scale is None else torch.empty(chunks, table.shape[0])
    inputs = _inputs(x, table, start, step, scale, offset)
    outputs = {"y": grad_x, "segments": segments}
    outputs |= {} if others is None else {"others": others}
    outputs |= {} if products is None else {"products": products}
    BACKWARD(chunks, **inputs, grad=grad, **outputs)
    return grad_x, segments.sum(dim=0), None if products is None else products.sum(dim=0)


def _table_gradient(segments: Tensor) -> Tensor:
    total, right = segments.unbind(dim=-1)
    gradient = total - right
    gradient[:, 1:] += right[:, :-1]
    return gradient


def _chunks(x: Tensor) -> int:
    return min(max(1, x.numel() // _CHUNK), _MOST_CHUNKS)
