/// The SIMD processor: rows x columns multipliers that compute every layer, one step after another.
///
///     embed_linear       x = linear(image)
///     token_mixer        z = residual(affine_2(linear(affine_1(x))), x)       vectors are channels
///     mlp_linear_1       h = act_hidden(linear_1(act_in(z)))
///     mlp_linear_2       x = residual(linear_2(h), z)
///     mean               m = linear(x), each weight 1, shift log2(tokens)     vectors are channels
///     classifier_linear  logits = linear(m)
///
/// The element-wise layers around a product are computed in the same pass: affine_1 and act_in on
/// the values that enter the array; affine_2, act_hidden and the residual on those that leave it.
#pragma once

#include "cycle_count.hpp"
#include "loader.hpp"
#include "memory.hpp"
#include "store.hpp"
#include "taps.hpp"

/// Multiply one value by w, requantise it with shift s and add b.
inline Int8 affine(int value, int w, int b, int s) { return requantize<1>(value * w, s, b); }

/// \tparam Config  Sizes
/// \tparam Design  rows and columns of multipliers
template <class Config, class Design>
struct Processor {
  using Steps = Program<Config, Design>;
  static constexpr int rows = Steps::rows, columns = Steps::columns, height = Steps::height;
  using Beside = ::Beside<Config, Design>;
  using Channels = typename Beside::Channels;
  using InTables = typename Beside::InTables;
  using HiddenTables = typename Beside::HiddenTables;
  using Weights = ::Weights<rows, columns>;
  using Outputs = OutputParameters<rows>;
  using Store = ::Store<Steps::store_squares, Steps::side>;
  using Totals = Sum<Steps::max_inputs>[rows];
  using Word = Vector<columns>;
  using Results = Vector<rows>;
  using Current = ::Current<Steps>;

