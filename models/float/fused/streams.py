"""The CPU kernels of the fused network, one for each pass between its matrix products.

A stream is bfloat16 [tokens, batch, channels]. It is divided into units; a unit is a part of one
token's rows and has its own sums. A unit is processed in blocks of whole rows. Per-channel vectors
are tiled to the size of a block, because short loops over one row would be twice as slow.

A function `_<name>` is the loop over a block: flat arrays of one size, values of a stream as the
bits of bfloat16 (uint16), vectors and sums as float32, and row 0 and 1 of `sums` for two kinds of
sums. A function `_<name>_units` is the kernel: each thread runs it once with the same record `job`
(see `Kernel`: sizes, then addresses, 0 for a tensor that is not there) and takes units until none
is left.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

from typing import Any

import numpy as np
import torch
from numba import carray, njit
from torch import Tensor

from models.float.activations.kernels.bfloat16 import (
    OPTIONS,
    bfloat_pointer,
    byte_pointer,
    double_pointer,
    float_pointer,
    narrow,
    sum_rows,
    take,
    tile,
    widen,
)
from models.float.activations.kernels.openmp import Kernel

_UNIT = 32768  # most values per unit: about 20 microseconds of work
_BLOCK = 512  # values per block


@njit(**OPTIONS)
def _add(x, z, scale, shift, y, sums) -> None:
    for i in range(y.size):
        half = narrow(widen(x[i]) + scale[i] * widen(z[i]) + shift[i])
        y[i] = half
        sums[0, i] += widen(half)
        sums[1, i] += widen(half) * widen(half)


@njit(**OPTIONS)
def _split(grad, y, constant, linear, g, sums) -> None:
    for i in range(y.size):
        own = widen(grad[i]) + constant[i] + linear[i] * widen(y[i])
        g[i] = narrow(own)
        sums[0, i] += own


@njit(**OPTIONS)
def _branch(g, z, scale, dz, sums) -> None:
    for i in range(g.size):
        dz[i] = narrow(scale[i] * widen(g[i]))
        sums[1, i] += widen(g[i]) * widen(z[i])


@njit(**OPTIONS)
def _mask(grad, h, sums) -> None:
    for i in range(h.size):
        own = grad[i] if widen(h[i]) > 0 else np.uint16(0)
        grad[i] = own
        sums[0, i] += widen(own)


@njit(**OPTIONS)
def _accumulate(x, total) -> None:
    for i in range(x.size):
        total[i] += widen(x[i])


@njit(**OPTIONS)
def _center(pixels, x) -> None:
    for i in range(x.size):
        x[i] = narrow(np.float32(np.int32(pixels[i]) - np.int32(128)))


@njit(**OPTIONS)
def _begin(job, unit):
    """Return the index in the flat stream at which a unit begins; there are T * parts units."""
    token, part = unit // job.parts, unit % job.parts
    return (token * job.batch + part * job.batch // job.parts) * job.features


@njit(**OPTIONS)
def _halves(job, address):
    """Return the stream at an address as an array of bfloat16 bits [T * B * C]."""
    return carray(bfloat_pointer(address), job.chunks // job.parts * job.batch * job.features)


@njit(**OPTIONS)
def _vector(job, address):
    """Return the per-channel vector at an address, tiled to a block of rows."""
    return tile(carray(float_pointer(address), job.features), _BLOCK)


@njit(**OPTIONS)
def _write_sums(job, unit, sums) -> None:
    """Add up the sums of a block's rows, write them as the sums of a unit, and clear them.

    The result is float64. A square of a bfloat16 is exact in float32, and each element of `sums`
    adds few squares. So the variance, a small difference of large numbers, is almost exact.
    """
    totals = carray(double_pointer(job.sums), (job.chunks, 2, job.features))
    sum_rows(sums[0], totals[unit, 0])
    sum_rows(sums[1], totals[unit, 1])


def _residual_units(address) -> None:
    job = carray(address, 1)[0]
    x, z, y = _halves(job, job.x), _halves(job, job.z), _halves(job, job.y)
    shifts = carray(float_pointer(job.shift), (job.shifts, job.features))  # [T, C] or [1, C]
    scale = _vector(job, job.scale)
    sums = np.zeros((2, scale.size), np.float32)
    unit = take(job.counter)
    while unit < job.chunks:
        shift = tile(shifts[unit // job.parts % job.shifts], _BLOCK)
        for begin in range(_begin(job, unit), _begin(job, unit + 1), scale.size):
            block = slice(begin, min(begin + scale.size, _begin(job, unit + 1)))
            _add(x[block], z[block], scale, shift, y[block], sums)
        _write_sums(job, unit, sums)
        unit = take(job.counter)


def _split_units(address) -> None:
    job = carray(address, 1)[0]
    grad, y, g = _halves(job, job.grad), _halves(job, job.y), _halves(job, job.g)
    constant, linear = _vector(job, job.constant), _vector(job, job.linear)
    z, dz = _halves(job, job.z), _halves(job, job.dz)
    scale = _vector(job, job.scale) if job.z != 0 else linear  # not used without a branch
    sums = np.zeros((2, linear.size), np.float32)
    unit = take(job.counter)
    while unit < job.chunks:
        # A gradient that is the same for all tokens is stored for one token only.
        back = unit // job.parts * job.batch * job.features if job.shared else 0
        for begin in range(_begin(job, unit), _begin(job, unit + 1), linear.size):
            end = min(begin + linear.size, _begin(job, unit + 1))
            block = slice(begin, end)
            _split(grad[begin - back : end - back], y[block], constant, linear, g[block], sums)
            if job.z != 0:
                _branch(g[block], z[block], scale, dz[block], sums)
        _write_sums(job, unit, sums)
        unit = take(job.counter)


def _mask_units(address) -> None:
    job = carray(address, 1)[0]
    grad, h = _halves(job, job.grad), _halves(job, job.h)
    sums = np.zeros((2, max(1, _BLOCK // job.features) * job.features), np.float32)
    unit = take(job.counter)
    while unit < job.chunks:
        for begin in range(_begin(job, unit), _begin(job, unit + 1), sums.shape[1]):
            block = slice(begin, min(begin + sums.shape[1], _begin(job, unit + 1)))
            _mask(grad[block], h[block], sums)
        _write_sums(job, unit, sums)
        unit = take(job.counter)


def _pool_units(address) -> None:
    job = carray(address, 1)[0]
    size = job.batch * job.features
    x = carray(bfloat_pointer(job.x), job.tokens * size)
    total = carray(float_pointer(job.total), size)
    unit = take(job.counter)
    while unit < job.chunks:
        begin, end = unit * size // job.chunks, (unit + 1) * size // job.chunks
        own = total[begin:end]
        own[:] = 0
        for token in range(job.tokens):
            _accumulate(x[token * size + begin : token * size + end], own)
        unit = take(job.counter)


def _pixel_units(address) -> None:
    job = carray(address, 1)[0]
    x, pixels = carray(bfloat_pointer(job.x), job.size), carray(byte_pointer(job.pixels), job.size)
    unit = take(job.counter)
    while unit < job.chunks:
        begin, end = unit * job.size // job.chunks, (unit + 1) * job.size // job.chunks
        _center(pixels[begin:end], x[begin:end])
        unit = take(job.counter)


_SIZES = "parts batch features"
_RESIDUAL = Kernel(_residual_units, f"{_SIZES} shifts", "", "x z y scale shift sums")
_SPLIT = Kernel(_split_units, f"{_SIZES} shared", "", "grad y g constant linear z dz scale sums")
_MASK = Kernel(_mask_units, _SIZES, "", "grad h sums")
_POOL = Kernel(_pool_units, "tokens batch features", "", "x total")
_PIXELS = Kernel(_pixel_units, "size", "", "pixels x")


def residual(x: Tensor, z: Tensor, scale: Tensor, shift: Tensor, y: Tensor) -> Tensor:
    """Write x + scale * z + shift to the stream y and return the sums of y.

    Streams x, z and y (not the memory of x or z); scale [C]; shift [T, C] or [1, C]. Returns
    float64 [U, 2, C]: for each of the U units and each channel, the sum of the stored (rounded)
    values y and the sum of their squares.
    """
    units, sizes, sums = _units(y)
    _RESIDUAL(units, **sizes, shifts=len(shift), x=x, z=z, y=y, scale=scale, shift=shift, sums=sums)
    return sums


def split(
    grad: Tensor, y: Tensor, constant: Tensor, linear: Tensor, branch: tuple[Tensor, Tensor] | None
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Return g = grad + constant + linear * y, the gradient scale * g of z, and sums per token.

    This is the backward pass of y = x + scale * z + shift. Streams grad (or a single token's rows,
    which then hold for all tokens) and y; constant and linear [C]. `branch` is (z, scale), or None
    for a scale of one. Returns stream g, stream scale * g (None without a branch), and float32
    [T, 2, C]: the sums over the batch of g and of g * z (the latter only with a branch).
    """
    units, sizes, sums = _units(y)
    g, dz = torch.empty_like(y), None
    if branch is not None:
        dz = torch.empty_like(y)
        sizes |= {"z": branch[0], "scale": branch[1], "dz": dz}
    sizes |= {"grad": grad, "shared": len(grad) < len(y), "constant": constant, "linear": linear}
    _SPLIT(units, **sizes, y=y, g=g, sums=sums)
    return g, dz, sums.view(len(y), -1, *sums.shape[1:]).sum(dim=1).float()


