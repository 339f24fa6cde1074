"""The compiled sublayers of `models.float.fused.float32`: products and passes in one kernel each.

A stream is float32 in memory [batch, tokens, channels]: image after image. A unit is some images;
it has its own sums and weight gradients, which are added up afterwards, so no bit depends on the
number of threads. A thread takes unit after unit and brings a few images at a time through the
whole sublayer while they are in its L2 cache.

How to read a kernel: `job` is the record of sizes, numbers and addresses that `Kernel` describes; 0
stands for a tensor that is not there. A name in `_at`, or `here` and `there`, is an address or a
distance in bytes: 4 for each float32. A product is `matmul(blas, a, b, c, sizes, leading,
transposed, beta)`: C = A B + beta C with C [sizes 0, sizes 1] and sums over sizes 2; `leading` are
the lengths of the rows of A, B and C in memory. `beta` is 0 for the first images of a unit, then 1:
the weight gradients of its images add up. Shapes: T tokens, C channels (`features`), H hidden
channels, N = images * T rows that go through a sublayer together.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import numpy as np
from numba import carray, njit

from models.float.activations.kernels.bfloat16 import (
    OPTIONS,
    double_pointer,
    float_pointer,
    sum_rows,
    take,
    tile,
)
from models.float.activations.kernels.blas import matmul
from models.float.activations.kernels.lerp_loops import (
    add_products,
    add_to_segments,
    interpolate,
    locate,
    look_up,
    multiply,
    pairs_of,
    scaled,
    slopes_of,
)
from models.float.activations.kernels.openmp import Kernel

EMBED, RELU, TABLES = 0, 1, 2  # kinds of a layer: see `_layer_units`
_BLOCK = 512  # values per block, which stay in the L1 cache
_ZERO, _ONE = np.float32(0), np.float32(1)


# The loops over a block: flat arrays of one size, per-channel vectors tiled to it. Arguments never
# share memory, except where y is read and written.


@njit(**OPTIONS)
def _add_bias(y, bias, sums) -> None:
    for i in range(y.size):
        y[i] += bias[i]
        sums[0, i] += y[i]
        sums[1, i] += y[i] * y[i]


@njit(**OPTIONS)
def _add_bias_and(x, y, bias, sums) -> None:
    for i in range(y.size):
        y[i] += x[i] + bias[i]
        sums[0, i] += y[i]
        sums[1, i] += y[i] * y[i]


@njit(**OPTIONS)
def _mix(x, z, scale, shift, y, sums) -> None:
    for i in range(y.size):
        y[i] = x[i] + scale[i] * z[i] + shift[i]
        sums[0, i] += y[i]
        sums[1, i] += y[i] * y[i]


@njit(**OPTIONS)
def _split(grad, y, constant, linear, g, sums) -> None:
    for i in range(y.size):
        g[i] = grad[i] + constant[i] + linear[i] * y[i]
        sums[i] += g[i]


@njit(**OPTIONS)
def _branch(g, z, scale, dz, sums) -> None:
    for i in range(g.size):
        dz[i] = scale[i] * g[i]
        sums[i] += g[i] * z[i]


@njit(**OPTIONS)
def _relu(h, bias) -> None:
    for i in range(h.size):
        value = h[i] + bias[i]
        h[i] = value if value > _ZERO else _ZERO


@njit(**OPTIONS)
def _mask(grad, h, sums) -> None:
    for i in range(h.size):
        own = grad[i] if h[i] > _ZERO else _ZERO
        grad[i] = own
        sums[i] += own


@njit(**OPTIONS)
def _scaled_and(slope, scale, y) -> None:
    for i in range(y.size):
        y[i] += slope[i] * scale[i]


@njit(**OPTIONS)
def _floats(address, size):
    return carray(float_pointer(address), size)


@njit(**OPTIONS)
def _vector(address, size):
    """Return the per-channel vector at an address, tiled to a block of rows; zeros for none."""
    if address == 0:
        return tile(np.zeros(size, np.float32), _BLOCK)
    return tile(carray(float_pointer(address), size), _BLOCK)


@njit(**OPTIONS)
def _at(address, values, scratch):
    """Return the address of a value of the stream at `address`, or the scratch if there is none."""
    return address + 4 * values if address != 0 else scratch


@njit(**OPTIONS)
def _images(job, unit):
    """Return the first image of a unit."""
    return unit * job.batch // job.chunks


@njit(**OPTIONS)
def _add_sums(sums, row, totals) -> None:
    """Add the sums of a block's rows to float64 totals, and clear them."""
    sum_rows(sums, row)
    for c in range(row.size):
        totals[c] += row[c]


