/// Binding of memories and multipliers to the resources that the estimate counts.
///
/// `plan` decides once where each memory lies and which multipliers are DSPs
/// (hls/plan/streaming/binding.py); design.hpp states the decisions, and the units pass them to
/// the tool with the helpers below. A pragma cannot contain a condition, so each choice selects one
/// of two inlined functions (as finn-hlslib's memory_resource and mul do).
#pragma once

#include <cstdint>

/// What a memory is built of: LUTs (as RAM, ROM or shift registers) or block RAM.
enum class Storage { lut, bram };

/// Binds a memory. The caller partitions the array.
/// \tparam storage  What the memory is built of
template <Storage storage>
struct Bind {
  /// A constant array, one read per cycle.
  template <class Array>
  static void rom(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = rom_1p impl = lutram
    (void)memory;  // a pragma does not count as a use
  }

  /// One write and one read per cycle.
  template <class Array>
  static void ram(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p impl = lutram
    (void)memory;
  }

  /// One write and several reads per cycle: one copy of the memory per reader.
  template <class Array>
  static void ram_of_several_readers(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_1wnr impl = lutram
    (void)memory;
  }

  template <class Fifo>
  static void fifo(Fifo& words) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = words type = fifo impl = srl
    (void)words;
  }
};

template <>
struct Bind<Storage::bram> {
  template <class Array>
  static void rom(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = rom_1p impl = bram
    (void)memory;
  }

  template <class Array>
  static void ram(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p impl = bram
    (void)memory;
  }

  template <class Array>
  static void ram_of_several_readers(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_1wnr impl = bram
    (void)memory;
  }

  template <class Fifo>
  static void fifo(Fifo& words) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = words type = fifo impl = bram
    (void)words;
  }
};

/// What multiplies two int8 values: a unit of the tool's choice, a DSP, or LUTs.
enum class Multiplier { tool, dsp, lut };

/// \tparam multiplier  What multiplies
template <Multiplier multiplier>
struct Multiply {
  /// The product of two int8 values; its magnitude is at most 2^14.
  static int16_t of(int8_t a, int8_t b) {
#pragma HLS INLINE
    return a * b;
  }
};

template <>
struct Multiply<Multiplier::dsp> {
  static int16_t of(int8_t a, int8_t b) {
#pragma HLS INLINE
    const int16_t product = a * b;
#pragma HLS BIND_OP variable = product op = mul impl = dsp
    return product;
  }
};

template <>
struct Multiply<Multiplier::lut> {
  static int16_t of(int8_t a, int8_t b) {
#pragma HLS INLINE
    const int16_t product = a * b;
#pragma HLS BIND_OP variable = product op = mul impl = fabric
    return product;
  }
};
