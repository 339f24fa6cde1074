"""Crop, flip and RandAugment on the CPU, image by image, so that an image stays in the L1 cache.

numba compiles the functions at their first call. They compute exactly what
`stages.augment.operations` computes, with the same roundings; constants come from there as
`Constants`. They use one thread and release the GIL, so another thread can train meanwhile.
"""

# ruff: noqa: ANN001, ANN202 - numba infers the types of what it compiles

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from torch import Tensor

# Operations are numbered by their index in `stages.augment.operations.OPERATIONS`; 0 is Identity.
_FIRST_MOVE, _LAST_MOVE = 1, 5
_BRIGHTNESS, _COLOR, _CONTRAST, _SHARPNESS, _POSTERIZE, _SOLARIZE = 6, 7, 8, 9, 10, 11
_AUTO_CONTRAST, _EQUALIZE = 12, 13

_RED, _GREEN, _BLUE = np.float32(0.2989), np.float32(0.587), np.float32(0.114)
_ZERO, _ONE, _WHITE = np.float32(0), np.float32(1), np.float32(255)


class Constants(NamedTuple):
    """Precomputed constants of the operations; on the axis of the sign, index 0 is positive.

    `sources` int32 [5 moves, 2, height * width]: the source pixel of each output pixel, -1 for
    none. `tables` uint8 [3, 2, 256]: the results of Brightness, Posterize and Solarize for each
    value. `ratio`, `rest` float32 [2]: the weights of the image and of the other image in a blend.
    """

    sources: Any
    tables: Any
    ratio: Any
    rest: Any


def apply_operations(
    images: Tensor, operations: Tensor, negative: Tensor, constants: Constants
) -> Tensor:
    """Return `rand_augment.apply_operations` of uint8 images [n, 3, height, width].

    `operations` int64 [n]; `negative` bool [n].
    """
    changed = torch.empty_like(images, memory_format=torch.contiguous_format)
    arrays = images.contiguous().numpy(), operations.numpy(), negative.long().numpy()
    _change_all(*arrays, constants, changed.numpy())
    return changed


def shift(images: Tensor, top: Tensor, left: Tensor, mirrored: Tensor) -> Tensor:
    """Crop each image i from row top[i] and column left[i] on, black outside; then mirror it.

    Images uint8 [n, 3, height, width]; top and left int64 [n], which may be negative; mirrored bool
    [n].
    """
    shifted = torch.empty_like(images, memory_format=torch.contiguous_format)
    arrays = (tensor.numpy() for tensor in (top, left, mirrored))
    _shift_all(images.contiguous().numpy(), shifted.numpy(), *arrays)
    return shifted


