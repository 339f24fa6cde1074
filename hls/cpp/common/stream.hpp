/// Streams of int8 elements, `lanes` per word, and the units that move elements without computing.
///
///     duplicate:  branch[v][c] = act(c, in[v][c]),  shortcut[v][c] = in[v][c]
///     pack:       joins to / from words of `from` elements into a word of `to` elements
///     unpack:     splits a word of `from` elements into from / to words of `to` elements
///     transpose:  out[c][r] = in[r][c]
#pragma once

#include <hls_stream.h>

#include "activation.hpp"
#include "process.hpp"

/// Elements that move together: a word of a stream, or a whole vector in registers.
/// \tparam width  Number of elements
template <int width>
struct Vector {
  Int8 lane[width];
};

/// A FIFO of words; the elements of a vector come in ascending order, lane 0 first.
/// \tparam lanes  Elements per word
template <int lanes>
using Stream = hls::stream<Vector<lanes>>;

/// Fork the input of a residual sublayer and apply the activation, if any, to the branch.
/// \tparam vectors     Number of vectors
/// \tparam channels    Elements per vector
/// \tparam Activation  Policy of activation.hpp, applied to the branch
/// \tparam lanes       Elements per word
template <int vectors, int channels, class Activation, int lanes>
void duplicate(Stream<lanes>& in, Stream<lanes>& branch, Stream<lanes>& shortcut) {
  static_assert(channels % lanes == 0, "a vector must fill whole words: lanes divides channels");
vectors:
  for (int v = 0; v < vectors; ++v) {
  words:
    for (int word = 0; word < channels / lanes; ++word) {
#pragma HLS PIPELINE II = 1
      const int c = word * lanes;
      const Vector<lanes> x = in.read();
      Vector<lanes> y;
    lanes:
      for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
        y.lane[i] = Activation::template apply<lanes>(c + i, x.lane[i]);
      }
      branch.write(y);
      shortcut.write(x);
    }
  }
}

/// Join words into wider ones.
/// \tparam words     Number of outgoing words
/// \tparam handover  1: sending the wide word takes an extra cycle; 0: it leaves with its last part
/// \tparam from      Elements per incoming word
/// \tparam to        Elements per outgoing word
template <int words, int handover, int from, int to>
void pack(Stream<from>& in, Stream<to>& out) {
  static_assert(to % from == 0, "a wide word must be a whole number of narrow ones");
  constexpr int parts = to / from;
  Vector<to> word;
#pragma HLS ARRAY_PARTITION variable = word.lane complete
words:
  for (int w = 0; w < words; ++w) {
  parts:
    for (int part = 0; part < parts + handover; ++part) {
#pragma HLS PIPELINE II = 1
      if (part < parts) {
        const Vector<from> x = in.read();
      lanes:
        for (int i = 0; i < from; ++i) {
#pragma HLS UNROLL
          word.lane[part * from + i] = x.lane[i];
        }
      }
      if (part == parts - 1 + handover) out.write(word);
    }
  }
}

/// Split words into narrower ones.
/// \tparam words  Number of incoming words
/// \tparam from   Elements per incoming word
/// \tparam to     Elements per outgoing word
template <int words, int from, int to>
void unpack(Stream<from>& in, Stream<to>& out) {
  static_assert(from % to == 0, "a wide word must be a whole number of narrow ones");
  Vector<from> word;
#pragma HLS ARRAY_PARTITION variable = word.lane complete
words:
  for (int w = 0; w < words; ++w) {
  parts:
    for (int part = 0; part < from / to; ++part) {
#pragma HLS PIPELINE II = 1
      if (part == 0) word = in.read();
      Vector<to> y;
    lanes:
      for (int i = 0; i < to; ++i) {
#pragma HLS UNROLL
        y.lane[i] = word.lane[part * to + i];
      }
      out.write(y);
    }
  }
}

/// First half of a transpose: store the map as it arrives.
template <int rows, int words, int lanes>
void fill(Stream<lanes>& in, Vector<lanes> (&map)[rows][words]) {
rows:
  for (int r = 0; r < rows; ++r) {
  words:
    for (int w = 0; w < words; ++w) {
#pragma HLS PIPELINE II = 1
      map[r][w] = in.read();
    }
  }
}

/// Second half of a transpose: send the map column by column. A word holds one element from each of
/// `lanes` rows.
template <int rows, int words, int lanes>
void drain(const Vector<lanes> (&map)[rows][words], Stream<lanes>& out) {
columns:
  for (int w = 0; w < words; ++w) {
  column:
    for (int c = 0; c < lanes; ++c) {
    rows:
      for (int group = 0; group < rows / lanes; ++group) {
#pragma HLS PIPELINE II = 1
        Vector<lanes> y;
      lanes:
        for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
          y.lane[i] = map[group * lanes + i][w].lane[c];
        }
        out.write(y);
      }
    }
  }
}

/// Turn a row-major map into a column-major one.
///
/// The map is a ping-pong buffer between two processes: one image is stored while the previous one
/// is sent. It is the only memory between processes that is not a FIFO. It has its own region
/// because a free-running region (ap_ctrl_none) may contain only FIFOs (UG1399). Its rows are
/// distributed over `lanes` memories of whole words; each is read or written at most once per
/// cycle.
/// \tparam rows     Rows of the incoming map
/// \tparam columns  Columns of the incoming map
/// \tparam lanes    Elements per word
template <int rows, int columns, int lanes>
void transpose(Stream<lanes>& in, Stream<lanes>& out) {
#pragma HLS DATAFLOW
  static_assert(columns % lanes == 0, "a row must fill whole words: lanes divides columns");
  static_assert(rows % lanes == 0, "a column must fill whole words: lanes divides rows");
  Vector<lanes> map[rows][columns / lanes];
#pragma HLS AGGREGATE variable = map
#pragma HLS ARRAY_PARTITION variable = map cyclic factor = lanes dim = 1
  fill(in, map);
  drain(map, out);
}
