"""The reference for our random changes: torchvision's RandAugment, image by image."""

from importlib import import_module

import torch
from torch import Generator, Tensor

from stages.sources.torchvision_import import import_torchvision


def rand_augment_reference(images: Tensor, generator: Generator) -> Tensor:
    """Apply torchvision's RandAugment to the images of uint8 [n, 3, height, width] one by one."""
    import_torchvision()
    transform = import_module("torchvision.transforms").RandAugment()
    with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        return torch.stack([transform(image) for image in images])
