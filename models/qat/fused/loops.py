"""The compiled loops of `models.qat.fused.streams`.

Streams are bfloat16 [tokens, batch, channels] with int8 values, which are exact in bfloat16.
Accumulators are int32. A requantisation is computed as floor(acc * 2^-shift + 1/2) + bias in
float32. This is exact: |acc| is at most 2^24, so the product is exact. The addition of 1/2 can
round only where acc + 2^(shift - 1) is above 2^24; the fraction of the sum is then at most 1/2, too
far from the next integer for the floor to change. `inside` has one bit per clamp; the bit is set if
the clamp did not change the value, so that the gradient passes. Streams are divided into units as
in `models.float.fused.streams`, which also says how to read a kernel; every unit has its own sums.

Names: `inverse` is 2^-shift, `row_inverse` and `row_bias` those of the token mixer's linear layer,
one per token; `wide` is a value before its clamp, `held` the one after it. The shortcut is scaled
by `factor`, its weight times 2^-shift; `shrink` is that 2^-shift. `lowest` is 0 with ReLU, -128
without.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import numpy as np
from numba import carray, njit

from models.float.activations.kernels.bfloat16 import (
    OPTIONS,
    bfloat_pointer,
    byte_pointer,
    float_pointer,
    narrow,
    put,
    sum_rows,
    take,
    tile,
    widen,
)
from models.float.activations.kernels.openmp import Kernel

_BLOCK = 512  # values per block, which stay in the L1 cache
# The bits of `inside`: clamp after the linear layer, the affine, the shortcut, the addition
_IN_LINEAR, _IN_AFFINE = np.uint8(1), np.uint8(2)
_IN_SHORTCUT, _IN_SUM = np.uint8(4), np.uint8(8)
_HALF, _LOW, _HIGH = np.float32(0.5), np.float32(-128), np.float32(127)
_NONE = np.uint8(0)


@njit(**OPTIONS)
def _clip(value):
    """Return the value clamped to int8; both comparisons are false for NaN, which there is not."""
    value = value if value > _LOW else _LOW
    return value if value < _HIGH else _HIGH


# The loops over a block. Arguments never share memory; otherwise they would not be vectorised.


@njit(**OPTIONS)
def _linear(acc, inverse, bias, lowest, y, inside) -> None:
    for i in range(y.size):
        wide = np.floor(np.float32(acc[i]) * inverse[i] + _HALF) + bias[i]
        held = _clip(wide)
        held = held if held > lowest else lowest
        put(y, i, held)
        inside[i] = _IN_LINEAR if wide == held else _NONE


@njit(**OPTIONS)
def _affine(x, weight, inverse, bias, y, inside) -> None:
    for i in range(y.size):
        wide = np.floor(widen(x[i]) * weight[i] * inverse[i] + _HALF) + bias[i]
        held = _clip(wide)
        put(y, i, held)
        inside[i] |= _IN_AFFINE if wide == held else _NONE


@njit(**OPTIONS)
def _add(branch, x, factor, y, inside) -> None:
    for i in range(y.size):
        wide = np.floor(widen(x[i]) * factor + _HALF)
        held = _clip(wide)
        total = branch[i] + held
        result = _clip(total)
        put(y, i, result)
        shortcut = _IN_SHORTCUT if wide == held else _NONE
        inside[i] |= shortcut | (_IN_SUM if total == result else _NONE)


@njit(**OPTIONS)
def _linear_back(grad, inside, inverse, grad_acc, sums) -> None:
    for i in range(grad_acc.size):
        own = widen(grad[i]) if inside[i] & _IN_LINEAR else np.float32(0)
        sums[0, i] += own
        grad_acc[i] = narrow(own * inverse[i])


@njit(**OPTIONS)
def _affine_back(grad, x, inside, weight, inverse, grad_x, sums) -> None:
    for i in range(x.size):
        own = widen(grad[i]) if inside[i] & _IN_AFFINE else np.float32(0)
        scaled = own * inverse[i]
        sums[0, i] += scaled * widen(x[i])
        sums[1, i] += own
        grad_x[i] = scaled * weight[i]


@njit(**OPTIONS)
def _add_back(grad, x, inside, factor, shrink, grad_x, grad_branch, sums) -> None:
    for i in range(grad.size):
        own = widen(grad[i]) if inside[i] & _IN_SUM else np.float32(0)
        grad_branch[i] = own
        shortcut = own if inside[i] & _IN_SHORTCUT else np.float32(0)
        sums[0, i] += shortcut * widen(x[i]) * shrink
        grad_x[i] = narrow(shortcut * factor)


@njit(**OPTIONS)
def _add_onto(extra, grad) -> None:
    for i in range(grad.size):
        grad[i] = narrow(widen(grad[i]) + extra[i])


@njit(**OPTIONS)
def _locate(x, rows, index) -> None:
    for i in range(x.size):
        index[i] = rows[i] + np.int32(widen(x[i]))


@njit(**OPTIONS)
def _look_up(index, table, y) -> None:
    for i in range(y.size):
        y[i] = table[index[i]]


@njit(**OPTIONS)
def _begin(job, unit):
    """Return the index in the flat stream at which a unit begins."""
    token, part = unit // job.parts, unit % job.parts
    return (token * job.batch + part * job.batch // job.parts) * job.features


@njit(**OPTIONS)
def _stream(job, address):
    return carray(bfloat_pointer(address), job.chunks // job.parts * job.batch * job.features)


@njit(**OPTIONS)
def _bits(job):
    return carray(byte_pointer(job.inside), job.chunks // job.parts * job.batch * job.features)


@njit(**OPTIONS)
def _accumulators(job):
    size = job.chunks // job.parts * job.batch * job.features
    return carray(float_pointer(job.acc), size).view(np.int32)


@njit(**OPTIONS)
def _block(job, address):
    """Return the per-channel vector at an address, tiled to a block of rows."""
    return tile(carray(float_pointer(address), job.features), _BLOCK)


@njit(**OPTIONS)
def _row(job, address, unit):
    """Return the element for a unit's token of the per-token vector at an address."""
    return carray(float_pointer(address), job.chunks // job.parts)[unit // job.parts]


@njit(**OPTIONS)
def _write_sums(job, unit, sums) -> None:
    totals = carray(float_pointer(job.sums), (job.chunks, sums.shape[0], job.features))
    for row in range(sums.shape[0]):
        sum_rows(sums[row], totals[unit, row])


def _affine_units(address) -> None:
    job = carray(address, 1)[0]
    x, y, inside = _stream(job, job.x), _stream(job, job.y), _bits(job)
    weight, inverse, bias = _block(job, job.weight), _block(job, job.inverse), _block(job, job.bias)
    unit = take(job.counter)
    while unit < job.chunks:
        for begin in range(_begin(job, unit), _begin(job, unit + 1), bias.size):
            at = slice(begin, min(begin + bias.size, _begin(job, unit + 1)))
            inside[at] = _NONE
            _affine(x[at], weight, inverse, bias, y[at], inside[at])
        unit = take(job.counter)


def _affine_back_units(address) -> None:
    job = carray(address, 1)[0]
    grad, x, inside = _stream(job, job.grad), _stream(job, job.x), _bits(job)
    grad_x = _stream(job, job.grad_x)
    weight, inverse = _block(job, job.weight), _block(job, job.inverse)
    sums, extra = np.zeros((2, weight.size), np.float32), np.empty_like(weight)
    unit = take(job.counter)
    while unit < job.chunks:
        for begin in range(_begin(job, unit), _begin(job, unit + 1), weight.size):
            at = slice(begin, min(begin + weight.size, _begin(job, unit + 1)))
            _affine_back(grad[at], x[at], inside[at], weight, inverse, extra, sums)
            _add_onto(extra, grad_x[at])
        _write_sums(job, unit, sums)
        unit = take(job.counter)


def _linear_units(address) -> None:
    job = carray(address, 1)[0]
    acc, x, y, inside = _accumulators(job), _stream(job, job.x), _stream(job, job.y), _bits(job)
    inverse, bias = _block(job, job.inverse), _block(job, job.bias)
    branch = np.empty_like(bias)
    unit = take(job.counter)
    while unit < job.chunks:
        for begin in range(_begin(job, unit), _begin(job, unit + 1), bias.size):
            at = slice(begin, min(begin + bias.size, _begin(job, unit + 1)))
            if job.x == 0:
                _linear(acc[at], inverse, bias, job.lowest, y[at], inside[at])
            else:
                _linear(acc[at], inverse, bias, _LOW, branch[: at.stop - begin], inside[at])
                _add(branch, x[at], job.factor, y[at], inside[at])
        unit = take(job.counter)


def _linear_back_units(address) -> None:
    job = carray(address, 1)[0]
    grad, x, inside = _stream(job, job.grad), _stream(job, job.x), _bits(job)
    grad_x, grad_acc = _stream(job, job.grad_x), _stream(job, job.grad_acc)
    inverse = _block(job, job.inverse)
    sums, branch = np.zeros((2, inverse.size), np.float32), np.empty_like(inverse)
    unit = take(job.counter)
    while unit < job.chunks:
        for begin in range(_begin(job, unit), _begin(job, unit + 1), inverse.size):
            at = slice(begin, min(begin + inverse.size, _begin(job, unit + 1)))
            own, bits, out = grad[at], inside[at], grad_acc[at]
            if job.x == 0:
                _linear_back(own, bits, inverse, out, sums)
            else:
                _add_back(own, x[at], bits, job.factor, job.shrink, grad_x[at], branch, sums[1:])
                _linear_back(branch, bits, inverse, out, sums)
        _write_sums(job, unit, sums)
        unit = take(job.counter)


def _mixer_units(address) -> None:
    job = carray(address, 1)[0]
    acc, x, y, inside = _accumulators(job), _stream(job, job.x), _stream(job, job.y), _bits(job)
    z, weight, inverse = _stream(job, job.z), _block(job, job.weight), _block(job, job.inverse)
    bias = _block(job, job.bias)
    branch, row_inverse, row_bias = np.empty_like(bias), np.empty_like(bias), np.empty_like(bias)
    unit = take(job.counter)
    while unit < job.chunks:
        row_inverse[:] = _row(job, job.row_inverse, unit)
        row_bias[:] = _row(job, job.row_bias, unit)
        for begin in range(_begin(job, unit), _begin(job, unit + 1), bias.size):
            at = slice(begin, min(begin + bias.size, _begin(job, unit + 1)))
            own, bits = branch[: at.stop - begin], inside[at]
            _linear(acc[at], row_inverse, row_bias, _LOW, z[at], bits)
            _affine(z[at], weight, inverse, bias, own, bits)
            _add(own, x[at], job.factor, y[at], bits)
        unit = take(job.counter)


def _mixer_back_units(address) -> None:
    job = carray(address, 1)[0]
    grad, x, z = _stream(job, job.grad), _stream(job, job.x), _stream(job, job.z)
    grad_x, grad_acc, inside = _stream(job, job.grad_x), _stream(job, job.grad_acc), _bits(job)
    weight, inverse = _block(job, job.weight), _block(job, job.inverse)
    branch, grad_z = np.empty_like(weight), np.empty_like(weight)
    row_inverse = np.empty_like(weight)
    sums = np.zeros((4, inverse.size), np.float32)
    unit = take(job.counter)
    while unit < job.chunks:
        row_inverse[:] = _row(job, job.row_inverse, unit)
        for begin in range(_begin(job, unit), _begin(job, unit + 1), inverse.size):
            at = slice(begin, min(begin + inverse.size, _begin(job, unit + 1)))
            own, bits = x[at], inside[at]
            _add_back(grad[at], own, bits, job.factor, job.shrink, grad_x[at], branch, sums[1:])
            _affine_back(branch, z[at], bits, weight, inverse, grad_z, sums[2:])
            _linear_back(grad_z, bits, row_inverse, grad_acc[at], sums)
        _write_sums(job, unit, sums)
        unit = take(job.counter)


def _look_up_units(address) -> None:
    job = carray(address, 1)[0]
    x, y = _stream(job, job.x), _stream(job, job.y)
    table = carray(bfloat_pointer(job.table), 256 * job.features)
    rows = tile(np.arange(job.features).astype(np.int32) * np.int32(256) + np.int32(128), _BLOCK)
    index = np.empty_like(rows)
    unit = take(job.counter)
    while unit < job.chunks:
        for begin in range(_begin(job, unit), _begin(job, unit + 1), rows.size):
            at = slice(begin, min(begin + rows.size, _begin(job, unit + 1)))
            _locate(x[at], rows, index)
            _look_up(index, table, y[at])
        unit = take(job.counter)


_SIZES = "parts batch features"
AFFINE = Kernel(_affine_units, _SIZES, "", "x weight inverse bias y inside")
AFFINE_BACK = Kernel(_affine_back_units, _SIZES, "", "grad x inside weight inverse grad_x sums")
LINEAR = Kernel(_linear_units, _SIZES, "lowest factor", "acc inverse bias x y inside")
LINEAR_BACK = Kernel(
    _linear_back_units, _SIZES, "factor shrink", "grad inside inverse x grad_x grad_acc sums"
)
MIXER = Kernel(
    _mixer_units,
    _SIZES,
    "factor",
    "acc row_inverse row_bias weight inverse bias x z y inside",
)
MIXER_BACK = Kernel(
    _mixer_back_units,
    _SIZES,
    "factor shrink",
    "grad x z inside weight inverse row_inverse grad_x grad_acc sums",
)
LOOK_UP = Kernel(_look_up_units, _SIZES, "", "x table y")
