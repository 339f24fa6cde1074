/// Load parameter words into the next tile or into the memories beside the array.
///
/// All memories are plain arrays. The HLS compiler takes structs of arrays apart only under
/// conditions (no write of a whole struct), and a DEPENDENCE pragma cannot name a member.
#pragma once

#include "program.hpp"
#include "stream.hpp"

/// A tile of weights.
template <int rows, int columns>
using Weights = Int8[rows][columns];

/// The parameters of the outputs of a tile (bias, shift, residual).
template <int rows>
using OutputParameters = Int8[output::count][rows];

/// Copy a whole tile in one cycle, register by register.
template <int rows, int columns>
void copy_tile(const Int8 (&from)[rows][columns], const Int8 (&from_outputs)[output::count][rows],
               Int8 (&to)[rows][columns], Int8 (&to_outputs)[output::count][rows]) {
#pragma HLS INLINE
rows:
  for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
  columns:
    for (int c = 0; c < columns; ++c) {
#pragma HLS UNROLL
      to[r][c] = from[r][c];
    }
  outputs:
    for (int parameter = 0; parameter < output::count; ++parameter) {
#pragma HLS UNROLL
      to_outputs[parameter][r] = from_outputs[parameter][r];
    }
  }
}

/// Store word `index` of a tile: first the `rows` rows of weights, then the output parameters.
template <int rows, int columns>
void load_tile(Int8 (&weights)[rows][columns], Int8 (&outputs)[output::count][rows], unsigned index,
               const Vector<columns>& word) {
#pragma HLS INLINE
  constexpr unsigned row_words = divide_up(rows, columns);
lanes:
  for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
    if (index < rows) {
      weights[index][i] = word.lane[i];
    } else {
      const unsigned row = (index - rows) % row_words * columns + i;
      if (row < rows) outputs[(index - rows) / row_words][row] = word.lane[i];
    }
  }
}

/// A segment of a table: its left knot in the lower byte, its right knot in the upper one. They
/// fill a word of memory, and a lookup is one read.
using Knots = uint16_t;

inline Knots join_knots(Int8 left, Int8 right) {
  return static_cast<uint8_t>(left) | static_cast<uint8_t>(right) << 8;
}

/// Evaluate one channel's table, given as pairs of knots, at an int8 value.
inline Int8 table_lookup(const Knots (&segments)[table_segments], int value) {
#pragma HLS INLINE
  const TableIndex at = table_index(value);
  const Knots segment = segments[at.segment];
  return lerp(static_cast<Int8>(segment), static_cast<Int8>(segment >> 8), at.remainder);
}

/// Parameters outside the tiles. They are read during the step before the one that uses them.
///
/// The tables have as many memories as a square of the store has rows (`side`). A word holds one
/// knot of each of `columns` channels; together with the previous word it gives one segment per
/// channel.
/// \tparam Config  Sizes
/// \tparam Design  rows and columns of multipliers
template <class Config, class Design>
struct Beside {
  using Steps = Program<Config, Design>;
  static constexpr int columns = Steps::columns, side = Steps::side;
  /// Channels of a table memory, rounded up to whole squares; `side` unused ones without tables.
  static constexpr int padded(int features) {
    return Config::has_tables ? divide_up(features, side) * side : side;
  }

  using Channels = Int8[Config::embed_dim][channel::count];
  using InTables = Knots[padded(Config::embed_dim)][table_segments];
  using HiddenTables = Knots[padded(Config::hidden_dim)][table_segments];

  /// The words that are still to come for the next step, and the position of the next one; `part`
  /// is the inner index.
  struct Position {
    Index<Steps::most(&Step::beside_words)> left;
    Index<larger(Config::embed_dim, Steps::act_in_groups + Steps::act_hidden_groups)> group;
    Index<larger(Steps::channel_words, table_knots)> part;

    explicit Position(unsigned words) : left(words), group(0), part(0) {}

    /// Go to the next word; a group has `parts` words.
    void advance(unsigned parts) {
#pragma HLS INLINE
      --left;
      if (part == parts - 1) {
        part = 0;
        ++group;
      } else {
        ++part;
      }
    }
  };

  /// Store a word of the parameters per channel.
  static void take_channel(const Position& at, const Vector<columns>& word, Channels& channels) {
#pragma HLS INLINE
  lanes:
    for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
      const unsigned parameter = unsigned(at.part) * columns + i;
      if (parameter < channel::count) channels[at.group][parameter] = word.lane[i];
    }
  }

  /// Store a word of the tables; `last` is the previous word.
  static void take_knots(const Position& at, const Vector<columns>& word, Int8 (&last)[columns],
                         InTables& act_in, HiddenTables& act_hidden) {
#pragma HLS INLINE
    const bool hidden = at.group >= Steps::act_in_groups;
    const unsigned group = at.group, in_groups = Steps::act_in_groups;
    const unsigned first = (hidden ? group - in_groups : group) * columns;
  lanes:
    for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
      if (at.part > 0) {
        const Knots segment = join_knots(last[i], word.lane[i]);
        if (hidden) {
          act_hidden[first + i][at.part - 1] = segment;
        } else {
          act_in[first + i][at.part - 1] = segment;
        }
      }
      last[i] = word.lane[i];
    }
  }
};
