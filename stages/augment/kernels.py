"""Select the implementation of the random changes: numba on the CPU, plain PyTorch elsewhere."""

import logging
from functools import cache
from types import ModuleType

import torch

_LOG = logging.getLogger(__name__)


def kernels_for(device: torch.device) -> ModuleType | None:
    """Return the compiled implementation (`stages.augment.cpu`), or None for plain PyTorch."""
    return _cpu_kernels() if device.type == "cpu" else None


@cache
def _cpu_kernels() -> ModuleType | None:
    try:
        from stages.augment import cpu
    except (ImportError, OSError) as error:  # numba or its LLVM does not work here
        _LOG.info("augmentation: plain PyTorch instead of numba (%r)", error)
        return None
    return cpu
