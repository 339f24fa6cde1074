/// 1-D activations as policy types.
///
/// Contract: `static Int8 apply<lanes>(int channel, int value)` maps one int8 value of one channel
/// to its activation. It holds no state and starts a new value every cycle in each of `lanes`
/// neighbouring channels (channel mod lanes is constant where it is called). The fork of a residual
/// sublayer (stream.hpp) and the matrix-vector unit (linear.hpp) take any such type; the generated
/// parameters name the one of each place.
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

/// Evaluate the table of one of `features` channels: one read of one ROM.
///
/// `lanes` ROMs hold every lanes-th channel each, knot and slope side by side; a channel's 64 words
/// are as deep as a LUT.
template <int lanes, int features>
Int8 read_table(const Segment (&segments)[features][table_segments], int channel, int value) {
#pragma HLS INLINE
#pragma HLS AGGREGATE variable = segments
#pragma HLS ARRAY_PARTITION variable = segments cyclic factor = lanes dim = 1
#pragma HLS BIND_STORAGE variable = segments type = rom_1p impl = lutram
  static_assert(features % lanes == 0, "the channels must spread evenly over the lanes' ROMs");
  return table_lookup(segments[channel], value);
}

/// y = the channel's table at x; the tables are a constant array, so each use gets its own ROMs.
/// \tparam features  Number of channels
/// \tparam segments  Their tables, one row of 64 segments per channel
template <int features, const Segment (&segments)[features][table_segments]>
struct Table {
  template <int lanes = 1>
  static Int8 apply(int channel, int value) {
    return read_table<lanes>(segments, channel, value);
  }
};
