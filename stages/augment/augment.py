"""Random changes of training images: crop, flip, RandAugment (docs/published-system.md §2).

All functions work on batches of pixels, uint8 [n, 3, height, width], and take all random numbers
from the given generator, so an epoch depends only on its seed. None makes the CPU wait for the
images' device.
"""

import torch
from torch import Generator, Tensor

from stages.augment import kernels
from stages.augment.rand_augment import rand_augment
from stages.pipeline.params import Augment


def augment(images: Tensor, how: Augment, generator: Generator) -> Tensor:
    """Return a changed copy of uint8 images [n, 3, height, width].

    `how` enables the changes; the order is crop, flip, RandAugment.
    """
    if how.crop_padding:
        images = random_crop(images, how.crop_padding, generator)
    if how.flip:
        images = random_flip(images, generator)
    if how.rand_augment:
        images = rand_augment(images, generator)
    return images


def random_crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Shift every image by up to `padding` pixels in each direction; new pixels are black.

    uint8 [n, 3, height, width] to the same shape.
    """
    device, shape = generator.device, (2, len(images))
    corners = torch.randint(-padding, padding + 1, shape, generator=generator, device=device)
    compiled = kernels.kernels_for(images.device)
    if compiled is not None:
        mirrored = torch.zeros(len(images), dtype=torch.bool)
        return compiled.shift(images, *corners.cpu(), mirrored)
    height, width = images.shape[2:]
    padded = torch.nn.functional.pad(images, (padding,) * 4)  # [n, 3, h + 2 padding, w + 2 padding]
    every, (top, left) = torch.arange(len(images)), corners.cpu() + padding
    index = torch.stack([every, top, left]).to(images.device, non_blocking=True)  # [3, n]
    # Of the windows [n, 3, rows, columns, height, width] one per image is selected.
    return padded.unfold(2, height, 1).unfold(3, width, 1)[index[0], :, index[1], index[2]]


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror every image left to right with probability 1/2; uint8 [n, 3, height, width]."""
    draws = torch.rand(len(images), generator=generator, device=generator.device)
    mirrored = (draws < 0.5).cpu()
    compiled = kernels.kernels_for(images.device)
    if compiled is not None:
        stay = torch.zeros(len(images), dtype=torch.int64)
        return compiled.shift(images, stay, stay, mirrored)
    mirrored = mirrored.to(images.device, non_blocking=True).view(-1, 1, 1, 1)
    return torch.where(mirrored, images.flip(3), images)
