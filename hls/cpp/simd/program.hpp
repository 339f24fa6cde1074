/// The program of the SIMD processor: the steps for one image and the words read during each.
///
/// A step is one product of a matrix with `vectors` vectors. Its weights are cut into tiles of
/// rows x columns, and one tile stays in the array while all the vectors pass, one per cycle:
///
///     for each group of `rows` outputs, for each group of `columns` inputs, for each vector
///
/// In the same cycles the processor reads the next tile and, word by word, the parameters that the
/// next step needs beside its tiles. Parameters are stored in the order of their use, so each image
/// reads them once, sequentially. hls/plan/simd/program.py is the same model under the same names.
#pragma once

#include <cstdint>

#include "fixed_point.hpp"

constexpr int divide_up(int a, int b) { return (a + b - 1) / b; }
constexpr int larger(int a, int b) { return a > b ? a : b; }
constexpr int smaller(int a, int b) { return a < b ? a : b; }
constexpr bool is_power_of_two(int n) { return n > 0 && (n & (n - 1)) == 0; }

/// Return the bits of the smallest unsigned type that holds 0 to `most`.
constexpr int unsigned_bits(int most) { return larger(signed_bits(most) - 1, 1); }

/// A register for an index or a count from 0 to `most`: in hardware it has no more bits than that.
/// C-simulation with NATIVE_SUMS (fixed_point.hpp) uses native integers, which are faster; the
/// tests compile both. Arithmetic on indices is unsigned, and all divisors are powers of two, so
/// that neither signs nor divisions remain.
#ifdef NATIVE_SUMS
template <int most>
using Index = unsigned;
#else
template <int most>
using Index = ap_uint<unsigned_bits(most)>;
#endif

/// The products of an image, in order; those of a block (token_mixer, mlp_*) repeat per block.
enum class Kind : uint8_t {
  embed_linear,
  token_mixer,
  mlp_linear_1,
  mlp_linear_2,
  mean,
  classifier_linear
};
constexpr int num_kinds = static_cast<int>(Kind::classifier_linear) + 1;

/// Parameters that follow the last tile of a group of outputs, `rows` values each. The res_affine_*
/// ones exist only for mlp_linear_2, which adds the shortcut.
namespace output {
enum Parameter { b, s, res_affine_w, res_affine_b, res_affine_s, count };
}

/// Parameters of one channel in the token mixer, where a channel is a vector.
namespace channel {
enum Parameter {
  affine_1_w,
  affine_1_b,
  affine_1_s,
  affine_2_w,
  affine_2_b,
  affine_2_s,
  res_affine_w,
  res_affine_b,
  res_affine_s,
  count
};
}

/// Least cycles between two reads of the same sum: the latency of adding to it.
constexpr int sum_cycles = 4;

/// One product.
struct Step {
  Kind kind;
  int block;        // its index, or -1 outside of the blocks
  bool by_channel;  // true: a vector is a channel over all tokens; false: a token over all channels
  int vectors, inputs, outputs;
  int input_tiles, output_tiles;
  int source, shortcut, destination;  // maps: index of the first square in the store
  int output_words;                   // after the weights of the last tile of each group of outputs
  int next_words;                     // of the next step's first tile; 0: there is no next step
  int beside_words;                   // words that the next step needs beside its tiles
  int beside_share;                   // at most so many of them are read per tile
  int tile_cycles;  // cycles per tile: number of vectors, or of words to read if that is larger
  int cycles;       // cycles of all tiles
};

/// An array that a constexpr function can return.
template <int count>
struct Steps {
  Step at[count];
};

/// The steps of one network on one array.
/// \tparam Config  Sizes (generated, config.hpp)
/// \tparam Design  rows and columns of multipliers (generated, design.hpp)
template <class Config, class Design>
struct Program {
  static constexpr int rows = Design::rows, columns = Design::columns;
  static constexpr int side = larger(rows, columns);  // rows and columns of a square of the store
  static_assert(is_power_of_two(rows) && is_power_of_two(columns),
                "rows and columns of the array must be powers of two");
  static_assert(side <= 64, "rows and columns are at most 64: a word of memory has 512 bits");
  static_assert(mean_shift(Config::num_patches) > 0 && Config::num_patches <= 1 << max_shift,
                "the mean is a shift: a power of two of at least 2 tokens");

