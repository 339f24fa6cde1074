/// Streams of int8 elements and the units that only move them.
///
///     duplicate:  branch[v][c] = act(c, in[v][c]),  shortcut[v][c] = in[v][c]
///     pack:       out[v] = (in[v][0], ..., in[v][width - 1])
///     transpose:  out[c][r] = in[r][c]
#pragma once

#include <hls_stream.h>

#include "activation.hpp"

using Stream = hls::stream<Int8>;

/// A whole vector in one stream word.
/// \tparam width  Number of elements
template <int width>
struct Vector {
  int8_t lane[width];
};

/// Fork the input of a residual sublayer; the activation of its branch, if any, sits on the way.
/// \tparam vectors     Number of vectors
/// \tparam channels    Elements per vector
/// \tparam Activation  Policy of activation.hpp, applied to the branch
template <int vectors, int channels, class Activation>
void duplicate(Stream& in, Stream& branch, Stream& shortcut) {
vectors:
  for (int v = 0; v < vectors; ++v) {
  channels:
    for (int c = 0; c < channels; ++c) {
#pragma HLS PIPELINE II = 1
      const Int8 x = in.read();
      branch.write(Activation::apply(c, x));
      shortcut.write(x);
    }
  }
}

/// Collect elements into whole vectors.
/// \tparam vectors  Number of vectors
/// \tparam width    Elements per vector
template <int vectors, int width>
void pack(Stream& in, hls::stream<Vector<width>>& out) {
  Vector<width> vector;
#pragma HLS ARRAY_PARTITION variable = vector.lane complete
vectors:
  for (int v = 0; v < vectors; ++v) {
  lanes:
    for (int i = 0; i < width; ++i) {
#pragma HLS PIPELINE II = 1
      vector.lane[i] = in.read();
      if (i == width - 1) out.write(vector);
    }
  }
}

/// First half of a transpose: store the map as it arrives.
template <int rows, int columns>
void fill(Stream& in, int8_t (&map)[rows][columns]) {
rows:
  for (int r = 0; r < rows; ++r) {
  columns:
    for (int c = 0; c < columns; ++c) {
#pragma HLS PIPELINE II = 1
      map[r][c] = in.read();
    }
  }
}

/// Second half of a transpose: send the map column by column.
template <int rows, int columns>
void drain(const int8_t (&map)[rows][columns], Stream& out) {
columns:
  for (int c = 0; c < columns; ++c) {
  rows:
    for (int r = 0; r < rows; ++r) {
#pragma HLS PIPELINE II = 1
      out.write(map[r][c]);
    }
  }
}

/// Turn a row-major map into a column-major one.
///
/// The map is a ping-pong buffer between two processes: one image is stored while the one before is
/// sent. It is the only memory between processes, in a region of its own, because a free-running
/// region (ap_ctrl_none) may hold nothing but FIFOs (UG1399).
/// \tparam rows     Rows of the incoming map
/// \tparam columns  Columns of the incoming map
template <int rows, int columns>
void transpose(Stream& in, Stream& out) {
#pragma HLS DATAFLOW
  int8_t map[rows][columns];
  fill(in, map);
  drain(map, out);
}
