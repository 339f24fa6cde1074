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
/// Weights stand as w[y / PE][PE][r / SIMD][SIMD]: a group of PE outputs, an output of it, a part
/// of SIMD inputs, an input of it. That is the order of a y x r matrix, so params.hpp lists a
/// matrix row by row whatever the folding. Every PE has a memory of (y / PE) * (r / SIMD) words of
/// SIMD weights, as in FINN; no index is divided.
///
/// `Design` (generated, design.hpp) holds what all products share: handover and link_depth. `Fold`
/// is one of its members and holds the constants of one product:
///
///     pe, simd            outputs and inputs per cycle
///     groups, parts       outputs / pe and inputs / simd
///     bound, dsp_inputs   bound: the multipliers of the first dsp_inputs of the simd inputs are
///                         DSPs, the others LUTs; not bound: the tool chooses
///     weights, constants  what the memories of the weights and of biases and shifts are built of
#pragma once

#include "stream.hpp"

/// Add up the products of one part of the inputs.
/// \tparam Fold  See above
template <class Fold, int simd>
int dot_product(const Int8 (&x)[simd], const int8_t (&w)[simd]) {
#pragma HLS INLINE
  constexpr int dsp_inputs = Fold::bound ? Fold::dsp_inputs : simd;
  constexpr Multiplier first = Fold::bound ? Multiplier::dsp : Multiplier::tool;
  int sum = 0;
dsp_inputs:
  for (int i = 0; i < dsp_inputs; ++i) {
#pragma HLS UNROLL
    sum += Multiply<first>::of(x[i], w[i]);
  }
lut_inputs:
  for (int i = dsp_inputs; i < simd; ++i) {
#pragma HLS UNROLL
    sum += Multiply<Multiplier::lut>::of(x[i], w[i]);
  }
  return sum;
}

/// Multiply each vector by the weights.
/// \tparam vectors     Number of vectors
/// \tparam Activation  Policy of activation.hpp, applied to the outputs
/// \tparam Fold        See above
/// \tparam handover    1: one extra cycle per vector loads it into the multiplier registers; 0: the
///                     vector is loaded in the cycle of its first products
/// \tparam inputs      Elements per incoming vector
template <int vectors, class Activation, class Fold, int handover, int inputs, int groups, int pe,
          int parts, int simd>
