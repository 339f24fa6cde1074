/// Streams of int8 elements, `lanes` per word, and the units that move elements without computing.
///
///     duplicate:  branch[v][c] = act(c, in[v][c]),  shortcut[v][c] = in[v][c]
///     pack:       joins to / from words of `from` elements into a word of `to` elements
///     unpack:     splits a word of `from` elements into from / to words of `to` elements
///     transpose:  out[c][r] = in[r][c]
///
/// Arrays that are split over lanes have a dimension for the lane, so no index is divided. Each
/// loop starts a trip per cycle. Its pipeline flushes (style = flp): a pipeline that stalls would
/// keep the last words of an image until the next image comes (docs/hardware.md).
#pragma once

#include <hls_stream.h>

#include "activation.hpp"
#include "process.hpp"

constexpr int max_vector = 512;  // elements; the tool refuses words of more than 4,096 bits

/// Elements that move together: a word of a stream, or a whole vector in registers.
/// \tparam width  Number of elements
template <int width>
struct Vector {
  static_assert(width <= max_vector, "a vector has at most 512 elements: HLS streams end there");
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
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
      const Vector<lanes> x = in.read();
      Vector<lanes> y;
    lanes:
      for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
        y.lane[i] = Activation::apply(word, i, x.lane[i]);
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
  Int8 collected[parts][from];
#pragma HLS ARRAY_PARTITION variable = collected complete dim = 0
words:
  for (int w = 0; w < words; ++w) {
  parts:
    for (int part = 0; part < parts + handover; ++part) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
      if (part < parts) {
        const Vector<from> x = in.read();
      lanes:
        for (int i = 0; i < from; ++i) {
#pragma HLS UNROLL
          collected[part][i] = x.lane[i];
        }
      }
      if (part < parts - 1 + handover) continue;
      Vector<to> word;
    all_parts:
      for (int p = 0; p < parts; ++p) {
#pragma HLS UNROLL
      all_lanes:
        for (int i = 0; i < from; ++i) {
#pragma HLS UNROLL
          word.lane[p * from + i] = collected[p][i];
        }
      }
      out.write(word);
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
  constexpr int parts = from / to;
  Int8 held[parts][to];
#pragma HLS ARRAY_PARTITION variable = held complete dim = 0
words:
  for (int w = 0; w < words; ++w) {
  parts:
    for (int part = 0; part < parts; ++part) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
      if (part == 0) {
        const Vector<from> word = in.read();
      all_parts:
        for (int p = 0; p < parts; ++p) {
#pragma HLS UNROLL
        all_lanes:
          for (int i = 0; i < to; ++i) {
#pragma HLS UNROLL
            held[p][i] = word.lane[p * to + i];
          }
        }
      }
      Vector<to> y;
    lanes:
      for (int i = 0; i < to; ++i) {
#pragma HLS UNROLL
        y.lane[i] = held[part][i];
      }
      out.write(y);
    }
  }
}

/// First half of a transpose: store the map as it arrives. Row r is map[r / lanes][r % lanes].
template <int groups, int lanes, int words>
void fill(Stream<lanes>& in, Vector<lanes> (&map)[groups][lanes][words]) {
groups:
  for (int group = 0; group < groups; ++group) {
  rows:
    for (int row = 0; row < lanes; ++row) {
    words:
      for (int word = 0; word < words; ++word) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
        map[group][row][word] = in.read();
      }
    }
  }
}

/// Second half of a transpose: send the map column by column. A word holds one element from each of
/// `lanes` rows.
template <int groups, int lanes, int words>
void drain(const Vector<lanes> (&map)[groups][lanes][words], Stream<lanes>& out) {
words:
  for (int word = 0; word < words; ++word) {
  columns:
    for (int column = 0; column < lanes; ++column) {
    groups:
      for (int group = 0; group < groups; ++group) {
#pragma HLS LOOP_FLATTEN
#pragma HLS PIPELINE II = 1 style = flp
        Vector<lanes> y;
      lanes:
        for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
          y.lane[i] = map[group][i][word].lane[column];
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
/// \tparam storage  What the memories are built of
/// \tparam lanes    Elements per word
template <int rows, int columns, Storage storage, int lanes>
void transpose(Stream<lanes>& in, Stream<lanes>& out) {
#pragma HLS DATAFLOW
  static_assert(columns % lanes == 0, "a row must fill whole words: lanes divides columns");
  static_assert(rows % lanes == 0, "a column must fill whole words: lanes divides rows");
  Vector<lanes> map[rows / lanes][lanes][columns / lanes];
#pragma HLS AGGREGATE variable = map
#pragma HLS ARRAY_PARTITION variable = map complete dim = 2
  Bind<storage>::ram(map);
  fill(in, map);
  drain(map, out);
}
