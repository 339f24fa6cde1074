"""Settings of this process's memory allocator for training."""

import ctypes


def keep_freed_memory() -> None:
    """Make glibc keep freed memory in this process; without glibc do nothing.

    Otherwise buffers of a few megabytes return to the kernel at the end of every step and come back
    page by page, which costs as much time as half of the matrix products.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    for option, size in ((-1, 1 << 30), (-3, 32 << 20), (-2, 64 << 20)):
        mallopt(option, size)  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_TOP_PAD
