"""Matrix products inside numba kernels: the `sgemm` of the BLAS that PyTorch has loaded.

A kernel runs on all OpenMP threads, and each thread calls `sgemm` for the part of the work that it
has in its cache. Such a call uses no further threads: MKL asks OpenMP whether it is inside a
parallel region. So a whole sublayer is one parallel region.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import ctypes
from functools import cache
from pathlib import Path

import torch
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from .bfloat16 import OPTIONS

_PLAIN, _TRANSPOSED = ord("N"), ord("T")


@cache
def sgemm_address() -> int:
    """Return the address of Fortran's `sgemm_` in PyTorch's library.

    Raises OSError or AttributeError if PyTorch has no such function.
    """
    (library,) = (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")
    address = ctypes.cast(ctypes.CDLL(str(library)).sgemm_, ctypes.c_void_p).value
    if address is None:
        raise AttributeError("PyTorch's library has no sgemm_")
    return address


@intrinsic
def _sgemm(typing_context, function, kinds, sizes, a, b, c, leading, beta):
    """Call `sgemm_` with (transa, transb), (m, n, k), three addresses and (lda, ldb, ldc)."""

    def generate(context, builder, signature, arguments):
        function, kinds, sizes, a, b, c, leading, beta = arguments
        byte = ir.IntType(8).as_pointer()

        def place(value):
            slot = cgutils.alloca_once(builder, value.type)
            builder.store(value, slot)
            return builder.bitcast(slot, byte)

        # An int64 serves BLAS with 32 and with 64 bit integers: processors here are little-endian.
        places = [place(builder.extract_value(kinds, i)) for i in (0, 1)]
        places += [place(builder.extract_value(sizes, i)) for i in (0, 1, 2)]
        places.append(place(ir.FloatType()(1.0)))
        for i, matrix in enumerate((a, b)):
            places.append(builder.inttoptr(matrix, byte))
            places.append(place(builder.extract_value(leading, i)))
        places += [place(beta), builder.inttoptr(c, byte)]
        places.append(place(builder.extract_value(leading, 2)))
        kind = ir.FunctionType(ir.VoidType(), [byte] * len(places))
        builder.call(builder.inttoptr(function, kind.as_pointer()), places)
        return context.get_dummy_value()

    pair, triple = types.UniTuple(types.int64, 2), types.UniTuple(types.int64, 3)
    address = types.int64
    signature = types.void(address, pair, triple, address, address, address, triple, types.float32)
    return signature, generate


@njit(**OPTIONS)
def matmul(function, a, b, c, sizes, leading, transposed, beta) -> None:
    """Compute the row-major float32 C = A @ B + beta * C.

    `function` is `sgemm_address()`; a, b and c are addresses; `sizes` are (rows of C, columns of C,
    length of the sums); `leading` are the distances of the rows of A, B and C as they are stored,
    and `transposed` says whether A and B are stored transposed.
    """
    # Fortran's matrices are column-major, so it computes C^T = B^T @ A^T.
    first = _TRANSPOSED if transposed[1] else _PLAIN
    second = _TRANSPOSED if transposed[0] else _PLAIN
    rows, columns, length = sizes
    _sgemm(
        function,
        (first, second),
        (columns, rows, length),
        b,
        a,
        c,
        (leading[1], leading[0], leading[2]),
        beta,
    )