@njit(**OPTIONS)
def _table(values, scale, offset, features, knots, step):
    """Return what `_forward_table` and `_backward_table` need of a table [features, knots].

    These are its pairs of neighbours and its slopes per segment, and three vectors tiled to a
    block: scale (ones if there is none), offset, and the index at which a channel's row begins.
    """
    table = _floats(values, features * knots)
    scale = _vector(scale, features) if scale != 0 else tile(np.ones(features, np.float32), _BLOCK)
    offset = _vector(offset, features)
    rows = tile(np.arange(features).astype(np.int32) * np.int32(knots), _BLOCK)
    return pairs_of(table), slopes_of(table, step), scale, offset, rows


@njit(**OPTIONS)
def _forward_table(x, y, table, start, step, knots) -> None:
    pairs, _, scale, offset, rows = table
    index, rest = np.empty_like(rows), np.empty_like(scale)
    found, last = np.empty(rows.size, np.int64), np.float32(knots - 2)
    for begin in range(0, x.size, rows.size):
        end = min(begin + rows.size, x.size)
        locate(x[begin:end], scale, offset, rows, index, rest, start, step, last)
        look_up(pairs, index[: end - begin], found)
        interpolate(found.view(np.float32), rest, y[begin:end])


@njit(**OPTIONS)
def _backward_table(grad, x, y, table, segments, sums, onto, start, step, knots) -> None:
    """Write the gradient of x to y, which may be `grad`; or add it if `onto`.

    Adds to the table's `segments` (an address) and to `sums`, those of the scale.
    """
    _, slopes, scale, offset, rows = table
    index, rest, slope = np.empty_like(rows), np.empty_like(scale), np.empty_like(scale)
    parts, last = np.empty(2 * scale.size, np.float32), np.float32(knots - 2)
    for begin in range(0, x.size, rows.size):
        end = min(begin + rows.size, x.size)
        part, found = x[begin:end], index[: end - begin]
        locate(part, scale, offset, rows, index, rest, start, step, last)
        look_up(slopes, found, slope)
        multiply(grad[begin:end], rest, slope, parts)
        add_to_segments(found, parts.ctypes.data, segments)
        if onto:
            add_products(slope, part, sums)
            _scaled_and(slope, scale, y[begin:end])
        else:
            scaled(slope, scale, y[begin:end])


def _mixer_units(address) -> None:
    """y = x + scale * (W x) + shift, image by image; z = W x is kept if it has a place."""
    job = carray(address, 1)[0]
    tokens, features = job.tokens, job.features
    size = tokens * features
    scale, shift = _vector(job.scale, features), _floats(job.shift, size)
    scratch, row = np.empty(size, np.float32), np.empty(features, np.float32)
    sums = np.zeros((2, scale.size), np.float32)
    totals = carray(double_pointer(job.sums), (job.chunks, 2, features))
    unit = take(job.counter)
    while unit < job.chunks:
        totals[unit] = 0
        for image in range(_images(job, unit), _images(job, unit + 1)):
            x_at, z_at = job.x + 4 * image * size, _at(job.z, image * size, scratch.ctypes.data)
            leading = (tokens, features, features)
            shape = (tokens, features, tokens)  # z [T, C] = W [T, T] x [T, C]
            matmul(job.blas, job.weight, x_at, z_at, shape, leading, (False, False), _ZERO)
            x, z, y = (
                _floats(x_at, size),
                _floats(z_at, size),
                _floats(job.y + 4 * image * size, size),
            )
            for begin in range(0, size, scale.size):
                at = slice(begin, min(begin + scale.size, size))
                _mix(x[at], z[at], scale, shift[at], y[at], sums)
            _add_sums(sums[0], row, totals[unit, 0])
            _add_sums(sums[1], row, totals[unit, 1])
        unit = take(job.counter)


