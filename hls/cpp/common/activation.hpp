/// 1-D activations as policy types.
///
/// Contract: `static Int8 apply<lanes>(int channel, int value)` maps one int8 value of one channel
/// to its activation. It has no state. It accepts a new value every cycle in each of `lanes`
/// neighbouring channels (at each call site, channel mod lanes is constant). The fork of a residual
/// sublayer (stream.hpp) and the matrix-vector unit (linear.hpp) take any such type. The generated
/// params.hpp selects one for each position.
#pragma once

#include "fixed_point.hpp"

/// y = x
struct Identity {
  template <int lanes = 1>
  static Int8 apply(int, int value) {
    return value;
  }
};

/// y = max(0, x)
struct Relu {
  template <int lanes = 1>
  static Int8 apply(int, int value) {
    return relu(value);
  }
};

/// Evaluate the table of one channel with one read of one ROM.
///
/// There are `lanes` ROMs; each holds every lanes-th channel. A word holds a knot and a slope. A
/// channel takes 64 words, which is the depth of one LUT.
/// \tparam lanes     Number of ROMs, i.e. of channels read in a cycle; divides `features`
/// \tparam features  Number of channels
template <int lanes, int features>
Int8 read_table(const Segment (&segments)[features][table_segments], int channel, int value) {
#pragma HLS INLINE
#pragma HLS AGGREGATE variable = segments
#pragma HLS ARRAY_PARTITION variable = segments cyclic factor = lanes dim = 1
#pragma HLS BIND_STORAGE variable = segments type = rom_1p impl = lutram
  static_assert(features % lanes == 0, "the channels must spread evenly over the lanes' ROMs");
  return table_lookup(segments[channel], value);
}

/// y = the channel's table at x. The tables are a constant array, so each use gets its own ROMs.
/// \tparam features  Number of channels
/// \tparam segments  The tables: one row of 64 segments per channel
template <int features, const Segment (&segments)[features][table_segments]>
struct Table {
  template <int lanes = 1>
  static Int8 apply(int channel, int value) {
    return read_table<lanes>(segments, channel, value);
  }
};
