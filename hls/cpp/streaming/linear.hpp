/// Matrix-vector products.
///
///     linear:        y[v][o] = act(o, requantize(sum_i x[v][i] * w[o][i], s[o], b[o]))
///     token_linear:  the same over the tokens: y[t][c] = requantize(sum_u x[u][c] * w[t][u], ...)
///
/// In FINN's terms a product is folded by PE (outputs per cycle) and SIMD (inputs per cycle); it
/// has PE * SIMD multipliers. A product with r inputs and y outputs accepts a vector every
///
///     max(r / lanes, (y / PE) * (r / SIMD), y / lanes) + handover
///
/// cycles: `pack` collects the next vector while `matrix_vector` works on the current one and the
/// previous results leave. The published design has PE = 1, SIMD = r, lanes = 1, handover = 1.
///
/// `Design` (generated, design.hpp) holds the constants of all products: handover and link_depth.
#pragma once

#include "stream.hpp"

/// Multiply each vector by the weights.
/// \tparam vectors     Number of vectors
/// \tparam Activation  Policy of activation.hpp, applied to the outputs
/// \tparam simd        Inputs per cycle
/// \tparam handover    1: one extra cycle per vector loads it into the multiplier registers; 0: the
///                     vector is loaded in the cycle of its first products
/// \tparam inputs      Elements per incoming vector
/// \tparam outputs     Elements per outgoing vector
/// \tparam pe          Outputs per cycle, the elements of an outgoing word
template <int vectors, class Activation, int simd, int handover, int inputs, int outputs, int pe>
void matrix_vector(Stream<inputs>& in, Stream<pe>& out, const int8_t (&w)[outputs][inputs],
                   const int8_t (&b)[outputs], const uint8_t (&s)[outputs]) {
#pragma HLS ARRAY_PARTITION variable = w cyclic factor = pe dim = 1
#pragma HLS ARRAY_RESHAPE variable = w cyclic factor = simd dim = 2
#pragma HLS ARRAY_RESHAPE variable = b cyclic factor = pe
#pragma HLS ARRAY_RESHAPE variable = s cyclic factor = pe
  static_assert(outputs % pe == 0, "all outputs must come in whole groups: PE divides outputs");
  static_assert(inputs % simd == 0, "all inputs must come in whole groups: SIMD divides inputs");
  constexpr int groups = outputs / pe, parts = inputs / simd;
  Vector<inputs> x;
#pragma HLS ARRAY_PARTITION variable = x.lane complete
  Sum<inputs> sums[pe];
#pragma HLS ARRAY_PARTITION variable = sums complete
  int group = 0, part = 0;  // group of outputs and part of inputs; part is the inner index
vectors:
  for (int v = 0; v < vectors; ++v) {
  folds:
    for (int fold = -handover; fold < groups * parts; ++fold) {
#pragma HLS PIPELINE II = 1
      if (fold == -handover) x = in.read();
      if (fold < 0) continue;
      const int o = group * pe, i = part * simd;
    outputs:
      for (int p = 0; p < pe; ++p) {
#pragma HLS UNROLL
        int sum = 0;
      inputs:
        for (int q = 0; q < simd; ++q) {
#pragma HLS UNROLL
          sum += x.lane[i + q] * w[o + p][i + q];
        }
        sums[p] = (part == 0 ? 0 : static_cast<int>(sums[p])) + sum;
      }
      part = part == parts - 1 ? 0 : part + 1;
      if (part > 0) continue;
      Vector<pe> y;
    results:
      for (int p = 0; p < pe; ++p) {
#pragma HLS UNROLL
        const Int8 result = requantize<inputs>(sums[p], s[o + p], b[o + p]);
        y.lane[p] = Activation::template apply<pe>(o + p, result);
      }
      out.write(y);
      group = group == groups - 1 ? 0 : group + 1;
    }
  }
}

/// Convert groups of PE results to words of `lanes` elements. If neither PE nor `lanes` divides the
/// other, the results are first collected into whole vectors.
/// \tparam Design  See above
/// \tparam pe      Elements per incoming word
/// \tparam lanes   Elements per outgoing word
/// \tparam joins   Whether `pe` divides `lanes`: a word is a whole number of groups
/// \tparam cuts    Whether `lanes` divides `pe`: a group is a whole number of words
template <class Design, int pe, int lanes, bool joins = lanes % pe == 0,
          bool cuts = pe % lanes == 0>
struct Regroup {
  template <int vectors, int outputs>
  static void run(Stream<pe>& groups, Stream<lanes>& out) {
#pragma HLS DATAFLOW
    Stream<outputs> results("results");
#pragma HLS STREAM variable = results depth = Design::link_depth
    PROCESS(pack<vectors, 0>(groups, results));
    PROCESS(unpack<vectors>(results, out));
  }
};

