/// The units of the accelerator over arrays, for tests/hls/cpp/test_units.py to call from Python.
///
/// Each function sends its input through a unit word by word and returns the number of words that
/// the unit left behind or failed to write.
#include "affine.hpp"
#include "linear.hpp"
#include "trace.hpp"

namespace {

template <int lanes>
int receive(Stream<lanes>& stream, int8_t* out, int size) {
  const std::vector<int8_t> values = contents(stream);
  std::copy(values.begin(), values.begin() + std::min<size_t>(size, values.size()), out);
  return std::abs(static_cast<int>(values.size()) - size);
}

template <int lanes>
int left(Stream<lanes>& stream) {
  return contents(stream).size();
}

template <int channels, int lanes>
using Channels = const int8_t (&)[channels / lanes][lanes];
template <int channels, int lanes>
using Shifts = const uint8_t (&)[channels / lanes][lanes];

/// Constants of a design: bindings change nothing in C-simulation, so all kinds occur here.
template <int hand, int depth, int pe_, int simd_>
struct Products {
  static constexpr int handover = hand, link_depth = depth;
  static constexpr int pe = pe_, simd = simd_, dsp_inputs = (simd_ + 1) / 2;
  static constexpr bool bound = simd_ % 2 == 0;
  static constexpr Storage weights = simd_ % 2 ? Storage::lut : Storage::bram;
  static constexpr Storage constants = Storage::lut;
};

template <int lanes>
struct Affines {
  static constexpr Storage affine_storage = lanes % 2 ? Storage::lut : Storage::bram;
  static constexpr bool affine_bound = lanes % 2 == 0;
  static constexpr int affine_dsp_lanes = lanes / 2;
};

template <class Activation, int vectors, int inputs, int outputs, int pe, int simd, int lanes_in,
          int lanes_out, int handover>
int linear_unit(const int8_t* x, const int8_t (&w)[outputs / pe][pe][inputs / simd][simd],
                const int8_t (&b)[outputs / pe][pe], const uint8_t (&s)[outputs / pe][pe],
                int8_t* y) {
  using Design = Products<handover, 2, pe, simd>;
  Stream<lanes_in> in("in");
  Stream<lanes_out> out("out");
  send(x, vectors * inputs, in);
  linear<vectors, inputs, outputs, Activation, Design, Design>(in, out, w, b, s);
  return left(in) + receive(out, y, vectors * outputs);
}

template <int vectors, int channels, int lanes>
int affine_unit(const int8_t* x, Channels<channels, lanes> w, Channels<channels, lanes> b,
                Shifts<channels, lanes> s, int8_t* y) {
  Stream<lanes> in("in"), out("out");
  send(x, vectors * channels, in);
  affine<vectors, Affines<lanes>>(in, out, w, b, s);
  return left(in) + receive(out, y, vectors * channels);
}

template <int vectors, int channels, int lanes>
int residual_unit(const int8_t* x, const int8_t* skipped, Channels<channels, lanes> w,
                  Channels<channels, lanes> b, Shifts<channels, lanes> s, int8_t* y) {
  Stream<lanes> branch("branch"), shortcut("shortcut"), out("out");
  send(x, vectors * channels, branch);
  send(skipped, vectors * channels, shortcut);
  residual<vectors, Affines<lanes>>(branch, shortcut, out, w, b, s);
  return left(branch) + left(shortcut) + receive(out, y, vectors * channels);
}

template <int vectors, int channels, int lanes>
int mean_unit(const int8_t* x, int8_t* y) {
  Stream<lanes> in("in"), out("out");
  send(x, vectors * channels, in);
  mean<vectors, channels>(in, out);
  return left(in) + receive(out, y, channels);
}

template <class Activation, int vectors, int channels, int lanes>
int duplicate_unit(const int8_t* x, int8_t* y, int8_t* copy) {
  Stream<lanes> in("in"), branch("branch"), shortcut("shortcut");
  send(x, vectors * channels, in);
  duplicate<vectors, channels, Activation>(in, branch, shortcut);
  const int size = vectors * channels;
  return left(in) + receive(branch, y, size) + receive(shortcut, copy, size);
}

template <int rows, int columns, int lanes>
int transpose_unit(const int8_t* x, int8_t* y) {
  Stream<lanes> in("in"), out("out");
  send(x, rows * columns, in);
  transpose<rows, columns, (lanes % 2 ? Storage::lut : Storage::bram)>(in, out);
  return left(in) + receive(out, y, rows * columns);
}

template <int words, int narrow_lanes, int wide_lanes, int handover>
int pack_unit(const int8_t* x, int8_t* wide_values, int8_t* y) {
  Stream<narrow_lanes> in("in"), out("out");
  Stream<wide_lanes> wide("wide");
  const int size = words * wide_lanes;
  send(x, size, in);
  pack<words, handover>(in, wide);
  const int lost = left(in) + receive(wide, wide_values, size);
  send(wide_values, size, wide);
  unpack<words>(wide, out);
  return lost + left(wide) + receive(out, y, size);
}

}  // namespace
