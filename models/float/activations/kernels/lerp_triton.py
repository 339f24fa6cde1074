"""Fused forward and backward of `lerp` on CUDA, in Triton (Tillet et al., MAPL 2019).

The table's gradient is summed with atomic additions in memory. The programs are spread over a few
copies of it, so that few of them wait for the same knot; PyTorch then adds the copies. The device
chooses the order of the additions, so the last bits may differ from run to run.
"""
# ruff: noqa: ANN001, ANN202 - Triton infers the types of what it compiles

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024  # values per program
_MOST_COPIES = 64  # copies of the table's gradient
_MOST_SUMS = 2**20  # values in all copies: 4 MiB, which stay in the L2 cache


@triton.jit
def _locate(x, start, step, KNOTS: tl.constexpr):
    """Return each value's segment (int32; NaN: segment 0) and its position in the segment."""
    u = tl.div_rn(x - start, tl.zeros_like(x) + step)
    segment = tl.floor(u)
    segment = tl.where(segment > 0.0, segment, 0.0)
    segment = tl.where(segment < KNOTS - 2.0, segment, KNOTS - 2.0)
    return segment.to(tl.int32), u - segment


@triton.jit
def _forward_kernel(
    x, table, y, size, features, start, step, KNOTS: tl.constexpr, BLOCK: tl.constexpr
):
    """Interpolate `BLOCK` consecutive values of a contiguous x [..., F]."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    segment, rest = _locate(value, start, step, KNOTS)
    knot = table + (at % features) * KNOTS + segment
    left = tl.load(knot, mask=inside, other=0.0)
    right = tl.load(knot + 1, mask=inside, other=0.0)
    tl.store(y + at, (left + (right - left) * rest).to(y.dtype.element_ty), mask=inside)


@triton.jit
def _backward_kernel(
    grad,
    x,
    table,
    grad_x,
    sums,
    size,
    features,
    start,
    step,
    COPIES: tl.constexpr,
    KNOTS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write grad_x of `BLOCK` values and add to the table's gradient in sums [copies, F, G]."""
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < size
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    slope_y = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
    segment, rest = _locate(value, start, step, KNOTS)
    place = (at % features) * KNOTS + segment
    left = tl.load(table + place, mask=inside, other=0.0)
    right = tl.load(table + place + 1, mask=inside, other=0.0)
    slope_x = tl.div_rn(right - left, tl.zeros_like(left) + step) * slope_y
    tl.store(grad_x + at, slope_x.to(grad_x.dtype.element_ty), mask=inside)
    own = sums + (tl.program_id(0) % COPIES) * features * KNOTS + place
    to_right = rest * slope_y
    tl.atomic_add(own, slope_y - to_right, mask=inside, sem="relaxed")
    tl.atomic_add(own + 1, to_right, mask=inside, sem="relaxed")


def forward(x: Tensor, table: Tensor, start: float, step: float) -> Tensor:
    """Return `lerp` of x [..., F] with a float32 table [F, G]; both contiguous on the GPU."""
    y, (features, knots) = torch.empty_like(x), table.shape
    with torch.cuda.device_of(x):
        _forward_kernel[(triton.cdiv(x.numel(), _BLOCK),)](
            x, table, y, x.numel(), features, start, step, KNOTS=knots, BLOCK=_BLOCK
        )
    return y


def backward(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x [..., F] and of the table [F, G].

    All arguments are contiguous; the table is float32.
    """
    grad_x, (features, knots) = torch.empty_like(x), table.shape
    programs = triton.cdiv(x.numel(), _BLOCK)
    copies = max(1, min(_MOST_COPIES, programs, _MOST_SUMS // table.numel()))
    sums = table.new_zeros(copies, features, knots)
    with torch.cuda.device_of(x):
        _backward_kernel[(programs,)](
            grad,
            x,
            table,
            grad_x,
            sums,
            x.numel(),
            features,
            start,
            step,
            COPIES=copies,
            KNOTS=knots,
            BLOCK=_BLOCK,
        )
    return grad_x, sums.sum(dim=0)
