/// hls/cpp/common/fixed_point.hpp over arrays, for tests/hls/cpp/test_parity.py to call from
/// Python.
#include "fixed_point.hpp"

namespace {
constexpr int channels = 8;
constexpr int dot_products = 96;
}  // namespace

extern "C" {
void rounding_shift_all(const int* value, const int* shift, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = rounding_shift(value[i], shift[i]);
}

void saturate_all(const int* value, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = saturate(value[i]);
}

void requantize_all(const int* sum, const int* shift, const int* bias, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = requantize<dot_products>(sum[i], shift[i], bias[i]);
}

void saturating_add_all(const int* a, const int* b, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = saturating_add(a[i], b[i]);
}

void relu_all(const int* value, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = relu(value[i]);
}

void table_index_all(const int* value, int* segment, int* remainder, long n) {
  for (long i = 0; i < n; ++i) {
    const TableIndex at = table_index(value[i]);
    segment[i] = at.segment;
    remainder[i] = at.remainder;
  }
}

void lerp_all(const int* left, const int* right, const int* remainder, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = lerp(left[i], right[i], remainder[i]);
}

void table_lookup_all(const int8_t (&knots)[channels][table_knots], const int* channel,
                      const int* value, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = table_lookup(knots[channel[i]], value[i]);
}

/// \param pairs  knot and slope of each segment
void segment_lookup_all(const int (&pairs)[channels][table_segments][2], const int* channel,
                        const int* value, int* out, long n) {
  static TableWord segments[channels][table_segments];
  for (int c = 0; c < channels; ++c) {
    for (int i = 0; i < table_segments; ++i) {
      segments[c][i] = (pairs[c][i][1] & 0x1ff) << 8 | (pairs[c][i][0] & 0xff);
    }
  }
  for (long i = 0; i < n; ++i) out[i] = table_lookup(segments[channel[i]], value[i]);
}

void mean_shift_all(const int* count, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = mean_shift(count[i]);
}

void accumulator_bits_all(const int* products, int* out, long n) {
  for (long i = 0; i < n; ++i) out[i] = accumulator_bits(products[i]);
}
}
