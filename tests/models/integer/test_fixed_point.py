"""Each integer rule against its definition in Python's own integers, for numpy and for torch."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.integer import fixed_point

INT8 = np.arange(-128, 128, dtype=np.int32)
SHIFTS = range(1, fixed_point.MAX_SHIFT + 1)
ACCUMULATORS = st.integers(-(1 << 30) + 1, (1 << 30) - 1)


@pytest.fixture(params=["numpy", "torch"])
def array(request):
    """Return the function that turns numbers into an int32 array of either library."""
    if request.param == "numpy":
        return lambda numbers: np.asarray(numbers, dtype=np.int32)
    return lambda numbers: torch.from_numpy(np.array(numbers, dtype=np.int32))


def grid(*axes):
    """Return every combination of the axes' values, as one flat array per axis."""
    return [axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")]


def half_up(numerator, denominator):
    """Return floor(numerator / denominator + 1/2) in exact integers."""
    return (2 * numerator + denominator) // (2 * denominator)


def clamp(value):
    return min(127, max(-128, value))


def assert_same(result, expected):
    assert result.dtype in (np.int32, torch.int32)
    np.testing.assert_array_equal(np.asarray(result), expected)


@pytest.mark.parametrize("shift", SHIFTS)
def test_rounding_shift_on_all_int16_and_around_the_largest_sums(array, shift):
    edge = 1 << 22
    values = [*range(-(1 << 15), 1 << 15)]
    values += [sign * edge + d for sign in (-1, 1) for d in range(-3000, 3001)]
    expected = [half_up(value, 1 << shift) for value in values]
    assert_same(fixed_point.rounding_shift(array(values), shift), expected)


@given(value=ACCUMULATORS, shift=st.sampled_from(SHIFTS))
def test_rounding_shift_is_floor_of_the_quotient_plus_a_half(value, shift):
    expected = floor(Fraction(value, 2**shift) + Fraction(1, 2))
    assert fixed_point.rounding_shift(value, shift) == expected
    assert fixed_point.rounding_shift(np.int32(value), np.int32(shift)) == expected
    assert fixed_point.rounding_shift(torch.tensor(value, dtype=torch.int32), shift) == expected


def test_rounding_shift_takes_a_shift_per_channel(array):
    values = array(np.arange(-600, 600).reshape(-1, 3))
    result = fixed_point.rounding_shift(values, array([1, 4, 16]))
    expected = [
        [half_up(int(value), 1 << shift) for value, shift in zip(row, (1, 4, 16), strict=True)]
        for row in values
    ]
    assert_same(result, expected)


@given(values=st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1))
def test_saturate_clamps_and_keeps_what_is_inside(values):
    expected = list(map(clamp, values))
    assert_same(fixed_point.saturate(np.array(values, dtype=np.int32)), expected)
    assert_same(fixed_point.saturate(torch.tensor(values, dtype=torch.int32)), expected)


@given(
    rows=st.lists(st.tuples(ACCUMULATORS, ACCUMULATORS), min_size=1, max_size=20),
    channels=st.tuples(*[st.tuples(st.sampled_from(SHIFTS), st.integers(-128, 127))] * 2),
)
def test_requantize_shifts_adds_the_bias_and_then_saturates(rows, channels):
    expected = [
        [clamp(half_up(acc, 1 << s) + b) for acc, (s, b) in zip(row, channels, strict=True)]
        for row in rows
    ]
    acc, (shift, bias) = np.array(rows, dtype=np.int32), np.array(channels, dtype=np.int32).T
    assert_same(fixed_point.requantize(acc, shift, bias), expected)
    assert_same(fixed_point.requantize(*map(torch.tensor, (acc, shift, bias))), expected)


def test_the_bias_is_added_before_saturation(array):
    assert_same(fixed_point.requantize(array([400, -400]), 1, array([-100, 100])), [100, -100])


def test_saturating_add_on_all_pairs(array):
    a, b = grid(INT8, INT8)
    expected = [clamp(int(x) + int(y)) for x, y in zip(a, b, strict=True)]
    assert_same(fixed_point.saturating_add(array(a), array(b)), expected)


def test_relu_on_all_int8(array):
    assert_same(fixed_point.relu(array(INT8)), [max(0, value) for value in range(-128, 128)])


def test_table_index_is_quotient_and_remainder_by_four(array):
    segment, remainder = fixed_point.table_index(array(INT8))
    expected = [divmod(value + 128, 4) for value in range(-128, 128)]
    assert_same(segment, [quotient for quotient, _ in expected])
    assert_same(remainder, [rest for _, rest in expected])
    assert (int(segment.max()), fixed_point.TABLE_KNOTS) == (63, 65)


def test_lerp_on_all_knots_and_remainders(array):
    left, right, remainder = grid(INT8, INT8, np.arange(4))
    result = fixed_point.lerp(array(left), array(right), array(remainder))
    quarters = (4 * left + (right - left) * remainder).tolist()
    assert_same(result, [half_up(value, 4) for value in quarters])
    result = np.asarray(result)
    assert (result >= np.minimum(left, right)).all() and (result <= np.maximum(left, right)).all()


def test_table_lookup_reads_each_channels_own_knots(array):
    knots = np.random.default_rng(0).integers(-128, 128, (3, 65))
    channel, value = grid(np.arange(3), INT8)
    result = fixed_point.table_lookup(array(knots), array(channel), array(value))
    expected = []
    for f, x in zip(channel.tolist(), value.tolist(), strict=True):
        i, r = (x + 128) // 4, (x + 128) % 4
        left, right = int(knots[f, i]), int(knots[f, i + 1])
        expected.append(left + half_up((right - left) * r, 4))
    assert_same(result, expected)


def test_table_lookup_in_the_last_segment_reads_the_65th_knot(array):
    knots = np.zeros((1, 65))
    knots[0, 64] = 100
    values = array([123, 124, 125, 126, 127])
    assert_same(fixed_point.table_lookup(array(knots), array(0), values), [0, 0, 25, 50, 75])


def test_mean_shift_of_powers_of_two():
    assert [fixed_point.mean_shift(1 << bits) for bits in range(1, 11)] == list(range(1, 11))


@pytest.mark.parametrize("count", [-64, -1, 0, 1, 3, 6, 63, 65, 96])
def test_mean_shift_refuses_other_counts(count):
    with pytest.raises(ValueError, match=f"mean of {count} tokens"):
        fixed_point.mean_shift(count)


@pytest.mark.parametrize("shift", [-1, 0, 17])
def test_check_shift_refuses_what_is_outside_1_to_16(array, shift):
    with pytest.raises(ValueError, match=f"between 1 and 16; found {shift} to {shift}"):
        fixed_point.check_shift(shift)
    with pytest.raises(ValueError, match="between 1 and 16"):
        fixed_point.check_shift(array([[1, 16], [shift, 7]]))


def test_check_shift_accepts_1_to_16(array):
    for shift in SHIFTS:
        fixed_point.check_shift(shift)
    fixed_point.check_shift(array([*SHIFTS]))


def test_the_largest_allowed_sum_of_products_is_exact_in_float32():
    largest = fixed_point.MAX_FAN_IN * 128 * 128
    assert np.float32(largest) - np.float32(largest - 1) == 1
