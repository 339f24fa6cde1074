"""Fused forward and backward of `lerp` on the CPU, compiled by numba when first imported.

The kernels compute lerp(scale * x + offset), scale and offset per channel: a norm before the
activation, or the bias of a linear layer, then costs no pass of its own. x, y and gradients are
float32 or bfloat16, every sum is float32.

A chunk goes through blocks of about 512 values that stay in the first-level cache. The loops over a
block are kept apart: one loop that does everything is half as fast, because the compiler does not
dare to turn it into vector code.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from models._cpu_kernels import (
    OPTIONS,
    Kernel,
    add_pair,
    bfloat_pointer,
    float_pointer,
    fold,
    put,
    take,
    tile,
    widen,
)

_BLOCK = 512  # values per block: index, rest and offsets stay in the first-level cache
_CHUNK = 16384  # fewest values per chunk: about 20 microseconds of work
_MOST_CHUNKS = 64


@njit(**OPTIONS)
def _locate(x, scale, offset, rows, index, rest, start, step, last) -> None:
    """Write each value's segment as an index into the flat table, and the way into the segment."""
    for value in range(x.size):
        u = (scale[value] * widen(x[value]) + offset[value] - start) / step
        segment = np.floor(u)
        segment = segment if segment > np.float32(0) else np.float32(0)
        segment = segment if segment < last else last
        rest[value] = u - segment
        index[value] = rows[value] + np.int32(segment)


@njit(**OPTIONS)
def _look_up(table, index, found) -> None:
    for value in range(index.size):
        found[value] = table[index[value]]


@njit(**OPTIONS)
def _interpolate(ends, rest, y) -> None:
    """Write y from each value's pair of left end and rise of its segment."""
    for value in range(y.size):
        put(y, value, ends[2 * value] + ends[2 * value + 1] * rest[value])


@njit(**OPTIONS)
def _multiply(grad, rest, slope, parts) -> None:
    """Turn slope into the gradient of scale * x + offset; pair grad with rest * grad."""
    for value in range(grad.size):
        own = widen(grad[value])
        slope[value] *= own
        parts[2 * value] = own
        parts[2 * value + 1] = rest[value] * own


@njit(**OPTIONS)
def _add_to_segments(index, parts, sums) -> None:
    """Add each value's pair to the pair of sums of its segment; addresses of the pairs."""
    for value in range(index.size):
        add_pair(sums + 8 * np.int64(index[value]), parts + 8 * value)


@njit(**OPTIONS)
def _add_products(slope, x, sums) -> None:
    for value in range(x.size):
        sums[value] += slope[value] * widen(x[value])


@njit(**OPTIONS)
def _scaled(slope, scale, y) -> None:
    for value in range(y.size):
        put(y, value, slope[value] * scale[value])


@njit(**OPTIONS)
def _scaled_onto(slope, scale, others, y) -> None:
    for value in range(y.size):
        put(y, value, widen(others[value]) + slope[value] * scale[value])


@njit(**OPTIONS)
def _begin(job, chunk):
    """Return where in the flat x a chunk begins: whole rows, as many in each as can be."""
    return chunk * job.rows // job.chunks * job.features


@njit(**OPTIONS)
def _blocks(job):
    """Return scale, offset and the start of the table row of each value of a block of rows."""
    scale = tile(carray(float_pointer(job.scale), job.features), _BLOCK)
    offset = tile(carray(float_pointer(job.offset), job.features), _BLOCK)
    rows = tile(np.arange(job.features).astype(np.int32) * np.int32(job.knots), _BLOCK)
    return scale, offset, rows


@njit(**OPTIONS)
def _pairs(table):
    """Return left end and rise of every segment as 64 bits: one load then finds both."""
    pairs = np.zeros(2 * table.size, np.float32)
    for i in range(table.size - 1):  # what crosses from row to row is never looked up
        pairs[2 * i] = table[i]
        pairs[2 * i + 1] = table[i + 1] - table[i]
    return pairs.view(np.int64)


@njit(**OPTIONS)
def _slopes(table, step):
    """Return the slope of every segment."""
    slopes, inverse = np.zeros(table.size, np.float32), np.float32(1) / step
    for i in range(table.size - 1):
        slopes[i] = (table[i + 1] - table[i]) * inverse
    return slopes


@njit(**OPTIONS)
def _forward(job, x, y) -> None:
    table = carray(float_pointer(job.table), job.features * job.knots)
    pairs = _pairs(table)
    scale, offset, rows = _blocks(job)
    index, rest = np.empty_like(rows), np.empty_like(scale)
    found = np.empty(rows.size, np.int64)
    last = np.float32(job.knots - 2)
    chunk = take(job.counter)
    while chunk < job.chunks:
        for begin in range(_begin(job, chunk), _begin(job, chunk + 1), rows.size):
            end = min(begin + rows.size, _begin(job, chunk + 1))
            _locate(x[begin:end], scale, offset, rows, index, rest, job.start, job.step, last)
            _look_up(pairs, index[: end - begin], found)
            _interpolate(found.view(np.float32), rest, y[begin:end])
        chunk = take(job.counter)


