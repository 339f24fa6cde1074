/// Load parameter words into the next tile or into the memories beside the array.
#pragma once

#include "program.hpp"
#include "stream.hpp"

/// The weights in the array, and the parameters of its outputs (bias, shift, residual).
template <int rows, int columns>
struct Tile {
  Int8 w[rows][columns];
  Int8 outputs[output::count][rows];
};

/// Copy a whole tile in one cycle, register by register.
template <int rows, int columns>
void copy_tile(const Tile<rows, columns>& from, Tile<rows, columns>& to) {
#pragma HLS INLINE
rows:
  for (int r = 0; r < rows; ++r) {
#pragma HLS UNROLL
  columns:
    for (int c = 0; c < columns; ++c) {
#pragma HLS UNROLL
      to.w[r][c] = from.w[r][c];
    }
  outputs:
    for (int parameter = 0; parameter < output::count; ++parameter) {
#pragma HLS UNROLL
      to.outputs[parameter][r] = from.outputs[parameter][r];
    }
  }
}

/// Store word `index` of a tile: first the `rows` rows of weights, then the output parameters.
template <int rows, int columns>
void load_tile(Tile<rows, columns>& tile, int index, const Vector<columns>& word) {
#pragma HLS INLINE
  constexpr int row_words = divide_up(rows, columns);
lanes:
  for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
    if (index < rows) {
      tile.w[index][i] = word.lane[i];
    } else {
      const int row = (index - rows) % row_words * columns + i;
      if (row < rows) tile.outputs[(index - rows) / row_words][row] = word.lane[i];
    }
  }
}

/// A segment of a table: its two knots. They fill a 16-bit memory word, and a lookup is one read.
struct Knots {
  Int8 left, right;
};

/// Evaluate one channel's table, given as pairs of knots, at an int8 value.
inline Int8 table_lookup(const Knots (&segments)[table_segments], int value) {
  const TableIndex at = table_index(value);
  const Knots segment = segments[at.segment];
  return lerp(segment.left, segment.right, at.remainder);
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

  Int8 channels[Config::embed_dim][channel::count];
  Knots act_in[padded(Config::embed_dim)][table_segments];
  Knots act_hidden[padded(Config::hidden_dim)][table_segments];

  Vector<columns> last;  // the previous word of a table
  int left;              // words that are still to come for the next step
  int group, part;       // position of the next word; `part` is the inner index

  /// Prepare to receive `words` words for the next step.
  void restart(int words) {
    left = words;
    group = part = 0;
  }

  /// Store a word for the next step; `kind` is the kind of the current step.
  void take(Kind kind, const Vector<columns>& word) {
#pragma HLS INLINE
    --left;
    if (kind == Kind::token_mixer) {
      take_knots(word);
    } else {
      take_channel(word);
    }
  }

 private:
  void take_channel(const Vector<columns>& word) {
#pragma HLS INLINE
  lanes:
    for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
      const int parameter = part * columns + i;
      if (parameter < channel::count) channels[group][parameter] = word.lane[i];
    }
    advance(Steps::channel_words);
  }

  void take_knots(const Vector<columns>& word) {
#pragma HLS INLINE
    const bool hidden = group >= Steps::act_in_groups;
    const int first = (hidden ? group - Steps::act_in_groups : group) * columns;
  lanes:
    for (int i = 0; i < columns; ++i) {
#pragma HLS UNROLL
      const Knots segment{last.lane[i], word.lane[i]};
      if (part > 0 && hidden) act_hidden[first + i][part - 1] = segment;
      if (part > 0 && !hidden) act_in[first + i][part - 1] = segment;
    }
    last = word;
    advance(table_knots);
  }

  void advance(int parts) {
#pragma HLS INLINE
    part = part == parts - 1 ? 0 : part + 1;
    if (part == 0) ++group;
  }
};
