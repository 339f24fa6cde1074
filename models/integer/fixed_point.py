"""The integer arithmetic of the network: each rule once, for numpy and for torch.

Everything is int8 in, int8 out, with one power-of-two rescaling per output channel, as in the
authors' hardware. The functions use operators and methods that numpy arrays and torch tensors
share, so the QAT forward, the numpy network and the tests call the same code;
`hls/cpp/common/fixed_point.hpp` holds the C++ twin of each under the same name, and
`tests/hls/cpp/test_parity.py` compares the two. In the words of `ap_fixed`: rounding_shift is
AP_RND, saturate is AP_SAT.
"""

from typing import Any

INT8_MIN = -128
INT8_MAX = 127
MAX_SHIFT = 16  # a larger shift turns every accumulator of this network into 0 or -1
TABLE_BITS = 2  # low bits of the int8 input that interpolate between two knots
TABLE_SEGMENTS = 256 >> TABLE_BITS
TABLE_KNOTS = TABLE_SEGMENTS + 1

# An int8 product is at most 2^14, so a sum of up to 1,024 is at most 2^24 and exact in float32.
MAX_FAN_IN = 1 << 10

IntArray = Any  # a numpy array or a torch tensor of a signed integer type of 32 bits or more


def rounding_shift(value: IntArray, shift: IntArray | int) -> IntArray:
    """Divide by 2^shift and round half up: floor(value / 2^shift + 1/2).

    `value` holds signed integers of at least 32 bits, |value| < 2^30; `shift` (broadcast) is
    between 1 and MAX_SHIFT. Shift 0 has no half to add; `check_shift` refuses it where shifts
    enter the program.
    """
    return (value + (1 << (shift - 1))) >> shift


def check_shift(shift: IntArray | int) -> None:
    """Raise ValueError unless every shift is between 1 and MAX_SHIFT."""
    low, high = (shift, shift) if isinstance(shift, int) else (int(shift.min()), int(shift.max()))
    if low < 1 or high > MAX_SHIFT:
        raise ValueError(f"a shift is between 1 and {MAX_SHIFT}; found {low} to {high}")


def saturate(value: IntArray) -> IntArray:
    """Clamp to the int8 range: min(127, max(-128, value))."""
    return value.clip(INT8_MIN, INT8_MAX)


def requantize(acc: IntArray, shift: IntArray | int, bias: IntArray | int) -> IntArray:
    """Bring an accumulator onto the output's grid: saturate(rounding_shift(acc, shift) + bias).

    `acc` is a sum of int8 products; `shift` and `bias` broadcast over the output channels.
    """
    return saturate(rounding_shift(acc, shift) + bias)


def saturating_add(a: IntArray, b: IntArray) -> IntArray:
    """Add two int8 values on one grid: saturate(a + b)."""
    return saturate(a + b)


def relu(value: IntArray) -> IntArray:
    """max(0, value)."""
    return value.clip(0)


def table_index(value: IntArray) -> tuple[IntArray, IntArray]:
    """Split an int8 value into (segment 0..63, remainder 0..3) of a 65-knot table."""
    offset = value - INT8_MIN
    return offset >> TABLE_BITS, offset & ((1 << TABLE_BITS) - 1)


def lerp(left: IntArray, right: IntArray, remainder: IntArray) -> IntArray:
    """Interpolate between two knots: left + rounding_shift((right - left) * remainder, 2).

    `remainder` is 0..3. The result lies between the knots, so it needs no saturation.
    """
    return left + rounding_shift((right - left) * remainder, TABLE_BITS)


def table_lookup(knots: IntArray, channel: IntArray, value: IntArray) -> IntArray:
    """Evaluate per-channel tables: knots [F, 65], `channel` and int8 `value` broadcast together."""
    segment, remainder = table_index(value)
    return lerp(knots[channel, segment], knots[channel, segment + 1], remainder)


def mean_shift(count: int) -> int:
    """Return log2(count), the shift that averages `count` tokens; count is 2, 4, 8, …."""
    shift = count.bit_length() - 1
    if count < 2 or count != 1 << shift:
        raise ValueError(f"the mean of {count} tokens is no shift; use a power of two >= 2")
    return shift
