"""Run numba kernels on PyTorch's OpenMP threads, and cache them on disk.

Threads: PyTorch's OpenMP threads keep spinning after every operator and would compete with numba's
own thread pool; beside a matrix product this would cost the whole gain of a second core. Therefore
a kernel is a C callback that runs on the threads of the OpenMP runtime that PyTorch has loaded
(`GOMP_parallel`), `torch.get_num_threads()` of them. Without such a runtime, it runs on the calling
thread.

Each thread takes chunks of the work until none is left. The division into chunks depends only on
shapes, and each chunk writes its sums to its own place. So the bits of the result depend neither on
the number of threads nor on the assignment of chunks to threads.

Cache: numba identifies a cached kernel by its source file only, but kernels also contain code of
the files of this folder. Therefore the cache folder is named after the content of all of them.
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

from .bfloat16 import OPTIONS


@cache
def cache_folder() -> Path | None:
    """Return the folder of compiled kernels, named after the content of the files of this folder.

    It is in NUMBA_CACHE_DIR if that is set, otherwise in `__pycache__` beside this file. Returns
    None if the folder is not writable.
    """
    here = Path(__file__)
    shared = b"".join(path.read_bytes() for path in sorted(here.parent.glob("*.py")))
    base = numba.config.CACHE_DIR or here.parent / "__pycache__"
    folder = Path(base) / f"numba-{hashlib.sha256(shared).hexdigest()[:16]}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


@contextmanager
def _cached_by_content() -> Iterator[None]:
    """Make numba use `cache_folder` inside the `with` block."""
    before, folder = numba.config.CACHE_DIR, cache_folder()
    numba.config.CACHE_DIR = str(folder) if folder else before
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba's dispatcher
    """Return a function that is compiled at its first call or loaded from the cache on disk."""
    try:
        with _cached_by_content():
            return njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # no writable cache folder
        return njit(**OPTIONS)(function)


class Kernel:
    """A compiled C callback and the layout of the record from which it reads its arguments.

    `function(address)` gets a pointer to the record. Its fields are `counter` (int64, for `take`),
    `chunks` (int64), then by name the `sizes` (int64), the addresses of the `tensors` (int64) and
    the `scalars` (float32). The three arguments are names separated by spaces.
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
        except RuntimeError:  # no writable cache folder
            self._callback = numba.cfunc(signature, **OPTIONS)(function)
        self._address = self._callback.address
        self._serial = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(self._address)

    def __call__(self, chunks: int, **values: Any) -> None:  # noqa: ANN401 - numbers and tensors
        """Run the kernel on PyTorch's OpenMP threads (or this thread) until all chunks are done.

        `values` are the sizes, scalars and tensors by name; a missing one is passed as 0.
        """
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
    """Return `GOMP_parallel` of the OpenMP runtime that PyTorch uses, None without one."""
    try:
        (library,) = (Path(torch.__file__).parent / "lib").glob("libtorch_cpu.*")
        parallel = ctypes.CDLL(str(library)).GOMP_parallel
    except (OSError, AttributeError, ValueError):
        return None
    parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
    parallel.restype = None
    return parallel


_PARALLEL = _openmp()
