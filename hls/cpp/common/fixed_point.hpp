/// The integer arithmetic of the network. models/integer/fixed_point.py has the same functions
/// under the same names.
///
///     rounding_shift(v, s) = floor(v / 2^s + 1/2)              AP_RND
///     saturate(v)          = min(127, max(-128, v))            AP_SAT
///     requantize(v, s, b)  = saturate(rounding_shift(v, s) + b)
///     lerp(l, r, k)        = l + rounding_shift((r - l) * k, 2)
///
/// Sums are native ints, so that g++ vectorises them. `narrow` passes a result through an ap_int of
/// its proven width; the HLS compiler then drops the unused upper bits of the whole adder tree.
#pragma once

#include <ap_int.h>

#include <cassert>
#include <cstdint>

using Int8 = int8_t;

constexpr int int8_min = -128;
constexpr int int8_max = 127;
constexpr int max_shift = 16;
constexpr int max_fan_in = 1 << 10;
constexpr int table_bits = 2;  // low bits of the input that interpolate between two knots
constexpr int table_segments = 256 >> table_bits;
constexpr int table_knots = table_segments + 1;

static_assert(sizeof(int) == 4, "sums of int8 products are held in a native int of 32 bits");
static_assert((-3 >> 1) == -2, "rounding needs >> of a negative int to round down");
static_assert(table_knots == (1 << (8 - table_bits)) + 1, "the last segment must have two knots");

/// Return the bits of the smallest two's complement type that holds -magnitude to magnitude.
constexpr int signed_bits(int magnitude) {
  int bits = 1;
  for (; magnitude > 0; magnitude >>= 1) ++bits;
  return bits;
}

/// Return the bits that hold any sum of `products` products of two int8 values: |a * b| <= 2^14.
constexpr int accumulator_bits(int products) { return signed_bits(products << 14); }

static_assert(accumulator_bits(1) == 16, "(-128)^2 = 2^14 needs 16 bits");
static_assert(accumulator_bits(max_fan_in) <= 30, "a rounded sum must stay inside a native int");

/// Return `value` unchanged and assert that it fits `bits` bits; the hardware has only these bits.
/// \tparam bits  Width of the two's complement type
template <int bits>
int narrow(int value) {
#pragma HLS INLINE
  const ap_int<bits> held = value;
  assert(held == value);
  return held;
}

/// A register for a full or partial sum of `products` int8 products. With NATIVE_SUMS it is a
/// native int, which makes C-simulation several times faster; `requantize` still asserts that the
/// full sum fits the ap_int.
#ifdef NATIVE_SUMS
template <int products>
using Sum = int;
#else
template <int products>
using Sum = ap_int<accumulator_bits(products)>;
#endif

/// Divide by 2^shift and round half up; shift is 1 to max_shift.
///
/// Shifting by shift - 1 before the addition gives the same result as adding 2^(shift - 1) before
/// the shift. It takes one shifter instead of two, and the adder is as narrow as the result.
inline int rounding_shift(int value, int shift) {
#pragma HLS INLINE
  assert(1 <= shift && shift <= max_shift);
  return ((value >> (shift - 1)) + 1) >> 1;
}

/// Clamp to the int8 range.
inline Int8 saturate(int value) {
#pragma HLS INLINE
  return value > int8_max ? int8_max : value < int8_min ? int8_min : value;
}

/// Requantise a sum of int8 products to int8: shift with rounding, add the bias, saturate.
/// \tparam products  Number of products in the sum
template <int products>
Int8 requantize(int sum, int shift, int bias) {
#pragma HLS INLINE
  static_assert(0 < products && products <= max_fan_in, "a sum has 1 to 1024 products");
  const int acc = narrow<accumulator_bits(products)>(sum);
  return saturate(rounding_shift(acc, shift) + bias);
}

/// Add two int8 values that have the same scale.
inline Int8 saturating_add(int a, int b) {
#pragma HLS INLINE
  return saturate(a + b);
}

/// max(0, value).
inline Int8 relu(int value) {
#pragma HLS INLINE
  return value > 0 ? value : 0;
}

/// Position of an int8 value in a table: segment 0..63, `remainder` quarters past its left knot.
struct TableIndex {
  uint8_t segment;
  uint8_t remainder;
};

static_assert((UINT8_MAX >> table_bits) + 1 < table_knots, "every segment must have a right knot");

inline TableIndex table_index(int value) {
#pragma HLS INLINE
  const uint8_t offset = static_cast<uint8_t>(value - int8_min);
  const int remainder = offset & ((1 << table_bits) - 1);
  return {static_cast<uint8_t>(offset >> table_bits), static_cast<uint8_t>(remainder)};
}

/// Add `remainder` quarters of the slope to a knot. The result is between the two knots, so it
/// needs no saturation.
inline Int8 interpolate(int knot, int slope, int remainder) {
#pragma HLS INLINE
  return knot + rounding_shift(slope * remainder, table_bits);
}

/// Interpolate between two knots; remainder is 0 to 3 quarters.
inline Int8 lerp(int left, int right, int remainder) {
#pragma HLS INLINE
  return interpolate(left, right - left, remainder);
}

/// Evaluate one channel's table at an int8 value.
inline Int8 table_lookup(const int8_t (&knots)[table_knots], int value) {
#pragma HLS INLINE
  const TableIndex at = table_index(value);
  return lerp(knots[at.segment], knots[at.segment + 1], at.remainder);
}

/// A segment of a table in one memory word of 17 bits, so that a lookup is one read: the left knot
/// in the low 8 bits, above it the slope in 9 bits (right knot - left knot, -255 to 255); both in
/// two's complement. The synthesised memory has exactly these bits; g++ would need minutes for as
/// many constants of an ap_int type.
#ifdef __SYNTHESIS__
using TableWord = ap_uint<17>;
#else
using TableWord = uint32_t;
#endif

constexpr int slope_bits = 9;

/// Evaluate one channel's table at an int8 value.
inline Int8 table_lookup(const TableWord (&segments)[table_segments], int value) {
#pragma HLS INLINE
  const TableIndex at = table_index(value);
  const unsigned word = segments[at.segment];
  const Int8 knot = static_cast<Int8>(word & 0xff);
  const int sign = 1 << (slope_bits - 1);
  const int slope = static_cast<int>((word >> 8) ^ sign) - sign;
  return interpolate(knot, slope, at.remainder);
}

/// Return log2(count), the shift that averages `count` values; 0 if count is not a power of two >=
/// 2.
constexpr int mean_shift(int count) {
  int shift = 0;
  while ((2 << shift) <= count) ++shift;
  return count == (1 << shift) ? shift : 0;
}
