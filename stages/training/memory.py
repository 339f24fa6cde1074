"""How this process's allocator treats memory while it trains."""

import ctypes


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
