"""Compiled kernels on PyTorch's OpenMP threads, and numba's cache of them on disk.

Threads: numba's own pools compete with PyTorch's OpenMP threads, which go on spinning after every
operator; next to a matrix product that costs all that a second core could give. So a kernel is a C
callback on the threads of the OpenMP runtime that PyTorch has loaded (`GOMP_parallel`), as many as
`torch.get_num_threads()` says; where there is no such runtime, it runs on the calling thread.

A kernel takes chunks of its work until none is left. Chunks are cut by shape alone, and each has a
place of its own for the sums it makes, so that the bits of the result depend neither on the number
of threads nor on which of them takes which chunk.

numba's cache knows a kernel by the file that it is in. What this file and bfloat16.py hold goes
into all kernels, so the cache is in a folder named after their content.
"""

import ctypes
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch
from numba import njit, types

from models.float.activations.kernels.bfloat16 import OPTIONS


@cache
def cache_folder() -> Path | None:
    """Return the folder of compiled kernels for the content of the shared files, None without one.

    It lies in NUMBA_CACHE_DIR where that is set, else in `__pycache__` beside this file.
    """
    here = Path(__file__)
    shared = b"".join(here.with_name(name).read_bytes() for name in (here.name, "bfloat16.py"))
    base = numba.config.CACHE_DIR or here.parent / "__pycache__"
    folder = Path(base) / f"numba-{hashlib.sha256(shared).hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def _cached_by_content() -> Iterator[None]:
    """Let what numba is told to cache meanwhile be kept in `cache_folder`."""
    before, folder = numba.config.CACHE_DIR, cache_folder()
    numba.config.CACHE_DIR = str(folder) if folder else before
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba's dispatcher
    """Compile a function at its first call, or take it from the cache on disk."""
    try:
        with _cached_by_content():
            return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no place for a cache
        return njit(**OPTIONS)(function)


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
        try:
            with _cached_by_content():
                self._callback = numba.cfunc(signature, cache=True, **OPTIONS)(function)
        except RuntimeError:  # no place for a cache
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


_PARALLEL = _openmp()
