"""Fused forward and backward of `lerp` on the CPU, compiled by numba when first imported.

Two loops per block of about 512 values: the first finds segment and rest of each and becomes
vector code, the second looks up and, on the way back, adds to the table's gradient. Apart they are
twice as fast as one loop, which the compiler does not dare to turn into vector code.

Threads: numba's own pools compete with PyTorch's OpenMP threads, which go on spinning after every
operator; next to a matrix product that costs all that a second core could give. So the kernels
are C callbacks on the threads of the OpenMP runtime that PyTorch has loaded (`GOMP_parallel`), as
many as `torch.get_num_threads()` says; where there is no such runtime, on the calling thread.

The rows are cut into chunks by shape alone, each with a gradient table of its own, summed in order:
the result depends neither on the number of threads nor on which of them takes which chunk.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from llvmlite import ir
from numba import carray, njit, types
from numba.extending import intrinsic
from torch import Tensor

_BLOCK = 512  # values per block: index, rest and offsets stay in the first-level cache
_CHUNK = 16384  # fewest values per chunk: about 20 microseconds of work
_MOST_CHUNKS = 64

_JOB = np.dtype(
    [("counter", np.int64), ("chunks", np.int64), ("rows", np.int64), ("features", np.int64)]
    + [("knots", np.int64), ("start", np.float32), ("step", np.float32)]
    + [(name, np.int64) for name in ("x", "table", "y", "grad", "partial")]
)
_OPTIONS: dict[str, Any] = {"error_model": "numpy", "boundscheck": False}


@intrinsic
def _floats(typing_context, address):
    """Turn an address into a pointer to float32."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(types.float32)(types.int64), generate


@intrinsic
def _take(typing_context, address):
    """Return the int64 at an address and add one to it, as one atomic step."""

    def generate(context, builder, signature, arguments):
        counter = builder.inttoptr(arguments[0], ir.IntType(64).as_pointer())
        return builder.atomic_rmw("add", counter, ir.IntType(64)(1), "monotonic")

    return types.int64(types.int64), generate