def mask(grad: Tensor, h: Tensor) -> Tensor:
    """Set the stream grad to zero where h <= 0, in place; return its sum over tokens and batch [C].

    This is the backward pass of ReLU and bias; `h` is the output of the ReLU.
    """
    units, sizes, sums = _units(h)
    _MASK(units, **sizes, grad=grad, h=h, sums=sums)
    return sums[:, 0].sum(dim=0).float()


def pool(x: Tensor) -> Tensor:
    """Return the mean of a stream over its tokens, float32 [B, C]."""
    tokens, batch, features = x.shape
    total = torch.empty(batch, features)
    chunks = max(1, x.numel() // _UNIT)
    _POOL(chunks, tokens=tokens, batch=batch, features=features, x=x, total=total)
    return total / tokens


def center(pixels: Tensor) -> Tensor:
    """Return contiguous uint8 pixels minus 128 as bfloat16 (exact)."""
    x = torch.empty(pixels.shape, dtype=torch.bfloat16)
    _PIXELS(max(1, x.numel() // _UNIT), size=x.numel(), pixels=pixels, x=x)
    return x


def _units(stream: Tensor) -> tuple[int, dict[str, Any], Tensor]:
    """Return the number of units U of a stream, the sizes that kernels need, and sums [U, 2, C]."""
    tokens, batch, features = stream.shape
    parts = max(1, min(batch, batch * features // _UNIT))
    units = tokens * parts
    sizes = {"parts": parts, "batch": batch, "features": features}
    return units, sizes, torch.empty(units, 2, features, dtype=torch.float64)