@njit(**OPTIONS)
def _backward(job, x, grad, others, y) -> None:
    table = carray(float_pointer(job.table), job.features * job.knots)
    slopes = _slopes(table, job.step)
    segments = carray(float_pointer(job.segments), (job.chunks, 2 * table.size))
    products = carray(float_pointer(job.products), (job.chunks, job.features))
    scale, offset, rows = _blocks(job)
    index, rest, slope = np.empty_like(rows), np.empty_like(scale), np.empty_like(scale)
    sums, parts = np.zeros_like(scale), np.empty(2 * scale.size, np.float32)
    last = np.float32(job.knots - 2)
    chunk = take(job.counter)
    while chunk < job.chunks:
        segments[chunk] = 0
        own = job.segments + 8 * table.size * chunk
        for begin in range(_begin(job, chunk), _begin(job, chunk + 1), rows.size):
            end = min(begin + rows.size, _begin(job, chunk + 1))
            part, found = x[begin:end], index[: end - begin]
            _locate(part, scale, offset, rows, index, rest, job.start, job.step, last)
            _look_up(slopes, found, slope)
            _multiply(grad[begin:end], rest, slope, parts)
            _add_to_segments(found, parts.ctypes.data, own)
            if job.products != 0:
                _add_products(slope, part, sums)
            if job.others != 0:
                _scaled_onto(slope, scale, others[begin:end], y[begin:end])
            else:
                _scaled(slope, scale, y[begin:end])
        if job.products != 0:
            fold(sums, products[chunk])
        chunk = take(job.counter)


def _forward_chunks(address) -> None:
    job = carray(address, 1)[0]
    size = job.rows * job.features
    if job.narrow:
        _forward(job, carray(bfloat_pointer(job.x), size), carray(bfloat_pointer(job.y), size))
    else:
        _forward(job, carray(float_pointer(job.x), size), carray(float_pointer(job.y), size))


def _backward_chunks(address) -> None:
    job = carray(address, 1)[0]
    size = job.rows * job.features
    if job.narrow:
        x, grad = carray(bfloat_pointer(job.x), size), carray(bfloat_pointer(job.grad), size)
        others, y = carray(bfloat_pointer(job.others), size), carray(bfloat_pointer(job.y), size)
        _backward(job, x, grad, others, y)
    else:
        x_, grad_ = carray(float_pointer(job.x), size), carray(float_pointer(job.grad), size)
        others_, y_ = carray(float_pointer(job.others), size), carray(float_pointer(job.y), size)
        _backward(job, x_, grad_, others_, y_)


_SIZES = "rows features knots narrow"
_FORWARD = Kernel(_forward_chunks, _SIZES, "start step", "x scale offset table y")
_BACKWARD = Kernel(
    _backward_chunks, _SIZES, "start step", "x scale offset table grad others y segments products"
)


def forward(
    x: Tensor,
    table: Tensor,
    start: float,
    step: float,
    scale: Tensor | None = None,
    offset: Tensor | None = None,
) -> Tensor:
    """Return lerp(scale * x + offset) in x's dtype.

    x [..., F], the float32 table [F, G], scale and offset [F] (ones and zeros where not given) are
    contiguous.
    """
    wide = x.float() if x.dtype == torch.float16 else x
    y = torch.empty_like(wide)
    inputs = _inputs(wide, table, start, step, scale, offset)
    _FORWARD(_chunks(x), **inputs, y=y)
    return y.to(x.dtype)


def backward(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and of the table; all arguments contiguous, the table float32."""
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
    """Return the gradients of x, the table, the offset and (where there is one) the scale.

    `grad` and `others` are of x's dtype, float32 or bfloat16; `others`, the gradient that x gets
    from elsewhere, is added to the gradient of x in the same pass. All arguments are contiguous.
    """
    grad_x, segments, products = _backward_sums(
        grad, x, table, start, step, scale, offset, others=others
    )
    # Within a segment the slope is one number: the offset's gradient needs no sum of its own.
    grad_offset = (table.diff(dim=1) * segments[:, :-1, 0]).sum(dim=1) / step
    return grad_x, _table_gradient(segments), grad_offset, products


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
    """Return the gradient of x, per segment the sums of grad and rest * grad, and of the scale."""
    chunks = min(_chunks(x), max(1, x.numel() // (8 * table.numel())))
    grad_x, segments = torch.empty_like(x), torch.empty(chunks, *table.shape, 2)
    products = None if scale is None else torch.empty(chunks, table.shape[0])
    inputs = _inputs(x, table, start, step, scale, offset)
    outputs = {"y": grad_x, "segments": segments}
    outputs |= {} if others is None else {"others": others}
    outputs |= {} if products is None else {"products": products}
    _BACKWARD(chunks, **inputs, grad=grad, **outputs)
    return grad_x, segments.sum(dim=0), None if products is None else products.sum(dim=0)


def _table_gradient(segments: Tensor) -> Tensor:
    total, right = segments.unbind(dim=-1)
    gradient = total - right
    gradient[:, 1:] += right[:, :-1]
    return gradient


def _chunks(x: Tensor) -> int:
    return min(max(1, x.numel() // _CHUNK), _MOST_CHUNKS)