def _compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - numba's dispatcher
    """Compile a function with numba, and cache it on disk if a cache folder is available."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": False}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:
        return njit(**options)(function)


@_compiled
def _level(value):
    """Clip a float32 to 0..255 and round it down to uint8."""
    return np.uint8(np.int32(min(max(value, _ZERO), _WHITE)))


@_compiled
def _move(image, source, out):
    """Set each output pixel to the pixel source[i] of the image, black for -1; both [3, pixels]."""
    for channel in range(image.shape[0]):
        for pixel in range(source.size):
            there = source[pixel]
            out[channel, pixel] = image[channel, there] if there >= 0 else np.uint8(0)


@_compiled
def _copy(values, out):
    for i in range(values.size):
        out[i] = values[i]


@_compiled
def _look_up(values, table, out):
    for i in range(values.size):
        out[i] = table[values[i]]


@_compiled
def _blend(values, others, ratio, rest, out):
    for i in range(values.size):
        out[i] = _level(ratio * np.float32(values[i]) + rest * np.float32(others[i]))


@_compiled
def _grey(image):
    grey = np.empty(image.shape[1], np.uint8)
    for i in range(grey.size):
        red, green = _RED * np.float32(image[0, i]), _GREEN * np.float32(image[1, i])
        grey[i] = np.uint8(np.int32(red + green + _BLUE * np.float32(image[2, i])))
    return grey


@_compiled
def _contrast(image, ratio, rest, out):
    total = 0
    for value in _grey(image):
        total += value
    mean = rest * (np.float32(total) / np.float32(image.shape[1]))
    for channel in range(image.shape[0]):
        for i in range(image.shape[1]):
            out[channel, i] = _level(ratio * np.float32(image[channel, i]) + mean)


@_compiled
def _blurred(plane):
    """Return the rounded mean of each pixel (weight 5) and its 8 neighbours (weight 1).

    plane: uint8 [height, width]. Pixels at the edges keep their values.
    """
    blurred = plane.copy()
    five, half, all_weights = np.int32(5), np.int32(6), np.int32(13)
    for y in range(1, plane.shape[0] - 1):
        above, here, below = plane[y - 1], plane[y], plane[y + 1]
        for x in range(1, plane.shape[1] - 1):
            total = five * np.int32(here[x]) + np.int32(here[x - 1]) + np.int32(here[x + 1])
            total += np.int32(above[x - 1]) + np.int32(above[x]) + np.int32(above[x + 1])
            total += np.int32(below[x - 1]) + np.int32(below[x]) + np.int32(below[x + 1])
            blurred[y, x] = np.uint8((total + half) // all_weights)
    return blurred


@_compiled
def _auto_contrast(values, out):
    least, greatest = values.min(), values.max()
    if least == greatest:
        _copy(values, out)
        return
    darkest = np.float32(least)
    scale = _ONE / (np.float32(greatest) - darkest) * _WHITE
    for i in range(values.size):
        out[i] = _level((np.float32(values[i]) - darkest) * scale)


@_compiled
def _equalize(values, out):
    histogram = np.zeros(256, np.int32)
    for value in values:
        histogram[value] += 1
    step = (values.size - histogram[values.max()]) // 255
    if step == 0:
        _copy(values, out)
        return
    table = np.empty(256, np.uint8)
    darker = 0
    for value in range(256):
        table[value] = min((darker + step // 2) // step, 255)
        darker += histogram[value]
    _look_up(values, table, out)


@_compiled
def _change(image, height, operation, sign, constants, out):
    """Apply one operation to an image [3, pixels] and write the result to `out`.

    `sign` is 0 for a positive strength and 1 for a negative one.
    """
    ratio, rest = constants.ratio[sign], constants.rest[sign]
    if _FIRST_MOVE <= operation <= _LAST_MOVE:
        _move(image, constants.sources[operation - _FIRST_MOVE, sign], out)
    elif operation == _CONTRAST:
        _contrast(image, ratio, rest, out)
    elif operation == _COLOR:
        grey = _grey(image)
        for channel in range(image.shape[0]):
            _blend(image[channel], grey, ratio, rest, out[channel])
    else:
        for channel in range(image.shape[0]):
            values, result = image[channel], out[channel]
            if operation == _BRIGHTNESS:
                _look_up(values, constants.tables[0, sign], result)
            elif operation == _POSTERIZE:
                _look_up(values, constants.tables[1, sign], result)
            elif operation == _SOLARIZE:
                _look_up(values, constants.tables[2, sign], result)
            elif operation == _SHARPNESS:
                blurred = _blurred(values.reshape(height, -1)).ravel()
                _blend(values, blurred, ratio, rest, result)
            elif operation == _AUTO_CONTRAST:
                _auto_contrast(values, result)
            elif operation == _EQUALIZE:
                _equalize(values, result)
            else:
                _copy(values, result)


@_compiled
def _change_all(images, operations, negative, constants, changed):
    count, channels, height, width = images.shape
    flat = (channels, height * width)
    for i in range(count):
        image, out = images[i].reshape(flat), changed[i].reshape(flat)
        _change(image, height, operations[i], negative[i], constants, out)


@_compiled
def _shift_all(images, shifted, top, left, mirrored):
    count, channels, height, width = images.shape
    source = np.empty((height, width), np.int32)
    for i in range(count):
        for y in range(height):
            row = y + top[i]
            for x in range(width):
                column = left[i] + (width - 1 - x if mirrored[i] else x)
                inside = 0 <= row < height and 0 <= column < width
                source[y, x] = row * width + column if inside else -1
        image = images[i].reshape(channels, height * width)
        _move(image, source.ravel(), shifted[i].reshape(channels, height * width))
