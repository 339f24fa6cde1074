"""The 14 operations of RandAugment on groups of images, in plain PyTorch for any device.

An operation takes uint8 [m, 3, height, width] (height and width at least 3) and bool [m]: whether
the strength is negative for each image. Operations whose strength has no sign ignore it. The
results equal torchvision's on uint8 tensors with nearest-neighbour interpolation, pixel for pixel,
because float32 values are rounded in the same order. No operation waits for the device.
"""

import math
from collections.abc import Callable
from functools import cache, partial

import torch
from torch import Tensor

_BINS, _BIN = 31, 9  # number of strengths in torchvision's range, and the index used


def _strength(first: float, last: float) -> float:
    return torch.linspace(first, last, _BINS, dtype=torch.float32)[_BIN].item()


_SHEAR = _strength(0.0, 0.3)  # pixels of shift per row or column
_SHIFT = 150 / 331  # torchvision's largest shift, as a part of the image
_ROTATION = math.radians(_strength(0.0, 30.0))
_BLEND = _strength(0.0, 0.9)
BEYOND, SHORT = 1.0 + _BLEND, 1.0 - _BLEND  # weight of the image in a blend, positive and negative
_POSTERIZED_BITS = 8 - round(_BIN / ((_BINS - 1) / 4))
_SOLARIZE_FROM = _strength(255.0, 0.0)

MOVES = ("ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate")


def _identity(images: Tensor, negative: Tensor) -> Tensor:
    return images


def _move(name: str, images: Tensor, negative: Tensor) -> Tensor:
    source = sources(name, *images.shape[2:], images.device)[negative.long()][:, None]
    there = source.clamp(min=0).expand(-1, images.shape[1], -1)  # [m, 3, height * width]
    return (images.flatten(2).gather(2, there) * (source >= 0)).view(images.shape)


@cache
def sources(name: str, height: int, width: int, device: torch.device) -> Tensor:
    """Return the source pixel of each output pixel for one of `MOVES`: int64 [2, h * w], -1: none.

    Row 0 is for a positive strength, row 1 for a negative one. The source is the pixel that
    contains the source point (nearest neighbour).
    """
    rows = []
    for sign in (1, -1):
        x, y = (points.floor().long() for points in _source_points(name, height, width, sign))
        inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        rows.append(torch.where(inside, y * width + x, -1).flatten())
    return torch.stack(rows).to(device)


def _source_points(name: str, height: int, width: int, sign: int) -> tuple[Tensor, Tensor]:
    """Return x and y of the source point of each pixel's centre, in pixels from the corner.

    Both float64 [height, width].
    """
    centres = [torch.arange(size, dtype=torch.float64) + 0.5 for size in (height, width)]
    y, x = torch.meshgrid(*centres, indexing="ij")
    match name:
        case "ShearX":
            return x + sign * _SHEAR * y, y
        case "ShearY":
            return x, y + sign * _SHEAR * x
        case "TranslateX":
            return x - sign * int(_strength(0.0, _SHIFT * width)), y
        case "TranslateY":
            return x, y - sign * int(_strength(0.0, _SHIFT * height))
    x, y = x - width / 2, y - height / 2
    cosine, sine = math.cos(_ROTATION), sign * math.sin(_ROTATION)
    return cosine * x - sine * y + width / 2, sine * x + cosine * y + height / 2


def _blend(images: Tensor, others: Tensor, negative: Tensor) -> Tensor:
    """Extrapolate from `others` beyond the images, or interpolate if `negative`."""
    negative = negative.view(-1, 1, 1, 1)
    ratio = torch.where(negative, SHORT, BEYOND)
    rest = torch.where(negative, 1.0 - SHORT, 1.0 - BEYOND)
    return (ratio * images + rest * others).clamp_(0, 255).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    red, green, blue = images.split(1, dim=1)
    return (0.2989 * red + 0.587 * green + 0.114 * blue).to(torch.uint8)


def _brightness(images: Tensor, negative: Tensor) -> Tensor:
    return _blend(images, images.new_zeros(()), negative)


def _color(images: Tensor, negative: Tensor) -> Tensor:
    return _blend(images, _grey(images), negative)


def _contrast(images: Tensor, negative: Tensor) -> Tensor:
    mean = _grey(images).float().mean(dim=(1, 2, 3), keepdim=True)
    return _blend(images, mean, negative)


def _sharpness(images: Tensor, negative: Tensor) -> Tensor:
    """Blend with a 3 x 3 blur (centre weight 5, others 1); the pixels at the edges stay."""
    blurred = images.float()
    rows = blurred[:, :, :-2] + blurred[:, :, 1:-1] + blurred[:, :, 2:]
    sums = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * blurred[:, :, 1:-1, 1:-1]
    blurred[:, :, 1:-1, 1:-1] = (sums / 13).round()
    return _blend(images, blurred, negative)


def _posterize(images: Tensor, negative: Tensor) -> Tensor:
    return images & (256 - 2 ** (8 - _POSTERIZED_BITS))


def _solarize(images: Tensor, negative: Tensor) -> Tensor:
    return torch.where(images >= _SOLARIZE_FROM, 255 - images, images)


def _auto_contrast(images: Tensor, negative: Tensor) -> Tensor:
    darkest = images.amin(dim=(2, 3), keepdim=True).float()
    span = images.amax(dim=(2, 3), keepdim=True).float() - darkest
    flat = span == 0
    scale = torch.where(flat, 1.0, 255 / span)
    darkest = torch.where(flat, 0.0, darkest)
    return ((images - darkest) * scale).clamp_(0, 255).to(torch.uint8)


def _equalize(images: Tensor, negative: Tensor) -> Tensor:
    """Equalise the histogram of each channel: each of the 255 steps gets about as many pixels."""
    pixels = images.flatten(2).long()
    ones = torch.ones((), dtype=torch.int32, device=images.device).expand_as(pixels)
    # [n, 3, 256]: pixels of each value
    histogram = ones.new_zeros(*pixels.shape[:2], 256).scatter_add_(2, pixels, ones)
    brightest = histogram.gather(2, pixels.amax(dim=2, keepdim=True))
    # Pixels per step [n, 3, 1], without the brightest value's.
    step = (pixels.shape[2] - brightest).div(255, rounding_mode="floor")
    darker = histogram.cumsum(2) - histogram
    table = (darker + step // 2).div(step.clamp(min=1), rounding_mode="floor").clamp_(max=255)
    table = torch.where(step == 0, torch.arange(256, device=images.device), table)
    return table.to(torch.uint8).gather(2, pixels).view(images.shape)


OPERATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Identity": _identity,
    "ShearX": partial(_move, "ShearX"),
    "ShearY": partial(_move, "ShearY"),
    "TranslateX": partial(_move, "TranslateX"),
    "TranslateY": partial(_move, "TranslateY"),
    "Rotate": partial(_move, "Rotate"),
    "Brightness": _brightness,
    "Color": _color,
    "Contrast": _contrast,
    "Sharpness": _sharpness,
    "Posterize": _posterize,
    "Solarize": _solarize,
    "AutoContrast": _auto_contrast,
    "Equalize": _equalize,
}
