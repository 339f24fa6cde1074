"""Synthetic images for the golden samples, so that these contain no images of a data set."""

from itertools import pairwise

import numpy as np
import numpy.typing as npt

_CELL = 8  # pixels between two random colours


def sample_images(count: int) -> npt.NDArray[np.uint8]:
    """Return `count` images uint8 [count, 32, 32, 3], always the same: smooth colours with noise.

    Uses only integers and numpy's raw random bits, which are the same in every version of numpy.
    """
    knots = 32 // _CELL + 1
    sizes = (knots * knots * 3, 32 * 32 * 3)
    bits = np.random.PCG64(0).random_raw(count * sum(sizes)).reshape(count, -1) & 255
    colours, noise = np.split(bits.astype(np.int64), [sizes[0]], axis=1)
    colours, noise = colours.reshape(count, knots, knots, 3), noise.reshape(count, 32, 32, 3)
    # [count, 5, 5, 3] -> [count, 32, 5, 3] -> [count, 32, 32, 3]
    smooth = _interpolated(_interpolated(colours, axis=1), axis=2) // _CELL**2
    return (smooth + noise // 8 - 16).clip(0, 255).astype(np.uint8)


def _interpolated(values: npt.NDArray[np.int64], axis: int) -> npt.NDArray[np.int64]:
    """Interpolate linearly between neighbours along an axis; return `_CELL` times the values.

    The axis grows from n to (n - 1) * `_CELL`.
    """
    values = np.moveaxis(values, axis, 0)
    right = np.arange(_CELL).reshape(-1, *[1] * (values.ndim - 1))
    parts = [left * (_CELL - right) + next_ * right for left, next_ in pairwise(values)]
    return np.moveaxis(np.concatenate(parts), 0, axis)