@njit(**_OPTIONS)
def _offsets(features: int, knots: int) -> np.ndarray:
    """Return where the table row of each value of a block of whole rows starts."""
    offsets = np.empty(features * max(1, _BLOCK // features), np.int32)
    for value in range(offsets.size):
        offsets[value] = value % features * knots
    return offsets


@njit(**_OPTIONS)
def _locate(x, offsets, index, rest, start, step, last) -> None:
    """Write each value's segment as an index into the flat table, and the way into the segment."""
    for value in range(x.size):
        u = (x[value] - start) / step
        segment = np.floor(u)
        segment = segment if segment > np.float32(0) else np.float32(0)
        segment = segment if segment < last else last
        rest[value] = u - segment
        index[value] = offsets[value] + np.int32(segment)


@njit(**_OPTIONS)
def _forward_block(table, index, rest, y) -> None:
    for value in range(y.size):
        left = table[index[value]]
        y[value] = left + (table[index[value] + 1] - left) * rest[value]


@njit(**_OPTIONS)
def _backward_block(table, index, rest, grad, step, y, sums) -> None:
    """Write the gradient of x to `y`; add sums of grad and rest * grad per segment to `sums`."""
    inverse = np.float32(1) / step
    for value in range(y.size):
        segment = index[value]
        y[value] = (table[segment + 1] - table[segment]) * inverse * grad[value]
        sums[2 * segment] += grad[value]
        sums[2 * segment + 1] += rest[value] * grad[value]


@njit(**_OPTIONS)
def _row(job, chunk):
    """Return where in the flat x a chunk begins: whole rows, as many in each as can be."""
    return chunk * job.rows // job.chunks * job.features


def _forward_chunks(address) -> None:
    job = carray(address, 1)[0]
    size = job.rows * job.features
    x, y = carray(_floats(job.x), size), carray(_floats(job.y), size)
    table = carray(_floats(job.table), job.features * job.knots)
    offsets = _offsets(job.features, job.knots)
    index, rest = np.empty_like(offsets), np.empty(offsets.size, np.float32)
    last = np.float32(job.knots - 2)
    chunk = _take(job.counter)
    while chunk < job.chunks:
        for begin in range(_row(job, chunk), _row(job, chunk + 1), offsets.size):
            end = min(begin + offsets.size, _row(job, chunk + 1))
            _locate(x[begin:end], offsets, index, rest, job.start, job.step, last)
            _forward_block(table, index, rest, y[begin:end])
        chunk = _take(job.counter)


def _backward_chunks(address) -> None:
    job = carray(address, 1)[0]
    size = job.rows * job.features
    x, y = carray(_floats(job.x), size), carray(_floats(job.y), size)
    table = carray(_floats(job.table), job.features * job.knots)
    grad = carray(_floats(job.grad), size)
    partials = carray(_floats(job.partial), (job.chunks, 2 * table.size))
    offsets = _offsets(job.features, job.knots)
    index, rest = np.empty_like(offsets), np.empty(offsets.size, np.float32)
    last = np.float32(job.knots - 2)
    chunk = _take(job.counter)
    while chunk < job.chunks:
        sums = partials[chunk]
        sums[:] = 0
        for begin in range(_row(job, chunk), _row(job, chunk + 1), offsets.size):
            end = min(begin + offsets.size, _row(job, chunk + 1))
            _locate(x[begin:end], offsets, index, rest, job.start, job.step, last)
            _backward_block(table, index, rest, grad[begin:end], job.step, y[begin:end], sums)
        chunk = _take(job.counter)


def _compile(function: Callable[..., None]) -> Any:  # noqa: ANN401 - numba's CFunc
    """Compile a C callback, from numba's cache on disk where there is a place for one."""
    signature = types.void(types.CPointer(numba.from_dtype(_JOB)))
    try:
        return numba.cfunc(signature, cache=True, **_OPTIONS)(function)
    except RuntimeError:
        return numba.cfunc(signature, **_OPTIONS)(function)


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


_FORWARD = _compile(_forward_chunks)
_BACKWARD = _compile(_backward_chunks)
_SERIAL_TYPE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_PARALLEL = _openmp()


def forward(x: Tensor, table: Tensor, start: float, step: float) -> Tensor:
    """Return `lerp` of a contiguous x [..., F] and a contiguous float32 table [F, G]."""
    wide = x.float()
    y = torch.empty_like(wide)
    _run(_FORWARD, _chunks(x), wide, table, start, step, y=y)
    return y.to(x.dtype)


def backward(
    grad: Tensor, x: Tensor, table: Tensor, start: float, step: float
) -> tuple[Tensor, Tensor]:
    """Return the gradients of x and of the table; all arguments contiguous, the table float32."""
    wide = x.float()
    grad_x = torch.empty_like(wide)
    chunks = min(_chunks(x), max(1, x.numel() // (8 * table.numel())))
    partial = torch.empty(chunks, *table.shape, 2)
    others = {"y": grad_x, "grad": grad.float(), "partial": partial}
    _run(_BACKWARD, chunks, wide, table, start, step, **others)
    total, right = partial.numpy().sum(axis=0).transpose(2, 0, 1)
    grad_table = total - right
    grad_table[:, 1:] += right[:, :-1]
    return grad_x.to(x.dtype), torch.from_numpy(grad_table)


def _chunks(x: Tensor) -> int:
    return min(max(1, x.numel() // _CHUNK), _MOST_CHUNKS)


def _run(
    callback: Any,  # noqa: ANN401 - numba's CFunc
    chunks: int,
    x: Tensor,
    table: Tensor,
    start: float,
    step: float,
    **others: Tensor,
) -> None:
    """Let PyTorch's OpenMP threads, or this one, take chunks until none is left."""
    features, knots = table.shape
    counter, job = np.zeros(1, np.int64), np.zeros((), _JOB)
    job["counter"], job["chunks"] = counter.ctypes.data, chunks
    job["rows"], job["features"], job["knots"] = x.numel() // features, features, knots
    job["start"], job["step"] = start, step
    for name, tensor in {"x": x, "table": table, **others}.items():
        job[name] = tensor.data_ptr()
    threads = min(torch.get_num_threads(), chunks)
    if threads > 1 and _PARALLEL is not None:
        _PARALLEL(callback.address, job.ctypes.data, threads, 0)
    else:
        _SERIAL_TYPE(callback.address)(job.ctypes.data)
