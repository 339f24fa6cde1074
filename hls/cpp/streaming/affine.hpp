/// Per-channel units: one multiplication per element.
///
///     affine:    y[v][c] = requantize(x[v][c] * w[c], s[c], b[c])
///     residual:  y[v][c] = saturating_add(branch[v][c], affine(shortcut)[v][c])
///     mean:      y[c]    = rounding_shift(sum_v x[v][c], log2(vectors))
#pragma once

#include "stream.hpp"

/// Multiply each channel by its weight, requantise with its shift and add its bias.
/// \tparam vectors   Number of vectors
/// \tparam channels  Elements per vector
/// \tparam lanes     Elements per word
template <int vectors, int channels, int lanes>
void affine(Stream<lanes>& in, Stream<lanes>& out, const int8_t (&w)[channels],
            const int8_t (&b)[channels], const uint8_t (&s)[channels]) {
#pragma HLS ARRAY_RESHAPE variable = w cyclic factor = lanes
#pragma HLS ARRAY_RESHAPE variable = b cyclic factor = lanes
#pragma HLS ARRAY_RESHAPE variable = s cyclic factor = lanes
  static_assert(channels % lanes == 0, "a vector must fill whole words: lanes divides channels");
vectors:
  for (int v = 0; v < vectors; ++v) {
  words:
    for (int word = 0; word < channels / lanes; ++word) {
#pragma HLS PIPELINE II = 1
      const int c = word * lanes;
      const Vector<lanes> x = in.read();
      Vector<lanes> y;
    lanes:
      for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
        y.lane[i] = requantize<1>(x.lane[i] * w[c + i], s[c + i], b[c + i]);
      }
      out.write(y);
    }
  }
}

/// Requantise the shortcut to the branch's scale and add the two.
/// \tparam vectors   Number of vectors
/// \tparam channels  Elements per vector
/// \tparam lanes     Elements per word
template <int vectors, int channels, int lanes>
void residual(Stream<lanes>& branch, Stream<lanes>& shortcut, Stream<lanes>& out,
              const int8_t (&w)[channels], const int8_t (&b)[channels],
              const uint8_t (&s)[channels]) {
#pragma HLS ARRAY_RESHAPE variable = w cyclic factor = lanes
#pragma HLS ARRAY_RESHAPE variable = b cyclic factor = lanes
#pragma HLS ARRAY_RESHAPE variable = s cyclic factor = lanes
  static_assert(channels % lanes == 0, "a vector must fill whole words: lanes divides channels");
vectors:
  for (int v = 0; v < vectors; ++v) {
  words:
    for (int word = 0; word < channels / lanes; ++word) {
#pragma HLS PIPELINE II = 1
      const int c = word * lanes;
      const Vector<lanes> x = branch.read();
      const Vector<lanes> skipped = shortcut.read();
      Vector<lanes> y;
    lanes:
      for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
        const Int8 rescaled = requantize<1>(skipped.lane[i] * w[c + i], s[c + i], b[c + i]);
        y.lane[i] = saturating_add(x.lane[i], rescaled);
      }
      out.write(y);
    }
  }
}

/// Average the vectors. The mean of int8 values fits int8.
/// \tparam vectors   Number of vectors, a power of two
/// \tparam channels  Elements per vector
/// \tparam lanes     Elements per word
template <int vectors, int channels, int lanes>
void mean(Stream<lanes>& in, Stream<lanes>& out) {
  static_assert(mean_shift(vectors) > 0,
                "the mean is a shift: a power of two of at least 2 tokens");
  static_assert(vectors <= 1 << max_shift, "the mean shifts by at most max_shift bits");
  static_assert(channels % lanes == 0, "a vector must fill whole words: lanes divides channels");
  constexpr int bits = signed_bits(vectors * -int8_min);
  constexpr int words = channels / lanes;
  ap_int<bits> sums[channels];
#pragma HLS ARRAY_PARTITION variable = sums cyclic factor = lanes
vectors:
  for (int v = 0; v < vectors; ++v) {
  words:
    for (int word = 0; word < words; ++word) {
#pragma HLS PIPELINE II = 1
#pragma HLS DEPENDENCE variable = sums inter RAW distance = words true
      const int c = word * lanes;
      const Vector<lanes> x = in.read();
      Vector<lanes> y;
    lanes:
      for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
        const int so_far = v == 0 ? 0 : static_cast<int>(sums[c + i]);
        const int sum = narrow<bits>(so_far + x.lane[i]);
        sums[c + i] = sum;
        y.lane[i] = rounding_shift(sum, mean_shift(vectors));
      }
      if (v == vectors - 1) out.write(y);
    }
  }
}
