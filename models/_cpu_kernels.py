"""What the fused CPU kernels share: numba C callbacks on PyTorch's OpenMP threads, and bfloat16.

Threads: numba's own pools compete with PyTorch's OpenMP threads, which go on spinning after every
operator; next to a matrix product that costs all that a second core could give. So a kernel is a C
callback on the threads of the OpenMP runtime that PyTorch has loaded (`GOMP_parallel`), as many as
`torch.get_num_threads()` says; where there is no such runtime, it runs on the calling thread.

A kernel takes chunks of its work until none is left. Chunks are cut by shape alone, and each has a
place of its own for the sums it makes, so that the bits of the result depend neither on the number
of threads nor on which of them takes which chunk.

numba's cache on disk knows a kernel by the file that it is in. What is in this file goes into all
of them, so they are kept in a folder named after its content.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import ctypes
import hashlib
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic, overload


def _keep_cache_by_content() -> None:
    """Let numba's cache be in a folder for this very file, where there is a place for one."""
    content = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()
    base = numba.config.CACHE_DIR or Path(__file__).parent / "__pycache__"
    folder = Path(base) / f"numba-{content[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        numba.config.CACHE_DIR = str(folder)


_keep_cache_by_content()

OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False}


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba's dispatcher
    """Compile a function at its first call, or take it from numba's cache on disk."""
    try:
        return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no place for a cache
        return njit(**OPTIONS)(function)


def _pointer(element: types.Type) -> Any:  # noqa: ANN401 - a numba intrinsic
    @intrinsic
    def pointer(typing_context, address):
        def generate(context, builder, signature, arguments):
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        return types.CPointer(element)(types.int64), generate

    return pointer


double_pointer = _pointer(types.float64)  # an address as a pointer to float64 …
float_pointer = _pointer(types.float32)  # … to float32
bfloat_pointer = _pointer(types.uint16)  # … to the bits of bfloat16
byte_pointer = _pointer(types.uint8)  # … and to bytes


@intrinsic
def take(typing_context, address):
    """Return the int64 at an address and add one to it, as one atomic step."""

    def generate(context, builder, signature, arguments):
        counter = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", counter, ir.IntType(64)(1), "monotonic")

    return types.int64(types.int64), generate


@intrinsic
def add_pair(typing_context, target, source):
    """Add the two float32 at one address to the two at another, as one vector."""

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
    """Return a float32, or a bfloat16 given as its bits, as float32; for compiled code only."""
    raise NotImplementedError


@overload(widen, inline="always")
def _(value):
    if value == types.uint16:
        return lambda value: bits_as_float(np.uint32(value) << np.uint32(16))
    return lambda value: value


@njit(**OPTIONS)
def narrow(value):
    """Return the bits of the bfloat16 nearest to a float32 that is a number, ties to even."""
    bits = float_as_bits(value)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return np.uint16((bits + np.uint32(0x7FFF) + even) >> np.uint32(16))


def put(array, index, value):
    """Write a float32 to an array of float32 or of bfloat16's bits; for compiled code only."""
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
    """Repeat a value per channel for every row of a block of about so many values."""
    block = np.empty(max(1, values // vector.size) * vector.size, vector.dtype)
    for begin in range(0, block.size, vector.size):
        for value in range(vector.size):
            block[begin + value] = vector[value]
    return block


@njit(**OPTIONS)
def fold(block, total) -> None:
    """Set the vector per channel `total` to the sum of a block's rows, and the block to zero."""
    total[:] = 0
    for begin in range(0, block.size, total.size):
        row = block[begin : begin + total.size]
        for c in range(row.size):
            total[c] += row[c]
            row[c] = 0


class Kernel:
    """A compiled C callback and the record of arguments that it reads.

    `function(address)` gets a pointer to the record: `counter` (for `take`), `chunks`, then the
    `sizes` (int64), the `scalars` (float32) and the addresses of the `tensors` (int64) by name.
    """

    def __init__(
        self, function: Callable[..., None], sizes: str, scalars: str, tensors: str
    ) -> None:
        fields = [(name, np.int64) for name in ("taken", "counter", "chunks", *sizes.split())]
        fields += [(name, np.int64) for name in tensors.split()]
        fields += [(name, np.float32) for name in scalars.split()]
        self._names = [name for name, _ in fields[3:]]
        self._layout = struct.Struct(
            f"={len(fields) - len(scalars.split())}q{len(scalars.split())}f"
        )
        signature = types.void(types.CPointer(numba.from_dtype(np.dtype(fields))))
        try:  # numba's cache on disk, where there is a place for one
            self._callback = numba.cfunc(signature, cache=True, **OPTIONS)(function)
        except RuntimeError:
            self._callback = numba.cfunc(signature, **OPTIONS)(function)
        self._address = self._callback.address
        self._serial = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._address)

    def __call__(self, chunks: int, **values: Any) -> None:  # noqa: ANN401 - numbers and tensors
        """Let PyTorch's OpenMP threads, or this one, take chunks until none is left."""
        record = ctypes.create_string_buffer(self._layout.size)
        address = ctypes.addressof(record)
        values = {
            name: value.data_ptr() if isinstance(value, torch.Tensor) else value
            for name, value in values.items()
        }
        arguments = [values.get(name, 0) for name in self._names]
        self._layout.pack_into(record, 0, 0, address, chunks, *arguments)  # `taken` comes first
        threads = min(torch.get_num_threads(), chunks)
        if threads > 1 and _PARALLEL is not None:
            _PARALLEL(self._address, address, threads, 0)
        else:
            self._serial(address)


def _openmp() -> Callable[..., None] | None:
    """Return `GOMP_parallel` of the OpenMP runtime that PyTorch runs on, None where it has none."""
    try:
        (library,) = (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")
        parallel = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError, ValueError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


def keep_freed_memory() -> None:
    """Let glibc keep what PyTorch frees, for this whole process; elsewhere do nothing.

    Streams of a few megabytes would go back to the kernel at the end of every step and come again
    page by page: as expensive as half of the matrix products.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, size in ((-1, 1 << 30), (-3, 32 << 20), (-2, 64 << 20)):
        mallopt(option, size)  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_TOP_PAD


_PARALLEL = _openmp()
