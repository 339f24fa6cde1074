/// Taps for C-simulation: a test bench sees each layer's output as it lies in the stream.
///
/// C-simulation runs one process after the other, so between two of them a stream holds the whole
/// output of a layer. TRACE shows it to the tracer, if there is one, and changes nothing; the
/// synthesised design has no taps.
#pragma once

#ifdef __SYNTHESIS__
#define TRACE(block, layer, stream)
#else
#define TRACE(block, layer, stream) trace(block, layer, stream)

#include "stream.hpp"

/// Receives the output of every traced layer.
class Tracer {
 public:
  virtual ~Tracer() = default;
  /// \param block   Index of the block, or -1 outside of the blocks
  /// \param layer   Name of the layer inside the block, as in models/int_resmlp.py
  /// \param stream  Its whole output for one image; must be left as found
  virtual void see(int block, const char* layer, Stream& stream) = 0;
};

/// The tracer in use, or null.
inline Tracer*& tracer() {
  static Tracer* current = nullptr;
  return current;
}

inline void trace(int block, const char* layer, Stream& stream) {
  if (tracer()) tracer()->see(block, layer, stream);
}

#endif