void matrix_vector(Stream<inputs>& in, Stream<pe>& out, const int8_t (&w)[groups][pe][parts][simd],
                   const int8_t (&b)[groups][pe], const uint8_t (&s)[groups][pe]) {
#pragma HLS ARRAY_PARTITION variable = w complete dim = 2
#pragma HLS ARRAY_RESHAPE variable = w complete dim = 4
#pragma HLS ARRAY_RESHAPE variable = b complete dim = 2
#pragma HLS ARRAY_RESHAPE variable = s complete dim = 2
  static_assert(inputs == parts * simd, "a vector must be one row of the weights");
  Bind<Fold::weights>::rom(w);
  Bind<Fold::constants>::rom(b);
  Bind<Fold::constants>::rom(s);
  Int8 x[parts][simd];
#pragma HLS ARRAY_PARTITION variable = x complete dim = 0
  Sum<inputs> sums[pe];
#pragma HLS ARRAY_PARTITION variable = sums complete
  int group = 0, part = 0;  // group of outputs and part of inputs; part is the inner index
vectors:
  for (int v = 0; v < vectors; ++v) {
  folds:
    for (int fold = 0; fold < handover + groups * parts; ++fold) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
      if (fold == 0) {
        const Vector<inputs> word = in.read();
      all_parts:
        for (int i = 0; i < parts; ++i) {
#pragma HLS UNROLL
        all_inputs:
          for (int q = 0; q < simd; ++q) {
#pragma HLS UNROLL
            x[i][q] = word.lane[i * simd + q];
          }
        }
      }
      if (fold < handover) continue;
    products:
      for (int p = 0; p < pe; ++p) {
#pragma HLS UNROLL
        const int sum = dot_product<Fold>(x[part], w[group][p][part]);
        sums[p] = (part == 0 ? 0 : static_cast<int>(sums[p])) + sum;
      }
      const bool complete = part == parts - 1;
      part = complete ? 0 : part + 1;
      if (!complete) continue;
      Vector<pe> y;
    results:
      for (int p = 0; p < pe; ++p) {
#pragma HLS UNROLL
        const Int8 result = requantize<inputs>(sums[p], s[group][p], b[group][p]);
        y.lane[p] = Activation::apply(group, p, result);
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
  static void regroup(Stream<pe>& groups, Stream<lanes>& out) {
#pragma HLS INLINE
    Stream<outputs> results("results");
#pragma HLS STREAM variable = results depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = results type = fifo impl = srl
    PROCESS(pack<vectors, 0>(groups, results));
    PROCESS(unpack<vectors>(results, out));
  }
};

template <class Design, int pe, int lanes>
struct Regroup<Design, pe, lanes, true, false> {
  template <int vectors, int outputs>
  static void regroup(Stream<pe>& groups, Stream<lanes>& out) {
#pragma HLS INLINE
    PROCESS(pack<vectors*(outputs / lanes), 0>(groups, out));
  }
};

template <class Design, int pe, int lanes>
struct Regroup<Design, pe, lanes, false, true> {
  template <int vectors, int outputs>
  static void regroup(Stream<pe>& groups, Stream<lanes>& out) {
#pragma HLS INLINE
    PROCESS(unpack<vectors*(outputs / pe)>(groups, out));
  }
};

/// A linear layer with its activation.
/// \tparam Design  See above
/// \tparam Fold    See above
/// \tparam lanes   Elements per outgoing word
/// \tparam direct  Whether lanes = PE: a group of results is a word, so nothing is regrouped
template <class Design, class Fold, int lanes, bool direct = Fold::pe == lanes>
struct Linear {
  /// \tparam vectors     Number of vectors
  /// \tparam Activation  Policy of activation.hpp, applied to the outputs
  template <int vectors, class Activation, int lanes_in, int groups, int pe, int parts, int simd>
  static void linear_run(Stream<lanes_in>& in, Stream<lanes>& out,
                         const int8_t (&w)[groups][pe][parts][simd], const int8_t (&b)[groups][pe],
                         const uint8_t (&s)[groups][pe]) {
#pragma HLS INLINE
    Stream<parts * simd> packed("packed");
    Stream<pe> grouped("groups");
#pragma HLS STREAM variable = packed depth = Design::link_depth
#pragma HLS STREAM variable = grouped depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = packed type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = grouped type = fifo impl = srl
    PROCESS(pack<vectors, Design::handover>(in, packed));
    PROCESS(matrix_vector<vectors, Activation, Fold, Design::handover>(packed, grouped, w, b, s));
    REGION(Regroup<Design, pe, lanes>::template regroup<vectors, groups * pe>(grouped, out));
  }
};

template <class Design, class Fold, int lanes>
struct Linear<Design, Fold, lanes, true> {
  template <int vectors, class Activation, int lanes_in, int groups, int pe, int parts, int simd>
  static void linear_run(Stream<lanes_in>& in, Stream<lanes>& out,
                         const int8_t (&w)[groups][pe][parts][simd], const int8_t (&b)[groups][pe],
                         const uint8_t (&s)[groups][pe]) {
#pragma HLS INLINE
    Stream<parts * simd> packed("packed");
#pragma HLS STREAM variable = packed depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = packed type = fifo impl = srl
    PROCESS(pack<vectors, Design::handover>(in, packed));
    PROCESS(matrix_vector<vectors, Activation, Fold, Design::handover>(packed, out, w, b, s));
  }
};

/// A linear layer with its activation.
/// \tparam vectors     Number of vectors
/// \tparam inputs      Elements per incoming vector
/// \tparam outputs     Elements per outgoing vector
/// \tparam Activation  Policy of activation.hpp, applied to the outputs
/// \tparam Design      See above
/// \tparam Fold        See above
template <int vectors, int inputs, int outputs, class Activation, class Design, class Fold,
          int lanes_in, int lanes, int groups, int pe, int parts, int simd>
void linear(Stream<lanes_in>& in, Stream<lanes>& out, const int8_t (&w)[groups][pe][parts][simd],
            const int8_t (&b)[groups][pe], const uint8_t (&s)[groups][pe]) {
#pragma HLS INLINE
  static_assert(groups * pe == outputs,
                "all outputs must come in whole groups: PE divides outputs");
  static_assert(parts * simd == inputs, "all inputs must come in whole parts: SIMD divides inputs");
  static_assert(inputs % lanes_in == 0, "a vector must fill whole words: lanes divides inputs");
  static_assert(outputs % lanes == 0, "a vector must fill whole words: lanes divides outputs");
  Linear<Design, Fold, lanes>::template linear_run<vectors, Activation>(in, out, w, b, s);
}

/// The cross-patch linear layer. It buffers the whole map, because every output needs all tokens.
/// \tparam channels  Channels, each a vector of tokens for the matrix product
/// \tparam tokens    Tokens
/// \tparam Design    See above; map_storage is what the maps are built of
/// \tparam Fold      See above
/// \tparam lanes     Elements per word
template <int channels, int tokens, class Design, class Fold, int lanes, int groups, int pe,
          int parts, int simd>
void token_linear(Stream<lanes>& in, Stream<lanes>& out, const int8_t (&w)[groups][pe][parts][simd],
                  const int8_t (&b)[groups][pe], const uint8_t (&s)[groups][pe]) {
#pragma HLS INLINE
  Stream<lanes> by_channel("by_channel");
  Stream<lanes> mixed("mixed");
#pragma HLS STREAM variable = by_channel depth = Design::link_depth
#pragma HLS STREAM variable = mixed depth = Design::link_depth
#pragma HLS BIND_STORAGE variable = by_channel type = fifo impl = srl
#pragma HLS BIND_STORAGE variable = mixed type = fifo impl = srl
  PROCESS(transpose<tokens, channels, Design::map_storage>(in, by_channel));
  REGION(linear<channels, tokens, tokens, Identity, Design, Fold>(by_channel, mixed, w, b, s));
  PROCESS(transpose<channels, tokens, Design::map_storage>(mixed, out));
}
