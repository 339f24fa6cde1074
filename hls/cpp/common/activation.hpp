/// 1-D activations as policy types.
///
/// Contract: `static Int8 apply(int word, int lane, int value)` maps one int8 value of one channel
/// to its activation. `lane` is the place of the channel in a word of channels, a constant at each
/// call site; `word` is the index of the word. It has no state. It accepts a new value every cycle
/// in each lane. The fork of a residual sublayer (stream.hpp) and the matrix-vector unit
/// (linear.hpp) take any such type. The generated params.hpp selects one for each position.
#pragma once

#include "fixed_point.hpp"
#include "storage.hpp"

/// y = x
struct Identity {
  static Int8 apply(int, int, int value) {
#pragma HLS INLINE
    return value;
  }
};

/// y = max(0, x)
struct Relu {
  static Int8 apply(int, int, int value) {
#pragma HLS INLINE
    return relu(value);
  }
};

/// Evaluate the table of one channel with one read of one ROM.
///
/// There is a ROM per lane; each holds the tables of the channels of that lane, 64 words a channel.
/// A word holds a knot and a slope.
/// \tparam storage  What the ROMs are built of
/// \tparam words    Words of channels
/// \tparam lanes    Channels per word, i.e. ROMs
template <Storage storage, int words, int lanes>
Int8 read_table(const TableWord (&tables)[words][lanes][table_segments], int word, int lane,
                int value) {
#pragma HLS INLINE
#pragma HLS ARRAY_PARTITION variable = tables complete dim = 2
  Bind<storage>::rom(tables);
  return table_lookup(tables[word][lane], value);
}

/// y = the channel's table at x. The tables are a constant array, so each use gets its own ROMs.
/// \tparam storage  What the ROMs are built of
/// \tparam words    Words of channels
/// \tparam lanes    Channels per word
/// \tparam tables   The tables: 64 words per channel
template <Storage storage, int words, int lanes,
          const TableWord (&tables)[words][lanes][table_segments]>
struct Table {
  static Int8 apply(int word, int lane, int value) {
#pragma HLS INLINE
    return read_table<storage>(tables, word, lane, value);
  }
};