def _mixer_back_units(address) -> None:
    """The gradients of `_mixer_units`; g = grad + constant + linear * y is the whole one of y.

    dz = scale * g is the gradient of z, dz x^T that of W; `shifts` are the sums of g over the
    images, `scales` those of g * z over images and tokens. The gradient of x is g + W^T dz, where
    W^T dz is added in place only if x needs a gradient (`deep`).
    """
    job = carray(address, 1)[0]
    tokens, features = job.tokens, job.features
    size = tokens * features
    scale = _vector(job.scale, features)
    constant, linear = _vector(job.constant, features), _vector(job.linear, features)
    dz, row = np.empty(size, np.float32), np.empty(features, np.float32)
    sums = np.zeros(scale.size, np.float32)
    shifts = carray(float_pointer(job.sums), (job.chunks, size))
    scales = carray(double_pointer(job.scales), (job.chunks, features))
    unit = take(job.counter)
    while unit < job.chunks:
        shifts[unit], scales[unit], beta = 0, 0, _ZERO
        weight_at = job.grad_weight + 4 * unit * tokens * tokens
        for image in range(_images(job, unit), _images(job, unit + 1)):
            here = 4 * image * size
            grad, y, z = (
                _floats(job.grad + here, size),
                _floats(job.y + here, size),
                _floats(job.z + here, size),
            )
            g = _floats(job.g + here, size)
            for begin in range(0, size, scale.size):
                at = slice(begin, min(begin + scale.size, size))
                _split(grad[at], y[at], constant, linear, g[at], shifts[unit, at])
                _branch(g[at], z[at], scale, dz[at], sums)
            _add_sums(sums, row, scales[unit])
            wide = (features, features, tokens)
            matmul(  # grad_weight [T, T] += dz [T, C] x^T [C, T]
                job.blas,
                dz.ctypes.data,
                job.x + here,
                weight_at,
                (tokens, tokens, features),
                wide,
                (False, True),
                beta,
            )
            beta = _ONE
            if job.deep:
                matmul(  # g [T, C] += W^T [T, T] dz [T, C]
                    job.blas,
                    job.weight,
                    dz.ctypes.data,
                    job.g + here,
                    (tokens, features, tokens),
                    (tokens, features, features),
                    (True, False),
                    _ONE,
                )
        unit = take(job.counter)


def _layer_units(address) -> None:
    """y = x + act(x) W2^T + bias, with act by kind, or v W2^T + bias for the embedding's v.

    RELU: v = relu(x W1^T + bias1). TABLES: u = lerp(x), h = u W1^T, v = lerp(h). What has no place
    is not kept.
    """
    job = carray(address, 1)[0]
    features, hidden = job.features, job.hidden
    together = job.together  # images that go through the sublayer together
    bias = _vector(job.bias, features)
    sums, row = np.zeros((2, bias.size), np.float32), np.empty(features, np.float32)
    totals = carray(double_pointer(job.sums), (job.chunks, 2, features))
    scratch_u = np.empty(together * job.tokens * features if job.kind == TABLES else 0, np.float32)
    scratch_v = np.empty(together * job.tokens * hidden if job.v == 0 else 0, np.float32)
    bias_hidden = _vector(job.bias_hidden, hidden)
    if job.kind == TABLES:
        table_in = _table(job.table_in, job.scale, job.offset, features, job.knots_in, job.step_in)
        table = _table(job.table, 0, job.bias_hidden, hidden, job.knots, job.step)
    unit = take(job.counter)
    while unit < job.chunks:
        totals[unit] = 0
        for first in range(_images(job, unit), _images(job, unit + 1), together):
            begin = first * job.tokens
            count = min(first + together, _images(job, unit + 1)) * job.tokens - begin
            x_at, y_at = job.x + 4 * begin * features, job.y + 4 * begin * features
            v_at = _at(job.v, begin * hidden, scratch_v.ctypes.data)
            x, y, v = (
                _floats(x_at, count * features),
                _floats(y_at, count * features),
                _floats(v_at, count * hidden),
            )
            # [N, H] = [N, C] W1^T [C, H]
            into = ((count, hidden, features), (features, features, hidden), (False, True))
            if job.kind == RELU:
                matmul(job.blas, x_at, job.first, v_at, into[0], into[1], into[2], _ZERO)
                for block in range(0, v.size, bias_hidden.size):
                    _relu(v[block : block + bias_hidden.size], bias_hidden)
            elif job.kind == TABLES:
                u_at = _at(job.u, begin * features, scratch_u.ctypes.data)
                h_at = _at(job.h, begin * hidden, v_at)
                _forward_table(
                    x, _floats(u_at, x.size), table_in, job.start_in, job.step_in, job.knots_in
                )
                matmul(job.blas, u_at, job.first, h_at, into[0], into[1], into[2], _ZERO)
                _forward_table(_floats(h_at, v.size), v, table, job.start, job.step, job.knots)
            matmul(  # y [N, C] = v [N, H] W2^T [H, C]
                job.blas,
                v_at,
                job.second,
                y_at,
                (count, features, hidden),
                (hidden, hidden, features),
                (False, True),
                _ZERO,
            )
            for block in range(0, y.size, bias.size):
                at = slice(block, min(block + bias.size, y.size))
                if job.kind == EMBED:
                    _add_bias(y[at], bias, sums)
                else:
                    _add_bias_and(x[at], y[at], bias, sums)
            _add_sums(sums[0], row, totals[unit, 0])
            _add_sums(sums[1], row, totals[unit, 1])
        unit = take(job.counter)


