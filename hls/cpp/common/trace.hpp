/// Taps for C-simulation: they show each layer's output to the test bench.
///
/// C-simulation runs one process after the other, so between two processes a stream holds the whole
/// output of a layer. TRACE passes it to the tracer, if there is one, and leaves the stream as it
/// was. The synthesised design has no taps.
#pragma once

#ifdef __SYNTHESIS__
#define TRACE(block, layer, stream)
#else
#define TRACE(block, layer, stream) trace(block, layer, stream)

#include <algorithm>
#include <vector>

#include "stream.hpp"

/// Receives the output of every traced layer.
class Tracer {
 public:
  virtual ~Tracer() = default;
  /// \param block   Index of the block, or -1 outside of the blocks
  /// \param layer   Name of the layer inside the block, as in models/integer/resmlp.py
  /// \param values  The layer's whole output for one image
  virtual void see(int block, const char* layer, const std::vector<int8_t>& values) = 0;
};

/// The tracer in use, or null.
inline Tracer*& tracer() {
  static Tracer* current = nullptr;
  return current;
}

/// Take every element out of a stream.
template <int lanes>
std::vector<int8_t> contents(Stream<lanes>& stream) {
  std::vector<int8_t> values;
  while (!stream.empty()) {
    const Vector<lanes> word = stream.read();
    values.insert(values.end(), word.lane, word.lane + lanes);
  }
  return values;
}

/// Put `size` elements into a stream; `size` is a multiple of `lanes`.
template <int lanes>
void send(const int8_t* values, size_t size, Stream<lanes>& stream) {
  for (size_t i = 0; i < size; i += lanes) {
    Vector<lanes> word;
    std::copy(values + i, values + i + lanes, word.lane);
    stream.write(word);
  }
}

template <int lanes>
void trace(int block, const char* layer, Stream<lanes>& stream) {
  if (!tracer()) return;
  const std::vector<int8_t> values = contents(stream);
  tracer()->see(block, layer, values);
  send(values.data(), values.size(), stream);
}

#endif
