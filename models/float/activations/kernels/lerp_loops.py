"""The compiled loops of `lerp_cpu`.

A chunk of rows is processed in blocks of about 512 values, which stay in the L1 cache. Each block
is processed by several short loops. A single loop would be half as fast, because the compiler would
not vectorise it.
"""

# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of what it compiles

import numpy as np
from numba import carray, njit, types
from numba.extending import overload

from .bfloat16 import (
    OPTIONS,
    add_pair,
    bfloat_pointer,
    float_pointer,
    put,
    sum_rows,
    take,
    tile,
    widen,
)
from .openmp import Kernel

_BLOCK = 512  # values per block: index, rest and offsets stay in the L1 cache


def _position(x, scale, offset, start, step):
    """Return the position of x in the grid, in units of segments; only for compiled code."""
    raise NotImplementedError


@overload(_position, inline="always")
def _(x, scale, offset, start, step):
    if x == types.uint16:  # bfloat16: scale and offset contain start and step, no division
        return lambda x, scale, offset, start, step: scale * widen(x) + offset
    return lambda x, scale, offset, start, step: (scale * x + offset - start) / step


@njit(**OPTIONS)
def locate(x, scale, offset, rows, index, rest, start, step, last) -> None:
    """Write each value's segment (index into the flat table) and its position in the segment."""
    for value in range(x.size):
        u = _position(x[value], scale[value], offset[value], start, step)
        segment = np.floor(u)
        segment = segment if segment > np.float32(0) else np.float32(0)
        segment = segment if segment < last else last
        rest[value] = u - segment
        index[value] = rows[value] + np.int32(segment)


@njit(**OPTIONS)
def look_up(table, index, found) -> None:
    """Write table[index] to `found`."""
    for value in range(index.size):
        found[value] = table[index[value]]


@njit(**OPTIONS)
def interpolate(ends, rest, y) -> None:
    """Compute y from pairs (left end, difference to the right end) of each value's segment."""
    for value in range(y.size):
        put(y, value, ends[2 * value] + ends[2 * value + 1] * rest[value])


@njit(**OPTIONS)
def multiply(grad, rest, slope, parts) -> None:
    """Multiply slope by grad, in place, and write the pairs (grad, rest * grad) to `parts`.

    The product is the gradient of scale * x + offset.
    """
    for value in range(grad.size):
        own = widen(grad[value])
        slope[value] *= own
        parts[2 * value] = own
        parts[2 * value + 1] = rest[value] * own


@njit(**OPTIONS)
def add_to_segments(index, parts, sums) -> None:
    """Add each value's pair to the pair of sums of its segment; parts and sums are addresses."""
    for value in range(index.size):
        add_pair(sums + 8 * np.int64(index[value]), parts + 8 * value)


@njit(**OPTIONS)
def add_products(slope, x, sums) -> None:
    """Add slope * x to the sums of a block."""
    for value in range(x.size):
        sums[value] += slope[value] * widen(x[value])


@njit(**OPTIONS)
def scaled(slope, scale, y) -> None:
    """Write slope * scale to y, which may be slope."""
    for value in range(y.size):
        put(y, value, slope[value] * scale[value])


@njit(**OPTIONS)
def scaled_onto(slope, scale, others, y) -> None:
    """Write others + slope * scale to y."""
    for value in range(y.size):
        put(y, value, widen(others[value]) + slope[value] * scale[value])


@njit(**OPTIONS)
def _begin(job, chunk):
    """Return the index in the flat x at which a chunk begins; chunks have about equal rows."""
    return chunk * job.rows // job.chunks * job.features


@njit(**OPTIONS)
def _positions(job):
    """Return scale and offset for `_position`, and the start of each channel's row in the table.

    All three are tiled to a block.
    """
    scale = tile(carray(float_pointer(job.scale), job.features), _BLOCK)
    offset = tile(carray(float_pointer(job.offset), job.features), _BLOCK)
    if job.narrow:
        scale, offset = scale / job.step, (offset - job.start) / job.step
    rows = tile(np.arange(job.features).astype(np.int32) * np.int32(job.knots), _BLOCK)
    return scale, offset, rows


@njit(**OPTIONS)
def pairs_of(table):
    """Return left end and difference of every segment packed in 64 bits, for a single load."""
    pairs = np.zeros(2 * table.size, np.float32)
    for i in range(table.size - 1):  # the pair across two rows is never looked up
        pairs[2 * i] = table[i]
        pairs[2 * i + 1] = table[i + 1] - table[i]
    return pairs.view(np.int64)


@njit(**OPTIONS)
def slopes_of(table, step):
    """Return the slope of every segment."""
    slopes, inverse = np.zeros(table.size, np.float32), np.float32(1) / step
    for i in range(table.size - 1):
        slopes[i] = (table[i + 1] - table[i]) * inverse
    return slopes


@njit(**OPTIONS)
def _forward(job, x, y) -> None:
    table = carray(float_pointer(job.table), job.features * job.knots)
    pairs = pairs_of(table)
    scale, offset, rows = _positions(job)
    index, rest = np.empty_like(rows), np.empty_like(scale)
    found = np.empty(rows.size, np.int64)
    last = np.float32(job.knots - 2)
    chunk = take(job.counter)
    while chunk < job.chunks:
        for begin in range(_begin(job, chunk), _begin(job, chunk + 1), rows.size):
            end = min(begin + rows.size, _begin(job, chunk + 1))
            locate(x[begin:end], scale, offset, rows, index, rest, job.start, job.step, last)
            look_up(pairs, index[: end - begin], found)
            interpolate(found.view(np.float32), rest, y[begin:end])
        chunk = take(job.counter)


@njit(**OPTIONS)
def _backward(job, x, grad, others, y) -> None:
    table = carray(float_pointer(job.table), job.features * job.knots)
    slopes = slopes_of(table, job.step)
    segments = carray(float_pointer(job.segments), (job.chunks, 2 * table.size))
    products = carray(float_pointer(job.products), (job.chunks, job.features))
    place, offset, rows = _positions(job)
    scale = tile(carray(float_pointer(job.scale), job.features), _BLOCK)
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
            locate(part, place, offset, rows, index, rest, job.start, job.step, last)
            look_up(slopes, found, slope)
            multiply(grad[begin:end], rest, slope, parts)
            add_to_segments(found, parts.ctypes.data, own)
            if job.products != 0:
                add_products(slope, part, sums)
            if job.others != 0:
                scaled_onto(slope, scale, others[begin:end], y[begin:end])
            else:
                scaled(slope, scale, y[begin:end])
        if job.products != 0:
            sum_rows(sums, products[chunk])
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
FORWARD = Kernel(_forward_chunks, _SIZES, "start step", "x scale offset table y")
BACKWARD = Kernel(
    _backward_chunks, _SIZES, "start step", "x scale offset table grad others y segments products"
)
