/// Where the words of the parameters go: the next tile, or the memories beside the array.
#pragma once

#include "program.hpp"
#include "stream.hpp"

/// The weights in the array, and what is done to its sums.
template <int rows, int columns>
struct Tile {
  Int8 w[rows][columns];
  Int8 outputs[output::count][rows];
};

/// Take all of another tile in one cycle, register by register.
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

/// Put word `index` of a tile into its place.
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

/// A segment of a table: both its knots. They fill a memory word without a gap, and a lookup is one
/// read.
struct Knots {
  Int8 left, right;
};

/// Evaluate one channel's table, given as pairs of knots, at an int8 value.
inline Int8 table_lookup(const Knots (&segments)[table_segments], int value) {
  const TableIndex at = table_index(value);
  const Knots segment = segments[at.segment];
  return lerp(segment.left, segment.right, at.remainder);
}

/// Parameters that are in no tile: they come during the step before the one that uses them.
///
/// The tables are as wide as the squares of the store. A word holds one knot of `columns` channels;
/// with the knot before, it makes a segment of each.
/// \tparam Config  Sizes
/// \tparam Design  rows and columns of multipliers
template <class Config, class Design>
struct Beside {
  using Steps = Program<Config, Design>;
  static constexpr int columns = Steps::columns, side = Steps::side;
  /// Channels of a table memory; one unused word where activations are no tables.
  static constexpr int padded(int features) {
    return Config::has_tables ? divide_up(features, side) * side : side;
  }

  Int8 channels[Config::embed_dim][channel::count];
  Knots act_in[padded(Config::embed_dim)][table_segments];
  Knots act_hidden[padded(Config::hidden_dim)][table_segments];

  Vector<columns> last;  // word of a table
  int left;              // words to come for the next step
  int group, part;       // the place of the next word; parts run faster

  /// The next word is the first of `words` for the next step.
  void restart(int words) {
    left = words;
    group = part = 0;
  }

  /// Take a word during a step of this kind, for the next one.
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