def _layer_back_units(address) -> None:
    """The gradients of `_layer_units`; g = grad + constant + linear * y is the whole one of y.

    In the order of the code: the sums of g, which are the gradient of the bias; that of W2 from g
    and v; that of v, and from it, in place, that of the activation's input; that of W1; that of x,
    which is added to g (for tables, or if x needs one: `deep`). `totals`, `hidden_totals` and
    `scales` are sums per channel for each unit.
    """
    job = carray(address, 1)[0]
    features, hidden = job.features, job.hidden
    together = job.together  # images that go through the sublayer together
    constant, linear = _vector(job.constant, features), _vector(job.linear, features)
    row, wide_row = np.empty(features, np.float32), np.empty(hidden, np.float32)
    sums = np.zeros(linear.size, np.float32)
    hidden_sums = np.zeros(max(1, _BLOCK // hidden) * hidden, np.float32)
    totals = carray(double_pointer(job.sums), (job.chunks, features))
    hidden_totals = carray(double_pointer(job.hidden_sums), (job.chunks, hidden))
    scales = carray(double_pointer(job.scales), (job.chunks, features))
    rows = together * job.tokens
    grad_v = np.empty(rows * hidden if job.kind != EMBED else 0, np.float32)
    grad_u = np.empty(rows * features if job.kind == TABLES else 0, np.float32)
    repeated = np.empty(rows * features if job.shared else 0, np.float32)
    if job.kind == TABLES:
        table_in = _table(job.table_in, job.scale, job.offset, features, job.knots_in, job.step_in)
        table = _table(job.table, 0, job.bias_hidden, hidden, job.knots, job.step)
        segments_in = carray(
            float_pointer(job.segments_in), (job.chunks, 2 * features * job.knots_in)
        )
        segments = carray(float_pointer(job.segments), (job.chunks, 2 * hidden * job.knots))
    unit = take(job.counter)
    while unit < job.chunks:
        totals[unit], beta = 0, _ZERO
        if job.kind == RELU:
            hidden_totals[unit] = 0
        elif job.kind == TABLES:
            segments_in[unit], segments[unit], scales[unit] = 0, 0, 0
        second_at = job.grad_second + 4 * unit * features * hidden
        first_at = job.grad_first + 4 * unit * features * hidden
        for first in range(_images(job, unit), _images(job, unit + 1), together):
            begin = first * job.tokens
            count = min(first + together, _images(job, unit + 1)) * job.tokens - begin
            here, there = 4 * begin * features, 4 * begin * hidden
            if job.shared:  # one row of gradients per image, the same for all tokens
                for image in range(count // job.tokens):
                    own = _floats(job.grad + 4 * (first + image) * features, features)
                    for token in range(job.tokens):
                        place = (image * job.tokens + token) * features
                        repeated[place : place + features] = own
            grad = _floats(
                repeated.ctypes.data if job.shared else job.grad + here, count * features
            )
            y, g = _floats(job.y + here, count * features), _floats(job.g + here, count * features)
            for block in range(0, y.size, linear.size):
                at = slice(block, min(block + linear.size, y.size))
                _split(grad[at], y[at], constant, linear, g[at], sums)
            _add_sums(sums, row, totals[unit])
            matmul(  # grad_second [C, H] += g^T [C, N] v [N, H]
                job.blas,
                job.g + here,
                job.v + there,
                second_at,
                (features, hidden, count),
                (features, hidden, hidden),
                (True, False),
                beta,
            )
            if job.kind != EMBED:
                own_v = grad_v[: count * hidden]
                own_at = grad_v.ctypes.data
                matmul(  # own_v [N, H] = g [N, C] W2 [C, H]
                    job.blas,
                    job.g + here,
                    job.second,
                    own_at,
                    (count, hidden, features),
                    (features, hidden, hidden),
                    (False, False),
                    _ZERO,
                )
                if job.kind == RELU:
                    v = _floats(job.v + there, count * hidden)
                    for block in range(0, v.size, hidden_sums.size):
                        at = slice(block, min(block + hidden_sums.size, v.size))
                        _mask(own_v[at], v[at], hidden_sums)
                    _add_sums(hidden_sums, wide_row, hidden_totals[unit])
                else:
                    h = _floats(job.h + there, count * hidden)
                    _backward_table(
                        own_v,
                        h,
                        own_v,
                        table,
                        segments[unit].ctypes.data,
                        hidden_sums,
                        False,
                        job.start,
                        job.step,
                        job.knots,
                    )
                inner_at = job.x + here if job.kind == RELU else job.u + here
                matmul(  # grad_first [H, C] += own_v^T [H, N] (x or u) [N, C]
                    job.blas,
                    own_at,
                    inner_at,
                    first_at,
                    (hidden, features, count),
                    (hidden, features, features),
                    (True, False),
                    beta,
                )
                # [N, C] = own_v [N, H] W1 [H, C]
                back = ((count, features, hidden), (hidden, features, features), (False, False))
                if job.kind == TABLES:
                    matmul(
                        job.blas,
                        own_at,
                        job.first,
                        grad_u.ctypes.data,
                        back[0],
                        back[1],
                        back[2],
                        _ZERO,
                    )
                    x = _floats(job.x + here, count * features)
                    _backward_table(
                        grad_u[: count * features],
                        x,
                        g,
                        table_in,
                        segments_in[unit].ctypes.data,
                        sums,
                        True,
                        job.start_in,
                        job.step_in,
                        job.knots_in,
                    )
                    _add_sums(sums, row, scales[unit])
                elif job.deep:
                    matmul(
                        job.blas, own_at, job.first, job.g + here, back[0], back[1], back[2], _ONE
                    )
            beta = _ONE
        unit = take(job.counter)


_GRIDS = "knots_in knots"
_SCALARS = "start_in step_in start step"
_TABLES = "table_in table scale offset bias_hidden"
MIXER = Kernel(_mixer_units, "batch tokens features", "", "blas x weight scale shift z y sums")
MIXER_BACK = Kernel(
    _mixer_back_units,
    "batch tokens features deep",
    "",
    "blas grad y x z weight scale constant linear g grad_weight sums scales",
)
LAYER = Kernel(
    _layer_units,
    f"kind batch together tokens features hidden {_GRIDS}",
    _SCALARS,
    f"blas x first second bias u h v y sums {_TABLES}",
)
LAYER_BACK = Kernel(
    _layer_back_units,
    f"kind batch together tokens features hidden shared deep {_GRIDS}",
    _SCALARS,
    "blas grad y x u h v first second constant linear g grad_first grad_second sums hidden_sums "
    f"scales segments_in segments {_TABLES}",
)