  static constexpr int tokens = Config::num_patches, channels = Config::embed_dim;
  static constexpr int num_steps = 3 + 3 * Config::num_blocks;
  static constexpr int max_vectors = larger(tokens, channels);  // depth of the memory of sums
  static constexpr int max_inputs =
      larger(larger(Config::patch_dim, tokens), larger(channels, Config::hidden_dim));

  static constexpr int squares(int features) { return divide_up(features, side); }

  // First squares of the maps in the store. Below each other lie the squares of one group of
  // features: `height` of them, a power of two, so an address takes a shift and an addition
  // (store.hpp). The average is stored over `mixed`, which the last block has used up.
  static constexpr int height = squares(tokens);
  static constexpr int image = 0;
  static constexpr int features = image + height * squares(Config::patch_dim);
  static constexpr int mixed = features + height * squares(channels);
  static constexpr int average = mixed;
  static constexpr int hidden = mixed + height * squares(channels);
  static constexpr int scores = hidden + height * squares(Config::hidden_dim);
  static constexpr int store_squares = scores + height * squares(Config::num_classes);

  // Words of `columns` values in memory, per image.
  static constexpr int token_words = divide_up(Config::patch_dim, columns);
  static constexpr int image_words = tokens * token_words;
  static constexpr int logit_words = divide_up(Config::num_classes, columns);
  static constexpr int fifo_words = 512;  // between a memory port and the processor
  static constexpr int row_words = divide_up(rows, columns);  // words of `rows` values
  static constexpr int channel_words = divide_up(channel::count, columns);
  static constexpr int act_in_groups = divide_up(channels, columns);
  static constexpr int act_hidden_groups = divide_up(Config::hidden_dim, columns);

  // Depth of a memory of tables: 64 words for each channel of its lane.
  static constexpr int act_in_words = table_segments * squares(channels);
  static constexpr int act_hidden_words = table_segments * squares(Config::hidden_dim);

  /// Kind of a step of a block.
  static constexpr Kind block_kind(int index) {
    return index == 0 ? Kind::token_mixer : index == 1 ? Kind::mlp_linear_1 : Kind::mlp_linear_2;
  }

  /// Kind of step `index`.
  static constexpr Kind kind_of(int index) {
    return index == 0               ? Kind::embed_linear
           : index == num_steps - 2 ? Kind::mean
           : index == num_steps - 1 ? Kind::classifier_linear
                                    : block_kind((index - 1) % 3);
  }

  /// Return step `index` with its product and maps, without cycles.
  static constexpr Step product(int index) {
    const int block = (index - 1) / 3;
    switch (kind_of(index)) {
      case Kind::embed_linear:
        return over_channels(Kind::embed_linear, -1, tokens, Config::patch_dim, channels, image,
                             features);
      case Kind::token_mixer:
        return over_tokens(Kind::token_mixer, block, tokens, mixed);
      case Kind::mlp_linear_1:
        return over_channels(Kind::mlp_linear_1, block, tokens, channels, Config::hidden_dim, mixed,
                             hidden);
      case Kind::mlp_linear_2:
        return over_channels(Kind::mlp_linear_2, block, tokens, Config::hidden_dim, channels,
                             hidden, features);
      case Kind::mean:
        return over_tokens(Kind::mean, -1, 1, average);
      default:
        return over_channels(Kind::classifier_linear, -1, 1, channels, Config::num_classes, average,
                             scores);
    }
  }

  static constexpr Step over_channels(Kind kind, int block, int vectors, int inputs, int outputs,
                                      int source, int destination) {
    const int parameters = kind == Kind::mlp_linear_2 ? output::count : output::s + 1;
    Step step{};
    step.kind = kind;
    step.block = block;
    step.vectors = vectors;
    step.inputs = inputs;
    step.outputs = outputs;
    step.input_tiles = divide_up(inputs, columns);
    step.output_tiles = divide_up(outputs, rows);
    step.source = source;
    step.shortcut = mixed;
    step.destination = destination;
    step.output_words = row_words * parameters;
    return step;
  }

  static constexpr Step over_tokens(Kind kind, int block, int outputs, int destination) {
    Step step = over_channels(kind, block, channels, tokens, outputs, features, destination);
    step.by_channel = true;
    step.shortcut = features;
    return step;
  }

