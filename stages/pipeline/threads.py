"""How many threads this process starts, and how long an idle one waits: the one place that says it.

The settings are environment variables that OpenMP reads when PyTorch loads it, so they are made
when the package `stages` is imported. What the user has set stays as it is.

A step of training has some hundred parallel regions, and each ends with threads that wait for the
last one. By default they wait in a loop for milliseconds. On a busy machine that loop takes the
processor from the thread they wait for. Here they wait so for a fraction of a millisecond, which
covers the gap between two regions, and then sleep.

The number of threads follows what the process may use, never how busy the machine is: the sums of
matrix products, so the weights, depend on it.
"""

import os
from collections.abc import Mapping
from pathlib import Path

_SPINS = "5000"  # of libgomp: some 100 to 300 microseconds
_BLOCKTIME = "1"  # of Intel's runtime, milliseconds
_WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_CGROUP = Path("/sys/fs/cgroup")


def set_threads() -> None:
    """Set the environment variables of this process that `settings` returns."""
    os.environ.update(settings(os.environ, processors(), quota(_CGROUP)))


def settings(environment: Mapping[str, str], available: int, limit: float | None) -> dict[str, str]:
    """Return the environment variables to set.

    `available` is the number of processors on which this process may run, `limit` how many of them
    its container lets it use together (None: all). The number of threads is set only if the limit
    is the smaller one: OpenMP sees the processors itself.
    """
    chosen: dict[str, str] = {}
    if not any(name in environment for name in _WAITING):
        chosen |= {"GOMP_SPINCOUNT": _SPINS, "KMP_BLOCKTIME": _BLOCKTIME}
    if limit is not None and limit < available and "OMP_NUM_THREADS" not in environment:
        chosen["OMP_NUM_THREADS"] = str(max(1, int(limit)))
    return chosen


def processors() -> int:
    """Return the number of processors on which this process may run."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def quota(folder: Path) -> float | None:
    """Return how many processors a container may use together, None without a limit.

    `folder` is the mount point of Linux's control groups, of version 1 or 2.
    """
    try:
        if (folder / "cpu.max").exists():
            limit, period = (folder / "cpu.max").read_text().split()
        else:
            limit = (folder / "cpu/cpu.cfs_quota_us").read_text()
            period = (folder / "cpu/cpu.cfs_period_us").read_text()
        share = int(limit) / int(period)  # ValueError for "max"
    except (OSError, ValueError, ZeroDivisionError):
        return None
    return share if share > 0 else None
