"""Fused forward and backward of `lerp` on CUDA, in Triton (Tillet et al., MAPL 2019).

Neither kernel uses atomics. For the table's gradient each program takes a strip of channels and a
chunk of rows and compares every segment number with all G - 1 segments: that many comparisons in
registers are affordable, and the sums come in one order, so two runs give the same bits.
The chunks follow from the shapes alone; PyTorch adds up their tables.

Not yet run on a GPU: compiled for compute capability 7.5 to 9.0, and tests/test_lerp.py passes in
Triton's interpreter (`TRITON_INTERPRET=1`).
"""
# ruff: noqa: ANN001, ANN202 - Triton infers the types of what it compiles

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024  # values per program of the forward pass
_CHANNELS = 8  # channels per strip: 32 bytes of float32, the smallest piece memory is read in
_TILE = 4096  # rows * channels * segments compared at once, in the registers of one program
_CHUNK_ROWS = 128  # fewest rows per chunk
_MOST_CHUNKS = 128


@triton.jit
def _locate(x, start, step, KNOTS: tl.constexpr):
    """Return each value's segment (int32; not-a-number in segment 0) and the way into it."""
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
    partial,
    rows,
    features,
    start,
    step,
    chunk_rows,
    KNOTS: tl.constexpr,
    SEGMENTS: tl.constexpr,
    TILE_ROWS: tl.constexpr,
    CHANNELS: tl.constexpr,
):
    """Write grad_x of a chunk of rows and its sums per segment to partial[end, chunk, F, S]."""
    chunk = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    segments = tl.arange(0, SEGMENTS)
    left_sum = tl.zeros((CHANNELS, SEGMENTS), tl.float32)
    right_sum = tl.zeros((CHANNELS, SEGMENTS), tl.float32)
    for first in range(0, chunk_rows, TILE_ROWS):
        within = first + tl.arange(0, TILE_ROWS)
        row = chunk * chunk_rows + within
        inside = ((within < chunk_rows) & (row < rows))[:, None] & (channel < features)[None, :]
        at = row[:, None] * features + channel[None, :]
        value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
        slope_y = tl.load(grad + at, mask=inside, other=0.0).to(tl.float32)
        segment, rest = _locate(value, start, step, KNOTS)
        knot = table + channel[None, :] * KNOTS + segment
        left = tl.load(knot, mask=inside, other=0.0)
        right = tl.load(knot + 1, mask=inside, other=0.0)
        slope_x = tl.div_rn(right - left, tl.zeros_like(left) + step) * slope_y
        tl.store(grad_x + at, slope_x.to(grad_x.dtype.element_ty), mask=inside)
        here = segments[None, None, :] == segment[:, :, None]
        to_right = rest * slope_y
        to_left = slope_y - to_right
        left_sum += tl.sum(tl.where(here, to_left[:, :, None], 0.0), axis=0)
        right_sum += tl.sum(tl.where(here, to_right[:, :, None], 0.0), axis=0)
    at = (chunk * features + channel[:, None]) * SEGMENTS + segments[None, :]
    right_end = tl.num_programs(0).to(tl.int64) * features * SEGMENTS
    inside = (channel < features)[:, None] & (segments >= 0)[None, :]
    tl.store(partial + at, left_sum, mask=inside)
    tl.store(partial + right_end + at, right_sum, mask=inside)


def forward(x: Tensor, table: Tensor, start: float, step: float) -> Tensor:
    """Return `lerp` of a contiguous x [..., F] and a contiguous float32 table [F, G]."""
    y, (features, knots) = torch.empty_like(x), table.shape
    with torch.cuda.device_of(x):
        _forward_kernel[(triton.cdiv(x.numel(), _BLOCK),)](
            x, table, y, x.numel(), features, start, step, KNOTS=knots, BLOCK=_BLOCK
        )
    return y


def backward(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and of the table; all arguments contiguous, the table float32."""
    grad_x, (features, knots) = torch.empty_like(x), table.shape
    rows, segments = x.numel() // features, triton.next_power_of_2(knots - 1)
    chunk_rows = max(_CHUNK_ROWS, triton.cdiv(rows, _MOST_CHUNKS))
    chunks = triton.cdiv(rows, chunk_rows)
    partial = table.new_empty(2, chunks, features, segments)
    with torch.cuda.device_of(x):
        _backward_kernel[(chunks, triton.cdiv(features, _CHANNELS))](
            grad,
            x,
            table,
            grad_x,
            partial,
            rows,
            features,
            start,
            step,
            chunk_rows,
            KNOTS=knots,
            SEGMENTS=segments,
            TILE_ROWS=max(1, _TILE // (_CHANNELS * segments)),
            CHANNELS=_CHANNELS,
        )
    left, right = partial.sum(dim=1)[:, :, : knots - 1]
    grad_table = torch.zeros_like(table)
    grad_table[:, :-1] += left
    grad_table[:, 1:] += right
    return grad_x, grad_table