template <class Design, int pe, int lanes>
struct Regroup<Design, pe, lanes, true, false> {
  template <int vectors, int outputs>
  static void run(Stream<pe>& groups, Stream<lanes>& out) {
#pragma HLS INLINE
    PROCESS(pack<vectors*(outputs / lanes), 0>(groups, out));
  }
};

template <class Design, int pe, int lanes>
struct Regroup<Design, pe, lanes, false, true> {
  template <int vectors, int outputs>
  static void run(Stream<pe>& groups, Stream<lanes>& out) {
#pragma HLS INLINE
    PROCESS(unpack<vectors*(outputs / pe)>(groups, out));
  }
};

/// A linear layer with its activation.
/// \tparam Design  See above
/// \tparam pe      Outputs per cycle
/// \tparam simd    Inputs per cycle
/// \tparam lanes   Elements per outgoing word
template <class Design, int pe, int simd, int lanes>
struct Linear {
  /// \tparam vectors     Number of vectors
  /// \tparam Activation  Policy of activation.hpp, applied to the outputs
  /// \tparam lanes_in    Elements per incoming word
  /// \tparam inputs      Elements per incoming vector
  /// \tparam outputs     Elements per outgoing vector
  template <int vectors, class Activation, int lanes_in, int inputs, int outputs>
  static void run(Stream<lanes_in>& in, Stream<lanes>& out, const int8_t (&w)[outputs][inputs],
                  const int8_t (&b)[outputs], const uint8_t (&s)[outputs]) {
#pragma HLS DATAFLOW
    Stream<inputs> packed("packed");
    Stream<pe> groups("groups");
#pragma HLS STREAM variable = packed depth = Design::link_depth
#pragma HLS STREAM variable = groups depth = Design::link_depth
    PROCESS(pack<vectors, Design::handover>(in, packed));
    PROCESS(matrix_vector<vectors, Activation, simd, Design::handover>(packed, groups, w, b, s));
    REGION(Regroup<Design, pe, lanes>::template run<vectors, outputs>(groups, out));
  }
};

/// The special case lanes = PE: a group of results is a word, so nothing is regrouped.
template <class Design, int lanes, int simd>
struct Linear<Design, lanes, simd, lanes> {
  template <int vectors, class Activation, int lanes_in, int inputs, int outputs>
  static void run(Stream<lanes_in>& in, Stream<lanes>& out, const int8_t (&w)[outputs][inputs],
                  const int8_t (&b)[outputs], const uint8_t (&s)[outputs]) {
#pragma HLS DATAFLOW
    Stream<inputs> packed("packed");
#pragma HLS STREAM variable = packed depth = Design::link_depth
    PROCESS(pack<vectors, Design::handover>(in, packed));
    PROCESS(matrix_vector<vectors, Activation, simd, Design::handover>(packed, out, w, b, s));
  }
};

/// A linear layer with its activation.
/// \tparam vectors     Number of vectors
/// \tparam Activation  Policy of activation.hpp, applied to the outputs
/// \tparam Design      See above
/// \tparam pe          Outputs per cycle
/// \tparam simd        Inputs per cycle
template <int vectors, class Activation, class Design, int pe, int simd, int lanes_in, int lanes,
          int inputs, int outputs>
void linear(Stream<lanes_in>& in, Stream<lanes>& out, const int8_t (&w)[outputs][inputs],
            const int8_t (&b)[outputs], const uint8_t (&s)[outputs]) {
#pragma HLS INLINE
  static_assert(inputs % lanes_in == 0, "a vector must fill whole words: lanes divides inputs");
  static_assert(outputs % lanes == 0, "a vector must fill whole words: lanes divides outputs");
  Linear<Design, pe, simd, lanes>::template run<vectors, Activation>(in, out, w, b, s);
}

/// The cross-patch linear layer. It buffers the whole map, because every output needs all tokens.
/// \tparam channels  Channels, each a vector of tokens for the matrix product
/// \tparam Design    See above
/// \tparam pe        Outputs per cycle
/// \tparam simd      Inputs per cycle
/// \tparam lanes     Elements per word
/// \tparam tokens    Tokens
template <int channels, class Design, int pe, int simd, int lanes, int tokens>
void token_linear(Stream<lanes>& in, Stream<lanes>& out, const int8_t (&w)[tokens][tokens],
                  const int8_t (&b)[tokens], const uint8_t (&s)[tokens]) {
#pragma HLS DATAFLOW
  Stream<lanes> by_channel("by_channel");
  Stream<lanes> mixed("mixed");
#pragma HLS STREAM variable = by_channel depth = Design::link_depth
#pragma HLS STREAM variable = mixed depth = Design::link_depth
  PROCESS(transpose<tokens, channels>(in, by_channel));
  REGION(linear<channels, Identity, Design, pe, simd>(by_channel, mixed, w, b, s));
  PROCESS(transpose<channels, tokens>(mixed, out));
}
