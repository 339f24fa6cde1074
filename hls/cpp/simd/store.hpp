/// The processor's memory of activations.
///
/// It consists of squares of side x side int8 values. Each position in a square has its own bank,
/// so a row or a column of a square can be read in one cycle. Products over channels read rows,
/// products over tokens read columns, and no map is ever transposed.
#pragma once

#include "program.hpp"
#include "stream.hpp"

/// \tparam squares  Number of squares
/// \tparam side     Rows and columns of a square
template <int squares, int side>
using Store = Int8[squares][side][side];

/// Position of neighbouring values in a map: they start at element `along` of vector `across`.
struct Place {
  unsigned map;  // index of its first square
  bool by_channel;
  unsigned across, along;

  Place(unsigned map, bool by_channel, unsigned across, unsigned along)
      : map(map), by_channel(by_channel), across(across), along(along) {}
};

/// The rows and columns of a square that hold these values: one row and `lanes` columns or, by
/// channel, `lanes` rows and one column.
/// \tparam lanes   Number of values
/// \tparam side    Rows and columns of a square
/// \tparam height  Squares below each other in a map
template <int lanes, int side, int height>
struct Corner {
  static constexpr unsigned length = side, below = height;  // unsigned: no sign to correct for
  bool by_channel;
  unsigned square, across, along;
  explicit Corner(const Place& place)
      : by_channel(place.by_channel),
        square(place.map + (place.by_channel ? place.across : place.along) / length * below +
               (place.by_channel ? place.along : place.across) / length),
        across(place.across % length),
        along(place.along % length) {
    static_assert(side % lanes == 0, "the values must lie in one square");
  }

  bool in_row(unsigned r) const { return by_channel ? in_lanes(r) : r == across; }
  bool in_column(unsigned c) const { return by_channel ? c == across : in_lanes(c); }

 private:
  bool in_lanes(unsigned n) const { return n / unsigned(lanes) == along / unsigned(lanes); }
};

/// Read `lanes` values; lanes divides side and `along`.
template <int lanes, int height, int squares, int side>
Vector<lanes> load(const Store<squares, side>& store, const Place& place) {
#pragma HLS INLINE
  const Corner<lanes, side, height> at(place);
  Int8 square[side][side];
#pragma HLS ARRAY_PARTITION variable = square complete dim = 0
rows:
  for (int r = 0; r < side; ++r) {
#pragma HLS UNROLL
    if (at.in_row(r)) {  // skipping the other rows makes C-simulation faster
    columns:
      for (int c = 0; c < side; ++c) {
#pragma HLS UNROLL
        square[r][c] = store[at.square][r][c];
      }
    }
  }
  Vector<lanes> values;
lanes:
  for (int i = 0; i < lanes; ++i) {
#pragma HLS UNROLL
    values.lane[i] =
        at.by_channel ? square[at.along + i][at.across] : square[at.across][at.along + i];
  }
  return values;
}

/// Write `lanes` values; lanes divides side and `along`.
template <int height, int lanes, int squares, int side>
void save(Store<squares, side>& store, const Place& place, const Vector<lanes>& values) {
#pragma HLS INLINE
  const Corner<lanes, side, height> at(place);
rows:
  for (int r = 0; r < side; ++r) {
#pragma HLS UNROLL
    if (at.in_row(r)) {
    columns:
      for (int c = 0; c < side; ++c) {
#pragma HLS UNROLL
        if (at.in_column(c)) {
          store[at.square][r][c] = values.lane[(at.by_channel ? r : c) % lanes];
        }
      }
    }
  }
}
