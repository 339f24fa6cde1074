/// Binding of memories: LUTs up to lut_memory_words words, block RAM above that.
///
/// 256 words are the deepest two-port memory that fits in one slice of LUTs. A deeper one needs
/// multiplexers, at least 40 LUTs for 8 bits; a block RAM of 18 kbit has 2048 words of 8 bits.
/// hls/plan/simd/resources.py uses the same rule.
#pragma once

constexpr int lut_memory_words = 256;

/// Binds a memory to LUTs or block RAM. A pragma cannot contain a condition, so the choice is made
/// by selecting one of two inlined functions (as finn-hlslib's memory_resource does). The caller
/// partitions the array.
/// \tparam in_luts  Whether the memory is shallow enough for LUTs
template <bool in_luts>
struct Memory {
  /// One write and one read per cycle.
  template <class Array>
  static void one_reader(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p impl = lutram
    (void)memory;  // a pragma does not count as a use
  }

  /// One write and several reads per cycle: one copy of the memory per reader.
  template <class Array>
  static void several_readers(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_1wnr impl = lutram
    (void)memory;
  }
};

template <>
struct Memory<false> {
  template <class Array>
  static void one_reader(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p impl = bram
    (void)memory;
  }

  template <class Array>
  static void several_readers(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_1wnr impl = bram
    (void)memory;
  }
};

/// \tparam words  Words of one memory
template <int words>
using MemoryOf = Memory<words <= lut_memory_words>;
