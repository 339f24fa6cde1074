/// 1-D activations as policy types.
///
/// Contract: `static Int8 apply(int channel, int value)` maps one int8 value of one channel to its
/// activation. It holds no state and starts a new value every cycle. The fork of a residual
/// sublayer (stream.hpp) and the matrix-vector unit (linear.hpp) take any such type; the generated
/// parameters name the one of each place.
#pragma once

#include "fixed_point.hpp"

/// y = x
struct Identity {
  static Int8 apply(int, int value) { return value; }
};

/// y = max(0, x)
struct Relu {
  static Int8 apply(int, int value) { return relu(value); }
};

/// y = the channel's table at x; the tables are a constant array, so each use gets its own ROM.
/// \tparam features  Number of channels
/// \tparam knots     Their tables, one row of 65 knots per channel
template <int features, const int8_t (&knots)[features][table_knots]>
struct Table {
  static Int8 apply(int channel, int value) { return table_lookup(knots[channel], value); }
};
