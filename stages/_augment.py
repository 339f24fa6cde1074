"""Random changes of training images: shift, flip, RandAugment (published system §2).

Works on batches of pixels, uint8 [n, 3, 32, 32]; every draw comes from the generator given, so an
epoch is a function of its seed.
"""

from importlib import import_module

import torch
from torch import Generator, Tensor

from stages._params import Augment
from stages._torchvision import import_torchvision


def augment(images: Tensor, how: Augment, generator: Generator) -> Tensor:
    """Return a changed copy of uint8 images [n, 3, height, width]."""
    if how.crop_padding:
        images = random_crop(images, how.crop_padding, generator)
    if how.flip:
        images = random_flip(images, generator)
    if how.rand_augment:
        images = rand_augment(images, generator)
    return images


def random_crop(images: Tensor, padding: int, generator: Generator) -> Tensor:
    """Shift every image by up to `padding` pixels each way; what comes in is black."""
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (padding,) * 4)
    top, left = torch.randint(2 * padding + 1, (2, count, 1), generator=generator)
    rows = (top + torch.arange(height))[:, None, :, None]
    columns = (left + torch.arange(width))[:, None, None, :]
    return padded[
        torch.arange(count)[:, None, None, None],
        torch.arange(3)[None, :, None, None],
        rows,
        columns,
    ]


def random_flip(images: Tensor, generator: Generator) -> Tensor:
    """Mirror every image left to right with probability 1/2."""
    flipped = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(flipped, images.flip(-1), images)


def rand_augment(images: Tensor, generator: Generator) -> Tensor:
    """Apply torchvision's RandAugment (2 operations, magnitude 9) to every image on its own."""
    import_torchvision()
    transform = import_module("torchvision.transforms").RandAugment()
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return torch.stack([transform(image) for image in images])
