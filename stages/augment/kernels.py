"""Which form of the random changes runs on a device: numba on the CPU, plain PyTorch elsewhere."""

import logging
from functools import cache
from types import ModuleType

import torch

_LOG = logging.getLogger(__name__)


def kernels_for(device: torch.device) -> ModuleType | None:
    """Return the compiled form for a device (`stages.augment.cpu`), or None for plain PyTorch."""
    return _cpu_kernels() if device.type == "cpu" else None


@cache
def _cpu_kernels() -> ModuleType | None:
    try:
        from stages.augment import cpu
    except (ImportError, OSError) as error:  # numba, or LLVM below it, is not usable here
        _LOG.info("augmentation: plain PyTorch instead of numba (%r)", error)
        return None
    return cpu
