"""RandAugment for a whole batch, with the distribution of torchvision's `RandAugment()` per image.

There are two implementations with the same result, pixel for pixel. The one in plain PyTorch is the
definition and is used on CUDA: it sorts the images by the operation that they drew, so that each of
the 14 operations runs once on its group (`stages.augment.operations`). On the CPU, numba processes
the images one by one (`stages.augment.cpu`).
"""

from functools import cache
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from stages.augment import kernels
from stages.augment.operations import BEYOND, MOVES, OPERATIONS, SHORT, sources

_ROUNDS = 2  # operations per image


def rand_augment(images: Tensor, generator: Generator) -> Tensor:
    """Apply two random operations to every image of uint8 [n, 3, height, width].

    The operations (from `OPERATIONS`) and their signs are drawn uniformly for every image, as
    torchvision's RandAugment does with its default 2 operations of magnitude 9 (Cubuk et al. 2020).
    Height and width must be at least 3. Returns a new tensor on the images' device. Use a CPU
    generator on every device: then nothing waits for the device.
    """
    shape, device = (_ROUNDS, len(images)), generator.device
    numbers = torch.randint(len(OPERATIONS), shape, generator=generator, device=device)
    negative = torch.rand(shape, generator=generator, device=device) < 0.5
    for operations, signs in zip(numbers.cpu(), negative.cpu(), strict=True):  # [n] each
        images = apply_operations(images, operations, signs)
    return images


def apply_operations(images: Tensor, operations: Tensor, negative: Tensor) -> Tensor:
    """Apply operation number operations[i] to image i of uint8 [n, 3, height, width].

    `operations` (int64 [n]) are indices of `OPERATIONS`. `negative` (bool [n]) reverses the sign of
    the strength if the operation has one. Both must be on the CPU. Returns a new tensor.
    """
    compiled = kernels.kernels_for(images.device)
    if compiled is not None:
        constants = _constants(compiled, *images.shape[2:])
        return compiled.apply_operations(images, operations, negative, constants)
    return apply_operations_plain(images, operations, negative)


def apply_operations_plain(images: Tensor, operations: Tensor, negative: Tensor) -> Tensor:
    """Return `apply_operations` computed in plain PyTorch, on any device."""
    order = operations.argsort()
    sizes = operations.bincount(minlength=len(OPERATIONS)).tolist()
    groups = images[order.to(images.device, non_blocking=True)].split(sizes)
    signs = negative[order].to(images.device, non_blocking=True).split(sizes)
    changed = [
        operation(group, sign) if len(group) else group
        for operation, group, sign in zip(OPERATIONS.values(), groups, signs, strict=True)
    ]
    return torch.cat(changed)[order.argsort().to(images.device, non_blocking=True)]


@cache
def _constants(compiled: ModuleType, height: int, width: int) -> Any:  # noqa: ANN401 - its Constants
    """Return the constants of the compiled implementation, computed by the plain one."""
    cpu, signs = torch.device("cpu"), torch.tensor([False, True])
    # An "image" [1, 1, 256] with every value, once per sign.
    levels = torch.arange(256, dtype=torch.uint8).expand(2, 1, 1, 256)
    by_value = [OPERATIONS[name](levels, signs) for name in ("Brightness", "Posterize", "Solarize")]
    moves = [sources(name, height, width, cpu) for name in MOVES]
    return compiled.Constants(
        sources=torch.stack(moves).to(torch.int32).numpy(),
        tables=torch.stack(by_value).view(3, 2, 256).numpy(),
        ratio=np.array([BEYOND, SHORT], np.float32),
        rest=np.array([1.0 - BEYOND, 1.0 - SHORT], np.float32),
    )
