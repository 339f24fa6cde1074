"""Building blocks of the numba kernels: bfloat16 as its bits, pointers, per-channel vectors."""

# ruff: noqa: ANN001, ANN201, ANN202 - numba infers the types of what it compiles

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload

OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False}


def _pointer(element: types.Type) -> Any:  # noqa: ANN401 - a numba intrinsic
    @intrinsic
    def pointer(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), generate

    return pointer


# Convert an address (int64) to a pointer.
double_pointer = _pointer(types.float64)
float_pointer = _pointer(types.float32)
bfloat_pointer = _pointer(types.uint16)  # to the bits of bfloat16 values
byte_pointer = _pointer(types.uint8)


@intrinsic
def take(typing_context, address):
    """Atomically increment the int64 at an address and return its old value."""

    def generate(context, builder, signature, arguments):
        counter = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", counter, ir.IntType(64)(1), "monotonic")

    return types.int64(types.int64), generate


@intrinsic
def add_pair(typing_context, target, source):
    """Add the two float32 at address `source` to the two at `target`, as one vector operation."""

    def generate(context, builder, signature, arguments):
        pair = ir.VectorType(ir.FloatType(), 2).as_pointer()
        places = [builder.inttoptr(address, pair) for address in arguments]
        total = builder.fadd(*(builder.load(place, align=4) for place in places))
        builder.store(total, places[0], align=4)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@intrinsic
def bits_as_float(typing_context, bits):
    """Reinterpret 32 bits as a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.uint32), generate


@intrinsic
def float_as_bits(typing_context, value):
    """Reinterpret a float32 as its 32 bits."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.IntType(32))

    return types.uint32(types.float32), generate


def widen(value):
    """Return a float32, or a bfloat16 given as its bits, as float32; only for compiled code."""
    raise NotImplementedError


@overload(widen, inline="always")
def _(value):
    if value == types.uint16:
        return lambda value: bits_as_float(np.uint32(value) << np.uint32(16))
    return lambda value: value


@njit(**OPTIONS)
def narrow(value):
    """Round a float32 (not NaN) to the nearest bfloat16, ties to even, and return its bits."""
    bits = float_as_bits(value)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))


def put(array, index, value):
    """Write a float32 to an array of float32 or of bfloat16 bits; only for compiled code."""
    raise NotImplementedError


@overload(put, inline="always")
def _(array, index, value):
    if array.dtype == types.uint16:

        def put_bfloat(array, index, value):
            array[index] = narrow(value)

        return put_bfloat

    def put_float(array, index, value):
        array[index] = value

    return put_float


@njit(**OPTIONS)
def tile(vector, values):
    """Tile a per-channel vector so that it covers a block of about `values` elements.

    The block consists of whole rows, at least one.
    """
    block = np.empty(max(1, values // vector.size) * vector.size, vector.dtype)
    for begin in range(0, block.size, vector.size):
        for value in range(vector.size):
            block[begin + value] = vector[value]
    return block


@njit(**OPTIONS)
def sum_rows(block, total) -> None:
    """Write the sum of a block's rows to the per-channel vector `total`, and clear the block."""
    total[:] = 0
    for begin in range(0, block.size, total.size):
        row = block[begin : begin + total.size]
        for c in range(row.size):
            total[c] += row[c]
            row[c] = 0
