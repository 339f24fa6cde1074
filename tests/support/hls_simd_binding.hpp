/// The units of the SIMD accelerator over arrays, for tests/hls/cpp/test_simd_units.py to call.
#include "processor.hpp"

namespace {

template <int embed, int hidden>
struct Network {
  static constexpr int patch_dim = 3, num_patches = 4, num_blocks = 1, num_classes = 2;
  static constexpr int embed_dim = embed, hidden_dim = hidden;
  static constexpr bool has_tables = true;
};

template <int r, int c>
struct Array {
  static constexpr int rows = r, columns = c;
};

/// Save a map of tokens x features by token or by channel, `write` values at a time, and load it
/// by token or by channel.
template <int tokens, int features, int side, int write, int read>
int store_unit(const int8_t* x, const int* by_channel, int8_t* y) {
  constexpr int height = divide_up(tokens, side), map = 2;
  static Store<height * divide_up(features, side) + map, side> store;
  constexpr unsigned lengths[2] = {features, tokens};
  for (unsigned v = 0; v < lengths[!by_channel[0]]; ++v) {
    for (unsigned along = 0; along < lengths[by_channel[0]]; along += write) {
      Vector<write> values{};
      for (unsigned i = 0; i < write && along + i < lengths[by_channel[0]]; ++i) {
        values.lane[i] = x[v * lengths[by_channel[0]] + along + i];
      }
      save<height>(store, Place(map, by_channel[0] == 1, v, along), values);
    }
  }
  for (unsigned v = 0; v < lengths[!by_channel[1]]; ++v) {
    for (unsigned along = 0; along < lengths[by_channel[1]]; along += read) {
      const Vector<read> values =
          load<read, height>(store, Place(map, by_channel[1] == 1, v, along));
      for (unsigned i = 0; i < read && along + i < lengths[by_channel[1]]; ++i) {
        *y++ = values.lane[i];
      }
    }
  }
  return 0;
}

/// Load one tile word by word and multiply `vectors` vectors by it, in two parts of the sum.
template <int rows, int columns, int vectors>
int array_unit(const int8_t* words, const int8_t* x, int8_t* y) {
  using Unit = Processor<Network<2 * columns, 4>, Array<rows, columns>>;
  constexpr int total = rows + output::count * divide_up(rows, columns);
  typename Unit::Weights weights;
  typename Unit::Outputs outputs;
  Vector<columns> word;
  for (int i = 0; i < total; ++i) {
    std::copy(words + i * columns, words + (i + 1) * columns, word.lane);
    load_tile(weights, outputs, i, word);
  }
  for (int v = 0; v < vectors; ++v) {
    typename Unit::Totals sums, totals;
    for (int part = 0; part < 2; ++part) {
      std::copy(x, x + columns, word.lane);
      x += columns;
      Unit::accumulate(weights, word, part == 0, sums, totals);
    }
    const Vector<rows> results = Unit::requantized(outputs, totals);
    y = std::copy(results.lane, results.lane + rows, y);
  }
  return 0;
}

/// Take the words of both tables, then look up a value of each channel.
template <int embed, int hidden, int rows, int columns>
int tables_unit(const int8_t* words, const int8_t* x, int8_t* y) {
  using Unit = Beside<Network<embed, hidden>, Array<rows, columns>>;
  static typename Unit::InTables act_in;
  static typename Unit::HiddenTables act_hidden;
  const int count = (divide_up(embed, columns) + divide_up(hidden, columns)) * table_knots;
  typename Unit::Position at(count);
  Int8 last[columns];
  Vector<columns> word;
  for (int i = 0; i < count; ++i) {
    std::copy(words + i * columns, words + (i + 1) * columns, word.lane);
    Unit::take_knots(at, word, last, act_in, act_hidden);
    at.advance(table_knots);
  }
  for (int c = 0; c < embed; ++c) *y++ = table_lookup(act_in[c], *x++);
  for (int c = 0; c < hidden; ++c) *y++ = table_lookup(act_hidden[c], *x++);
  return at.left;
}

}  // namespace