  /// Return the words that a step needs beside its tiles; they are read during the previous step.
  static constexpr int words_beside(Kind kind) {
    return kind == Kind::token_mixer ? channels * channel_words
           : kind == Kind::mlp_linear_1 && Config::has_tables
               ? (act_in_groups + act_hidden_groups) * table_knots
               : 0;
  }

  /// Words of a step's first tile.
  static constexpr int first_words(const Step& step) {
    return rows + (step.input_tiles == 1 ? step.output_words : 0);
  }

  /// Return step `index` with its cycles.
  static constexpr Step timed(int index) {
    Step step = product(index);
    const int tiles = step.input_tiles * step.output_tiles;
    if (index < num_steps - 1) {
      const Step next = product(index + 1);
      step.next_words = first_words(next);
      step.beside_words = words_beside(next.kind);
      step.beside_share = divide_up(step.beside_words, tiles);
    }
    const int words = larger(tiles > 1 ? rows + step.output_words : 0, step.next_words);
    step.tile_cycles = larger(larger(step.vectors, words + step.beside_share), sum_cycles);
    step.cycles = tiles * step.tile_cycles;
    return step;
  }

  static constexpr Steps<num_steps> all_steps() {
    Steps<num_steps> all{};
    for (int index = 0; index < num_steps; ++index) all.at[index] = timed(index);
    return all;
  }

  /// Words of all parameters.
  static constexpr int parameter_words() {
    int words = 0;
    for (int index = 0; index < num_steps; ++index) {
      const Step step = product(index);
      words += step.output_tiles * (step.input_tiles * rows + step.output_words);
      words += words_beside(step.kind);
    }
    return words;
  }

  /// Cycles before the first step, in which the image and the first tile are read.
  static constexpr int start_cycles = larger(image_words, rows + 2 * row_words);

  static constexpr Steps<num_steps> steps = all_steps();

  // Cycles of the shortest step, of the longest one and of all steps. LOOP_TRIPCOUNT passes them to
  // csynth, because the trip count of the step loop comes from the table of steps.
  static constexpr int least_cycles() {
    int cycles = timed(0).cycles;
    for (int index = 1; index < num_steps; ++index) cycles = smaller(cycles, timed(index).cycles);
    return cycles;
  }

  /// Return the largest value of a field over all steps.
  static constexpr int most(int Step::* field) {
    int value = 0;
    for (int index = 0; index < num_steps; ++index) value = larger(value, timed(index).*field);
    return value;
  }

  static constexpr int most_cycles() { return most(&Step::cycles); }

  static constexpr int all_cycles() {
    int cycles = 0;
    for (int index = 0; index < num_steps; ++index) cycles += timed(index).cycles;
    return cycles;
  }

  static constexpr int least_trips = least_cycles(), most_trips = most_cycles();
  static constexpr int mean_trips = divide_up(all_cycles(), num_steps);
};

template <class Config, class Design>
constexpr Steps<Program<Config, Design>::num_steps> Program<Config, Design>::steps;

/// What the processor holds of a step while it computes it, each field in the bits that it needs.
template <class Program>
struct Current {
  Kind kind;
  bool by_channel;
  Index<Program::store_squares> source, shortcut, destination;
  Index<Program::most(&Step::vectors)> vectors;
  Index<Program::most(&Step::input_tiles)> input_tiles;
  Index<Program::most(&Step::output_tiles)> output_tiles;
  Index<Program::most(&Step::output_words)> output_words;
  Index<Program::most(&Step::next_words)> next_words;
  Index<Program::most(&Step::beside_words)> beside_words;
  Index<Program::most(&Step::beside_share)> beside_share;
  Index<Program::most(&Step::tile_cycles)> tile_cycles;
  Index<Program::most(&Step::cycles)> cycles;

  explicit Current(const Step& step)
      : kind(step.kind),
        by_channel(step.by_channel),
        source(step.source),
        shortcut(step.shortcut),
        destination(step.destination),
        vectors(step.vectors),
        input_tiles(step.input_tiles),
        output_tiles(step.output_tiles),
        output_words(step.output_words),
        next_words(step.next_words),
        beside_words(step.beside_words),
        beside_share(step.beside_share),
        tile_cycles(step.tile_cycles),
        cycles(step.cycles) {}
};
