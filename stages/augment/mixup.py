"""Mixup: training images that are weighted means of two (Zhang et al., arXiv 1710.09412, 2018)."""

import torch
from torch import Generator, Tensor


def mixup(
    images: Tensor, classes: Tensor, share: float, generator: Generator
) -> tuple[Tensor, Tensor]:
    """Mix about a `share` of the images, each with the one before it; return images and classes.

    Images uint8 [n, 3, height, width], in random order; `classes` float [n, classes], the share of
    each class in an image. The weight of the other image is uniform between 0 and 1/2, which is the
    same as one between 0 and 1 (Beyer et al., arXiv 2106.05237, 2022), as all images are partners.
    Mixed pixels are rounded to uint8. Draws are from the generator.
    """
    draws = torch.rand((2, len(images)), generator=generator, device=generator.device)
    other = torch.where(draws[0] < share, draws[1] / 2, 0).to(images.device, non_blocking=True)
    weight = other.view(-1, 1, 1, 1)
    mixed = torch.lerp(images.float(), images.roll(1, dims=0).float(), weight).round()
    return mixed.to(torch.uint8), torch.lerp(classes, classes.roll(1, dims=0), other.view(-1, 1))
