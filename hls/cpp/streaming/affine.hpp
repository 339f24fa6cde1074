/// Per-channel units: one multiplication per element.
///
///     affine:    y[v][c] = requantize(x[v][c] * w[c], s[c], b[c])
///     residual:  y[v][c] = saturating_add(branch[v][c], affine(shortcut)[v][c])
///     mean:      y[c]    = rounding_shift(sum_v x[v][c], log2(vectors))
///
/// Parameters of channel c stand at [c / lanes][c % lanes]; a row is one word of a memory.
#pragma once

#include "stream.hpp"

/// Keep the parameters of all channels, a word of `lanes` channels per memory word.
/// \tparam storage  What the memories are built of
template <Storage storage, int words, int lanes>
void bind_channels(const int8_t (&w)[words][lanes], const int8_t (&b)[words][lanes],
                   const uint8_t (&s)[words][lanes]) {
#pragma HLS INLINE
#pragma HLS ARRAY_RESHAPE variable = w complete dim = 2
#pragma HLS ARRAY_RESHAPE variable = b complete dim = 2
#pragma HLS ARRAY_RESHAPE variable = s complete dim = 2
  Bind<storage>::rom(w);
  Bind<storage>::rom(b);
  Bind<storage>::rom(s);
}

/// Multiply one word of channels by their weights and requantise the products.
/// \tparam Design  Constants: affine_bound and affine_dsp_lanes (which multipliers are DSPs)
template <class Design, int lanes>
Vector<lanes> scale_channels(const Vector<lanes>& x, const int8_t (&w)[lanes],
                             const int8_t (&b)[lanes], const uint8_t (&s)[lanes]) {
#pragma HLS INLINE
  constexpr int dsp_lanes = Design::affine_bound ? Design::affine_dsp_lanes : lanes;
  constexpr Multiplier first = Design::affine_bound ? Multiplier::dsp : Multiplier::tool;
  Vector<lanes> y;
dsp_lanes:
  for (int i = 0; i < dsp_lanes; ++i) {
#pragma HLS UNROLL
    y.lane[i] = requantize<1>(Multiply<first>::of(x.lane[i], w[i]), s[i], b[i]);
  }
lut_lanes:
  for (int i = dsp_lanes; i < lanes; ++i) {
#pragma HLS UNROLL
    y.lane[i] = requantize<1>(Multiply<Multiplier::lut>::of(x.lane[i], w[i]), s[i], b[i]);
  }
  return y;
}

/// Multiply each channel by its weight, requantise with its shift and add its bias.
/// \tparam vectors  Number of vectors
/// \tparam Design   Constants: those of `scale_channels`, and affine_storage
/// \tparam words    Words per vector
/// \tparam lanes    Elements per word
template <int vectors, class Design, int words, int lanes>
void affine(Stream<lanes>& in, Stream<lanes>& out, const int8_t (&w)[words][lanes],
            const int8_t (&b)[words][lanes], const uint8_t (&s)[words][lanes]) {
  bind_channels<Design::affine_storage>(w, b, s);
vectors:
  for (int v = 0; v < vectors; ++v) {
  words:
    for (int word = 0; word < words; ++word) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
      const Vector<lanes> x = in.read();
      out.write(scale_channels<Design>(x, w[word], b[word], s[word]));
    }
  }
}

/// Requantise the shortcut to the branch's scale and add the two.
/// \tparam vectors  Number of vectors
/// \tparam Design   Constants: those of `scale_channels`, and affine_storage
/// \tparam words    Words per vector
/// \tparam lanes    Elements per word
template <int vectors, class Design, int words, int lanes>
void residual(Stream<lanes>& branch, Stream<lanes>& shortcut, Stream<lanes>& out,
              const int8_t (&w)[words][lanes], const int8_t (&b)[words][lanes],
              const uint8_t (&s)[words][lanes]) {
  bind_channels<Design::affine_storage>(w, b, s);
vectors:
  for (int v = 0; v < vectors; ++v) {
  words:
    for (int word = 0; word < words; ++word) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
      const Vector<lanes> x = branch.read();
      const Vector<lanes> skipped = shortcut.read();
      const Vector<lanes> rescaled = scale_channels<Design>(skipped, w[word], b[word], s[word]);
      Vector<lanes> y;
    lanes:
      for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
        y.lane[i] = saturating_add(x.lane[i], rescaled.lane[i]);
      }
      out.write(y);
    }
  }
}

/// Add a word to the sums of its channels; return the means so far.
/// \tparam vectors  Number of vectors
template <int vectors, int lanes, class Sum>
Vector<lanes> add_to_mean(Sum (&sums)[lanes], const Vector<lanes>& x, bool first) {
#pragma HLS INLINE
  constexpr int bits = signed_bits(vectors * -int8_min);
  Vector<lanes> y;
lanes:
  for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
    const int so_far = first ? 0 : static_cast<int>(sums[i]);
    const int sum = narrow<bits>(so_far + x.lane[i]);
    sums[i] = sum;
    y.lane[i] = rounding_shift(sum, mean_shift(vectors));
  }
  return y;
}

/// The sums of a mean. A sum is read again after `words` cycles. From 8 words on, memories hold the
/// sums, and the tool is told that they are free of hazards for 8 cycles; fewer words are
/// registers.
/// \tparam in_registers  Whether there are fewer than 8 words
template <bool in_registers>
struct MeanOf {
  template <int vectors, int words, int lanes>
  static void run(Stream<lanes>& in, Stream<lanes>& out) {
#pragma HLS INLINE
    ap_int<signed_bits(vectors * -int8_min)> sums[words][lanes];
#pragma HLS ARRAY_PARTITION variable = sums complete dim = 0
  vectors:
    for (int v = 0; v < vectors; ++v) {
    words:
      for (int word = 0; word < words; ++word) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
        const Vector<lanes> y = add_to_mean<vectors>(sums[word], in.read(), v == 0);
        if (v == vectors - 1) out.write(y);
      }
    }
  }
};

template <>
struct MeanOf<false> {
  template <int vectors, int words, int lanes>
  static void run(Stream<lanes>& in, Stream<lanes>& out) {
#pragma HLS INLINE
    ap_int<signed_bits(vectors * -int8_min)> sums[words][lanes];
#pragma HLS ARRAY_PARTITION variable = sums complete dim = 2
    Bind<Storage::lut>::ram(sums);
  vectors:
    for (int v = 0; v < vectors; ++v) {
    words:
      for (int word = 0; word < words; ++word) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
#pragma HLS DEPENDENCE variable = sums inter RAW distance = 8 true
        const Vector<lanes> y = add_to_mean<vectors>(sums[word], in.read(), v == 0);
        if (v == vectors - 1) out.write(y);
      }
    }
  }
};

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
  constexpr int words = channels / lanes;
  MeanOf<(words < 8)>::template run<vectors, words>(in, out);
}
