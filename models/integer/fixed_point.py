"""The integer arithmetic of the network, defined once for numpy and torch.

Inputs and outputs of all layers are int8, with one power-of-two rescaling per output channel, as in
the authors' hardware. The functions use only operators and methods that numpy arrays and torch
tensors share, so the QAT forward pass, the numpy network and the tests call the same code.
`hls/cpp/common/fixed_point.hpp` has the same functions under the same names in C++, and
`tests/hls/cpp/test_parity.py` compares the two. In terms of `ap_fixed`, rounding_shift is AP_RND
and saturate is AP_SAT.
"""

from typing import Any

INT8_MIN = -128
INT8_MAX = 127
# The largest sum, 2^24 (see MAX_FAN_IN), becomes 256 by it, twice what int8 holds. A sum comes near
# half of 2^24 only if almost all products are extreme, so a larger shift would leave most of int8
# unused.
MAX_SHIFT = 16
TABLE_BITS = 2  # low bits of the int8 input that interpolate between two knots
TABLE_SEGMENTS = 256 >> TABLE_BITS
TABLE_KNOTS = TABLE_SEGMENTS + 1

# An int8 product is at most 2^14, so a sum of up to 1,024 products is at most 2^24 and exact in
# float32.
MAX_FAN_IN = 1 << 10

IntArray = Any  # a numpy array or a torch tensor of a signed integer type of 32 bits or more


def rounding_shift(value: IntArray, shift: IntArray | int) -> IntArray:
    """Divide by 2^shift and round half up: floor(value / 2^shift + 1/2).

    `value` holds signed integers of at least 32 bits, |value| < 2^30. `shift` broadcasts and is
    between 1 and MAX_SHIFT. The formula fails for shift 0; `check_shift` refuses it when parameters
    are read or made.

    >>> rounding_shift(6, 2), rounding_shift(-6, 2)  # 1.5 -> 2, -1.5 -> -1
    (2, -1)
    """
    return (value + (1 << (shift - 1))) >> shift


def check_shift(shift: IntArray | int) -> None:
    """Raise ValueError unless every shift is between 1 and MAX_SHIFT."""
    low, high = (shift, shift) if isinstance(shift, int) else (int(shift.min()), int(shift.max()))
    if low < 1 or high > MAX_SHIFT:
        raise ValueError(f"a shift is between 1 and {MAX_SHIFT}; found {low} to {high}")


def saturate(value: IntArray) -> IntArray:
    """Clamp to the int8 range: min(127, max(-128, value)).

    >>> saturate(np.array([-200, 5, 200])).tolist()
    [-128, 5, 127]
    """
    return value.clip(INT8_MIN, INT8_MAX)


def requantize(acc: IntArray, shift: IntArray | int, bias: IntArray | int) -> IntArray:
    """Requantise an accumulator to int8: saturate(rounding_shift(acc, shift) + bias).

    `acc` is a sum of int8 products. `shift` and `bias` (int8 values) broadcast over the output
    channels.

    >>> requantize(np.array([1000, 10000]), 4, -3).tolist()  # 62.5 -> 63, 625 -> saturated
    [60, 127]
    """
    return saturate(rounding_shift(acc, shift) + bias)


def saturating_add(a: IntArray, b: IntArray) -> IntArray:
    """Add int8 values that have the same scale: saturate(a + b)."""
    return saturate(a + b)


def relu(value: IntArray) -> IntArray:
    """Return max(0, value)."""
    return value.clip(0)


def table_index(value: IntArray) -> tuple[IntArray, IntArray]:
    """Return the segment (0..63) of a 65-knot table for an int8 value, and the remainder (0..3).

    >>> table_index(-128), table_index(0), table_index(127)
    ((0, 0), (32, 0), (63, 3))
    """
    offset = value - INT8_MIN
    return offset >> TABLE_BITS, offset & ((1 << TABLE_BITS) - 1)


def lerp(left: IntArray, right: IntArray, remainder: IntArray) -> IntArray:
    """Interpolate between two knots: left + rounding_shift((right - left) * remainder, 2).

    `remainder` is 0..3. The result is between the knots, so it needs no saturation.

    >>> lerp(10, 13, 2)  # 11.5 is rounded up
    12
    """
    return left + rounding_shift((right - left) * remainder, TABLE_BITS)


def table_lookup(knots: IntArray, channel: IntArray, value: IntArray) -> IntArray:
    """Evaluate per-channel tables at int8 values.

    knots are [F, 65]; `channel` (0..F-1) and `value` broadcast together and give the result's
    shape.
    """
    segment, remainder = table_index(value)
    return lerp(knots[channel, segment], knots[channel, segment + 1], remainder)


def mean_shift(count: int) -> int:
    """Return log2(count), the shift that averages `count` tokens.

    Raises ValueError unless count is a power of two of at least 2.

    >>> mean_shift(64)
    6
    """
    shift = count.bit_length() - 1
    if count < 2 or count != 1 << shift:
        raise ValueError(
            f"the mean of {count} tokens cannot be computed as a shift; use a power of two >= 2"
        )
    return shift