  /// Classify `count` images; the parameters are streamed once per image.
  static void run(Stream<columns>& parameters, Stream<columns>& images, Stream<columns>& logits,
                  int count) {
    static Store store;  // static: padding, which is never written, is 0
#pragma HLS ARRAY_PARTITION variable = store complete dim = 2
#pragma HLS ARRAY_PARTITION variable = store complete dim = 3
    BindWords<Steps::store_squares>::ram_of_several_readers(store);
    Weights next;
    Outputs next_outputs;
#pragma HLS ARRAY_PARTITION variable = next complete dim = 0
#pragma HLS ARRAY_PARTITION variable = next_outputs complete dim = 0
    static Channels channels;
    static InTables act_in;
    static HiddenTables act_hidden;
#pragma HLS ARRAY_PARTITION variable = channels complete dim = 2
#pragma HLS ARRAY_PARTITION variable = act_in cyclic factor = Steps::side dim = 1
#pragma HLS ARRAY_PARTITION variable = act_hidden cyclic factor = Steps::side dim = 1
    BindWords<Config::embed_dim>::ram(channels);
    BindWords<Steps::act_in_words>::ram(act_in);
    BindWords<Steps::act_hidden_words>::ram(act_hidden);
  images:
    for (int image = 0; image < count; ++image) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1
      start(images, parameters, store, next, next_outputs);
    steps:
      for (int index = 0; index < Steps::num_steps; ++index) {
        run_step(index, parameters, store, next, next_outputs, channels, act_in, act_hidden);
      }
      finish(store, logits);
    }
  }

  /// Read the image and the first tile.
  static void start(Stream<columns>& images, Stream<columns>& parameters, Store& store,
                    Weights& next, Outputs& next_outputs) {
#pragma HLS INLINE
    constexpr int tile_words = Steps::first_words(Steps::product(0));
    Index<Steps::tokens> token = 0;
    Index<Steps::token_words> word = 0;
  words:
    for (int i = 0; i < Steps::start_cycles; ++i) {
#pragma HLS PIPELINE II = 1
      COUNT_CYCLE(start_part);
      if (i < tile_words) load_tile(next, next_outputs, i, parameters.read());
      if (i >= Steps::image_words) continue;
      save<height>(store, Place(Steps::image, false, token, unsigned(word) * columns),
                   images.read());
      if (word == Steps::token_words - 1) {
        word = 0;
        ++token;
      } else {
        ++word;
      }
    }
  }

  /// Multiply all vectors of a step by its matrix; read the next parameters in the same cycles.
  static void run_step(int index, Stream<columns>& parameters, Store& store, Weights& next,
                       Outputs& next_outputs, Channels& channels, InTables& act_in,
                       HiddenTables& act_hidden) {
#pragma HLS INLINE
    const Current step(Steps::steps.at[index]);
    Weights weights;
    Outputs outputs;
#pragma HLS ARRAY_PARTITION variable = weights complete dim = 0
#pragma HLS ARRAY_PARTITION variable = outputs complete dim = 0
    Totals sums[Steps::max_vectors];
#pragma HLS ARRAY_PARTITION variable = sums complete dim = 2
    BindWords<Steps::max_vectors>::ram(sums);
    Int8 last[columns];  // the previous word of a table
#pragma HLS ARRAY_PARTITION variable = last complete
    NOTE(Taps taps(Steps::steps.at[index]);)
    // Vector, and tile (input, output); input is the inner index.
    Index<Steps::most(&Step::tile_cycles)> v = 0;
    Index<Steps::most(&Step::input_tiles)> input = 0;
    Index<Steps::most(&Step::output_tiles)> output = 0;
    typename Beside::Position beside(step.beside_words);
    static_assert(sum_cycles == 4,
                  "the distance below is a literal: no tool is known to take more");
  cycles:
    for (Index<Steps::most_trips> cycle = 0; cycle < step.cycles; ++cycle) {
#pragma HLS PIPELINE II = 1
#pragma HLS LOOP_TRIPCOUNT min = Steps::least_trips max = Steps::most_trips avg = Steps::mean_trips
#pragma HLS DEPENDENCE variable = sums inter RAW distance = 4 true
#pragma HLS DEPENDENCE variable = store inter false
#pragma HLS DEPENDENCE variable = channels inter false
#pragma HLS DEPENDENCE variable = act_in inter false
#pragma HLS DEPENDENCE variable = act_hidden inter false
      COUNT_CYCLE(static_cast<int>(step.kind));
      const bool last_input = input + 1u == step.input_tiles;
      const bool last_output = output + 1u == step.output_tiles;
      if (v == 0) copy_tile(next, next_outputs, weights, outputs);
      const bool sums_end = input + 2u == step.input_tiles || step.input_tiles == 1;
      const unsigned words = last_input && last_output ? unsigned(step.next_words)
                             : sums_end                ? rows + unsigned(step.output_words)
                                                       : unsigned(rows);
      const bool for_tile = v < words;
      const bool for_beside = !for_tile && v < words + step.beside_share && beside.left > 0;
      if (for_tile || for_beside) {  // a single read site: the FIFO is read once per cycle
        const Word word = parameters.read();
        if (for_tile) {
          load_tile(next, next_outputs, v, word);
        } else if (step.kind == Kind::token_mixer) {
          Beside::take_knots(beside, word, last, act_in, act_hidden);
          beside.advance(table_knots);
        } else {
          Beside::take_channel(beside, word, channels);
          beside.advance(Steps::channel_words);
        }
      }
      const unsigned first_input = unsigned(input) * columns;
      const unsigned first_output = unsigned(output) * rows;
      if (v < step.vectors) {
        const Word x = operands(step, v, first_input, store, channels, act_in);
        NOTE(taps.keep(Tap::operand, v, first_input, x);)
        Totals totals;
#pragma HLS ARRAY_PARTITION variable = totals complete
        accumulate(weights, x, input == 0, sums[v], totals);
        if (last_input) {
          Results y = requantized(outputs, totals);
          NOTE(taps.keep(Tap::product, v, first_output, y);)
          if (step.kind == Kind::token_mixer) y = scaled(channels[v], y);
          NOTE(taps.keep(Tap::scaled, v, first_output, y);)
          y = results(step, v, first_output, y, outputs, store, channels, act_hidden);
          NOTE(taps.keep(Tap::result, v, first_output, y);)
          save<height>(store, Place(step.destination, step.by_channel, v, first_output), y);
        }
      }
      if (v + 1u < step.tile_cycles) {
        ++v;
      } else {
        v = 0;
        if (last_input) {
          input = 0;
          ++output;
        } else {
          ++input;
        }
      }
    }
    NOTE(taps.show();)
  }

  /// Return the values that enter the array: `columns` elements of vector v, starting at `along`,
  /// after affine_1 or act_in.
  static Word operands(const Current& step, unsigned v, unsigned along, const Store& store,
                       const Channels& channels, const InTables& act_in) {
#pragma HLS INLINE
    Word x = load<columns, height>(store, Place(step.source, step.by_channel, v, along));
  lanes:
    for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
      if (step.kind == Kind::token_mixer) {
        x.lane[i] = affine(x.lane[i], channels[v][channel::affine_1_w],
                           channels[v][channel::affine_1_b], channels[v][channel::affine_1_s]);
      } else if (step.kind == Kind::mlp_linear_1 && Config::has_tables) {
        x.lane[i] = table_lookup(act_in[along + i], x.lane[i]);
      }
    }
    return x;
  }

  /// The array: add rows x columns products to the sums of a vector. The totals are also returned
  /// directly, because the memory of sums has a single read port.
  static void accumulate(const Weights& weights, const Word& x, bool first, Totals& sums,
                         Totals& totals) {
#pragma HLS INLINE
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      int sum = 0;
    columns:
      for (int c = 0; c < columns; ++c) {
#pragma HLS UNROLL
        sum += x.lane[c] * weights[r][c];
      }
      totals[r] = (first ? 0 : static_cast<int>(sums[r])) + sum;
      sums[r] = totals[r];
    }
  }

  /// Requantise the sums to int8.
  static Results requantized(const Outputs& outputs, const Totals& totals) {
#pragma HLS INLINE
    Results y;
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      y.lane[r] =
          requantize<Steps::max_inputs>(totals[r], outputs[output::s][r], outputs[output::b][r]);
    }
    return y;
  }

  /// Apply affine_2 of one channel.
  static Results scaled(const Int8 (&of)[channel::count], Results y) {
#pragma HLS INLINE
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      y.lane[r] = affine(y.lane[r], of[channel::affine_2_w], of[channel::affine_2_b],
                         of[channel::affine_2_s]);
    }
    return y;
  }

  /// Return the values that leave the array: `rows` outputs of vector v, starting at `along`, after
  /// act_hidden or the residual.
  static Results results(const Current& step, unsigned v, unsigned along, Results y,
                         const Outputs& outputs, const Store& store, const Channels& channels,
                         const HiddenTables& act_hidden) {
#pragma HLS INLINE
    const bool by_channel = step.kind == Kind::token_mixer;
    const Results skipped =
        load<rows, height>(store, Place(step.shortcut, step.by_channel, v, along));
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      if (step.kind == Kind::mlp_linear_1) {
        y.lane[r] =
            Config::has_tables ? table_lookup(act_hidden[along + r], y.lane[r]) : relu(y.lane[r]);
      } else if (by_channel || step.kind == Kind::mlp_linear_2) {
        const Int8 w =
            by_channel ? channels[v][channel::res_affine_w] : outputs[output::res_affine_w][r];
        const Int8 b =
            by_channel ? channels[v][channel::res_affine_b] : outputs[output::res_affine_b][r];
        const Int8 s =
            by_channel ? channels[v][channel::res_affine_s] : outputs[output::res_affine_s][r];
        y.lane[r] = saturating_add(y.lane[r], affine(skipped.lane[r], w, b, s));
      }
    }
    return y;
  }

  /// Send the logits.
  static void finish(const Store& store, Stream<columns>& logits) {
#pragma HLS INLINE
  words:
    for (unsigned word = 0; word < Steps::logit_words; ++word) {
#pragma HLS PIPELINE II = 1
      COUNT_CYCLE(logits_part);
      logits.write(load<columns, height>(store, Place(Steps::scores, false, 0, word * columns)));
    }
  }
};
