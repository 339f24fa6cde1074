/// The processor's memory of activations.
///
/// Squares of side x side int8 values, a bank for each value of a square, so that in one cycle a
/// row of a square can be taken, or a column: products over channels read rows, products over
/// tokens read columns, and nothing is ever transposed.
#pragma once

#include "program.hpp"
#include "stream.hpp"

/// \tparam squares  Number of squares
/// \tparam side     Rows and columns of a square
template <int squares, int side>
using Store = Int8[squares][side][side];

/// Where neighbouring values lie in a map: from element `along` on, in vector `across`.
struct Place {
  Map map;
  bool by_channel;
  int across, along;
};

/// The square that holds them, and where in it they begin.
/// \tparam side  Rows and columns of a square
template <int side>
struct Corner {
  int square, across, along;
  explicit Corner(const Place& place)
      : square(place.map.base +
               (place.by_channel ? place.along : place.across) / side * place.map.width +
               (place.by_channel ? place.across : place.along) / side),
        across(place.across % side),
        along(place.along % side) {}
};

/// Read `lanes` values; lanes divides side and `along`.
template <int lanes, int squares, int side>
Vector<lanes> load(const Store<squares, side>& store, const Place& place) {
#pragma HLS INLINE
  static_assert(side % lanes == 0, "the values must lie in one square");
  const Corner<side> at(place);
  Int8 square[side][side];
#pragma HLS ARRAY_PARTITION variable = square complete dim = 0
rows:
  for (int r = 0; r < side; ++r) {
#pragma HLS UNROLL
  columns:
    for (int c = 0; c < side; ++c) {
#pragma HLS UNROLL
      square[r][c] = store[at.square][r][c];
    }
  }
  Vector<lanes> values;
lanes:
  for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
    values.lane[i] =
        place.by_channel ? square[at.along + i][at.across] : square[at.across][at.along + i];
  }
  return values;
}

/// Write `lanes` values; lanes divides side and `along`.
template <int lanes, int squares, int side>
void save(Store<squares, side>& store, const Place& place, const Vector<lanes>& values) {
#pragma HLS INLINE
  static_assert(side % lanes == 0, "the values must lie in one square");
  const Corner<side> at(place);
rows:
  for (int r = 0; r < side; ++r) {
#pragma HLS UNROLL
  columns:
    for (int c = 0; c < side; ++c) {
#pragma HLS UNROLL
      const int across = place.by_channel ? c : r, along = place.by_channel ? r : c;
      if (across == at.across && along / lanes == at.along / lanes) {
        store[at.square][r][c] = values.lane[along % lanes];
      }
    }
  }
}
