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
  static constexpr int rows = Steps::rows, columns = Steps::columns;
  using Beside = ::Beside<Config, Design>;
  using Tile = ::Tile<rows, columns>;
  using Store = ::Store<Steps::store_squares, Steps::side>;
  using Totals = Sum<Steps::max_inputs>[rows];
  using Word = Vector<columns>;
  using Results = Vector<rows>;

  /// Classify `count` images; the parameters are streamed once per image.
  static void run(Stream<columns>& parameters, Stream<columns>& images, Stream<columns>& logits,
                  int count) {
    static Store store;  // static: padding, which is never written, is 0
#pragma HLS ARRAY_PARTITION variable = store complete dim = 2
#pragma HLS ARRAY_PARTITION variable = store complete dim = 3
    MemoryOf<Steps::store_squares>::several_readers(store);
    Tile next;
#pragma HLS DISAGGREGATE variable = next
#pragma HLS ARRAY_PARTITION variable = next.w complete dim = 0
#pragma HLS ARRAY_PARTITION variable = next.outputs complete dim = 0
    static Beside beside;
#pragma HLS DISAGGREGATE variable = beside
#pragma HLS ARRAY_PARTITION variable = beside.channels complete dim = 2
#pragma HLS AGGREGATE variable = beside.act_in
#pragma HLS AGGREGATE variable = beside.act_hidden
#pragma HLS ARRAY_PARTITION variable = beside.act_in cyclic factor = Steps::side dim = 1
#pragma HLS ARRAY_PARTITION variable = beside.act_hidden cyclic factor = Steps::side dim = 1
#pragma HLS ARRAY_PARTITION variable = beside.last.lane complete
    MemoryOf<Config::embed_dim>::one_reader(beside.channels);
    MemoryOf<Steps::act_in_words>::one_reader(beside.act_in);
    MemoryOf<Steps::act_hidden_words>::one_reader(beside.act_hidden);
  images:
    for (int image = 0; image < count; ++image) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 1
      start(images, parameters, store, next);
    steps:
      for (int index = 0; index < Steps::num_steps; ++index) {
        const Step step = Steps::steps.at[index];
        run_step(step, parameters, store, next, beside);
      }
      finish(store, logits);
    }
  }

  /// Read the image and the first tile.
  static void start(Stream<columns>& images, Stream<columns>& parameters, Store& store,
                    Tile& next) {
#pragma HLS INLINE
    constexpr int tile_words = Steps::first_words(Steps::product(0));
    int token = 0, word = 0;
  words:
    for (int i = 0; i < Steps::start_cycles; ++i) {
#pragma HLS PIPELINE II = 1
      COUNT_CYCLE(start_part);
      if (i < tile_words) load_tile(next, i, parameters.read());
      if (i >= Steps::image_words) continue;
      save(store, {Steps::image, false, token, word * columns}, images.read());
      word = word == Steps::token_words - 1 ? 0 : word + 1;
      if (word == 0) ++token;
    }
  }

  /// Multiply all vectors of a step by its matrix; read the next parameters in the same cycles.
  static void run_step(const Step& step, Stream<columns>& parameters, Store& store, Tile& next,
                       Beside& beside) {
#pragma HLS INLINE
    Tile tile;
#pragma HLS DISAGGREGATE variable = tile
#pragma HLS ARRAY_PARTITION variable = tile.w complete dim = 0
#pragma HLS ARRAY_PARTITION variable = tile.outputs complete dim = 0
    Totals sums[Steps::max_vectors];
#pragma HLS ARRAY_PARTITION variable = sums complete dim = 2
    MemoryOf<Steps::max_vectors>::one_reader(sums);
    NOTE(Taps taps(step);)
    int v = 0, input = 0, output = 0;  // vector, and tile (input, output); input is the inner index
    beside.restart(step.beside_words);
  cycles:
    for (int cycle = 0; cycle < step.cycles; ++cycle) {
#pragma HLS PIPELINE II = 1
#pragma HLS LOOP_TRIPCOUNT min = Steps::least_trips max = Steps::most_trips avg = Steps::mean_trips
#pragma HLS DEPENDENCE variable = sums inter RAW distance = sum_cycles true
#pragma HLS DEPENDENCE variable = store inter false
#pragma HLS DEPENDENCE variable = beside.channels inter false
#pragma HLS DEPENDENCE variable = beside.act_in inter false
#pragma HLS DEPENDENCE variable = beside.act_hidden inter false
      COUNT_CYCLE(static_cast<int>(step.kind));
      const bool last_input = input == step.input_tiles - 1;
      const bool last_output = output == step.output_tiles - 1;
      if (v == 0) copy_tile(next, tile);
      const bool sums_end = input == step.input_tiles - 2 || step.input_tiles == 1;
      const int words = last_input && last_output ? step.next_words
                        : sums_end                ? rows + step.output_words
                                                  : rows;
      const bool for_tile = v < words;
      const bool for_beside = !for_tile && v < words + step.beside_share && beside.left > 0;
      if (for_tile || for_beside) {  // a single read site: the FIFO is read once per cycle
        const Word word = parameters.read();
        if (for_tile) {
          load_tile(next, v, word);
        } else {
          beside.take(step.kind, word);
        }
      }
      if (v < step.vectors) {
        const Word x = operands(step, v, input * columns, store, beside);
        NOTE(taps.keep(Tap::operand, v, input * columns, x);)
        Totals totals;
#pragma HLS ARRAY_PARTITION variable = totals complete
        accumulate(tile, x, input == 0, sums[v], totals);
        if (last_input) {
          Results y = requantized(tile, totals);
          NOTE(taps.keep(Tap::product, v, output * rows, y);)
          if (step.kind == Kind::token_mixer) y = scaled(beside.channels[v], y);
          NOTE(taps.keep(Tap::scaled, v, output * rows, y);)
          y = results(step, v, output * rows, y, tile, store, beside);
          NOTE(taps.keep(Tap::result, v, output * rows, y);)
          save(store, {step.destination, step.by_channel, v, output * rows}, y);
        }
      }
      if (v < step.tile_cycles - 1) {
        ++v;
        continue;
      }
      v = 0;
      input = last_input ? 0 : input + 1;
      if (last_input) ++output;
    }
    NOTE(taps.show();)
  }

  /// Return the values that enter the array: `columns` elements of vector v, starting at `along`,
  /// after affine_1 or act_in.
  static Word operands(const Step& step, int v, int along, const Store& store,
                       const Beside& beside) {
#pragma HLS INLINE
    Word x = load<columns>(store, {step.source, step.by_channel, v, along});
  lanes:
    for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
      if (step.kind == Kind::token_mixer) {
        const auto& of = beside.channels[v];
        x.lane[i] = affine(x.lane[i], of[channel::affine_1_w], of[channel::affine_1_b],
                           of[channel::affine_1_s]);
      } else if (step.kind == Kind::mlp_linear_1 && Config::has_tables) {
        x.lane[i] = table_lookup(beside.act_in[along + i], x.lane[i]);
      }
    }
    return x;
  }

  /// The array: add rows x columns products to the sums of a vector. The totals are also returned
  /// directly, because the memory of sums has a single read port.
  static void accumulate(const Tile& tile, const Word& x, bool first, Totals& sums,
                         Totals& totals) {
#pragma HLS INLINE
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      int sum = 0;
    columns:
      for (int c = 0; c < columns; ++c) {
#pragma HLS UNROLL
        sum += x.lane[c] * tile.w[r][c];
      }
      totals[r] = (first ? 0 : static_cast<int>(sums[r])) + sum;
      sums[r] = totals[r];
    }
  }

  /// Requantise the sums to int8.
  static Results requantized(const Tile& tile, const Totals& totals) {
#pragma HLS INLINE
    Results y;
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      y.lane[r] = requantize<Steps::max_inputs>(totals[r], tile.outputs[output::s][r],
                                                tile.outputs[output::b][r]);
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
  static Results results(const Step& step, int v, int along, Results y, const Tile& tile,
                         const Store& store, const Beside& beside) {
#pragma HLS INLINE
    const bool by_channel = step.kind == Kind::token_mixer;
    const Results skipped = load<rows>(store, {step.shortcut, step.by_channel, v, along});
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
      if (step.kind == Kind::mlp_linear_1) {
        y.lane[r] = Config::has_tables ? table_lookup(beside.act_hidden[along + r], y.lane[r])
                                       : relu(y.lane[r]);
      } else if (by_channel || step.kind == Kind::mlp_linear_2) {
        const Int8 w = by_channel ? beside.channels[v][channel::res_affine_w]
                                  : tile.outputs[output::res_affine_w][r];
        const Int8 b = by_channel ? beside.channels[v][channel::res_affine_b]
                                  : tile.outputs[output::res_affine_b][r];
        const Int8 s = by_channel ? beside.channels[v][channel::res_affine_s]
                                  : tile.outputs[output::res_affine_s][r];
        y.lane[r] = saturating_add(y.lane[r], affine(skipped.lane[r], w, b, s));
      }
    }
    return y;
  }

  /// Send the logits.
  static void finish(const Store& store, Stream<columns>& logits) {
#pragma HLS INLINE
  words:
    for (int word = 0; word < Steps::logit_words; ++word) {
#pragma HLS PIPELINE II = 1
      COUNT_CYCLE(logits_part);
      logits.write(load<columns>(store, {Steps::scores, false, 0, word * columns}));
    }
  }
};
