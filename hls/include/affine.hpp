/// Per-channel units: one multiplication per element.
///
///     affine:    y[v][c] = requantize(x[v][c] * w[c], s[c], b[c])
///     residual:  y[v][c] = saturating_add(branch[v][c], affine(shortcut)[v][c])
///     mean:      y[c]    = rounding_shift(sum_v x[v][c], log2(vectors))
#pragma once

#include "stream.hpp"

/// Scale, shift and offset each channel.
/// \tparam vectors   Number of vectors
/// \tparam channels  Elements per vector
template <int vectors, int channels>
void affine(Stream& in, Stream& out, const int8_t (&w)[channels], const int8_t (&b)[channels],
            const uint8_t (&s)[channels]) {
vectors:
  for (int v = 0; v < vectors; ++v) {
  channels:
    for (int c = 0; c < channels; ++c) {
#pragma HLS PIPELINE II = 1
      out.write(requantize<1>(in.read() * w[c], s[c], b[c]));
    }
  }
}

/// Bring the shortcut onto the branch's grid and add the two.
/// \tparam vectors   Number of vectors
/// \tparam channels  Elements per vector
template <int vectors, int channels>
void residual(Stream& branch, Stream& shortcut, Stream& out, const int8_t (&w)[channels],
              const int8_t (&b)[channels], const uint8_t (&s)[channels]) {
vectors:
  for (int v = 0; v < vectors; ++v) {
  channels:
    for (int c = 0; c < channels; ++c) {
#pragma HLS PIPELINE II = 1
      const Int8 rescaled = requantize<1>(shortcut.read() * w[c], s[c], b[c]);
      out.write(saturating_add(branch.read(), rescaled));
    }
  }
}

/// Average the vectors; the mean of int8 values is an int8 value.
/// \tparam vectors   Number of vectors, a power of two
/// \tparam channels  Elements per vector
template <int vectors, int channels>
void mean(Stream& in, Stream& out) {
  static_assert(mean_shift(vectors) > 0,
                "the mean is a shift: a power of two of at least 2 tokens");
  static_assert(vectors <= 1 << max_shift, "the mean shifts by at most max_shift bits");
  constexpr int bits = signed_bits(vectors * -int8_min);
  ap_int<bits> sums[channels];
vectors:
  for (int v = 0; v < vectors; ++v) {
  channels:
    for (int c = 0; c < channels; ++c) {
#pragma HLS PIPELINE II = 1
#pragma HLS DEPENDENCE variable = sums inter RAW distance = channels true
      const int sum = narrow<bits>((v == 0 ? 0 : static_cast<int>(sums[c])) + in.read());
      sums[c] = sum;
      if (v == vectors - 1) out.write(rounding_shift(sum, mean_shift(vectors)));
    }
  }
}
