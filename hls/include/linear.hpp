/// Matrix-vector products.
///
///     linear:        y[v][o] = act(o, requantize(sum_i x[v][i] * w[o][i], s[o], b[o]))
///     token_linear:  the same over the tokens: y[t][c] = requantize(sum_u x[u][c] * w[t][u], ...)
///
/// In FINN's words SIMD is the whole input and PE is 1: every input is multiplied in one cycle, and
/// every cycle gives one output. n vectors of r inputs and y outputs take n * max(r, y) cycles,
/// because `pack` collects the next vector while `matrix_vector` works on this one.
#pragma once

#include "stream.hpp"

/// Multiply each vector by the weights.
/// \tparam vectors     Number of vectors
/// \tparam Activation  Policy of activation.hpp, applied to the outputs
/// \tparam inputs      Elements per incoming vector
/// \tparam outputs     Elements per outgoing vector
template <int vectors, class Activation, int inputs, int outputs>
void matrix_vector(hls::stream<Vector<inputs>>& in, Stream& out, const int8_t (&w)[outputs][inputs],
                   const int8_t (&b)[outputs], const uint8_t (&s)[outputs]) {
#pragma HLS ARRAY_PARTITION variable = w complete dim = 2
  Vector<inputs> x;
#pragma HLS ARRAY_PARTITION variable = x.lane complete
vectors:
  for (int v = 0; v < vectors; ++v) {
  outputs:
    for (int o = 0; o < outputs; ++o) {
#pragma HLS PIPELINE II = 1
      if (o == 0) x = in.read();
      int sum = 0;
    lanes:
      for (int i = 0; i < inputs; ++i) {
#pragma HLS UNROLL
        sum += x.lane[i] * w[o][i];
      }
      out.write(Activation::apply(o, requantize<inputs>(sum, s[o], b[o])));
    }
  }
}

/// A linear layer with its activation.
/// \tparam vectors     Number of vectors
/// \tparam Activation  Policy of activation.hpp, applied to the outputs
/// \tparam inputs      Elements per incoming vector
/// \tparam outputs     Elements per outgoing vector
template <int vectors, class Activation, int inputs, int outputs>
void linear(Stream& in, Stream& out, const int8_t (&w)[outputs][inputs], const int8_t (&b)[outputs],
            const uint8_t (&s)[outputs]) {
#pragma HLS DATAFLOW
  hls::stream<Vector<inputs>> packed("linear_packed");
  pack<vectors>(in, packed);
  matrix_vector<vectors, Activation>(packed, out, w, b, s);
}

/// The cross-patch linear layer: buffers the whole map, because an output needs every token.
/// \tparam channels  Channels, each a vector of tokens for the matrix product
/// \tparam tokens    Tokens
template <int channels, int tokens>
void token_linear(Stream& in, Stream& out, const int8_t (&w)[tokens][tokens],
                  const int8_t (&b)[tokens], const uint8_t (&s)[tokens]) {
#pragma HLS DATAFLOW
  Stream by_channel("token_linear_by_channel");
  Stream mixed("token_linear_mixed");
  transpose<tokens, channels>(in, by_channel);
  linear<channels, Identity>(by_channel, mixed, w, b, s);
  transpose<channels, tokens>(mixed, out);
}
