/// Where a memory lies: in LUTs up to lut_memory_words words, in block RAM if it is deeper.
///
/// 256 words are the deepest memory with two ports that one slice of LUTs makes. Beyond, logic has
/// to choose among several, 40 LUTs and more for 8 bits; a block RAM of 18 kbit has 2048 such
/// words. hls/plan/simd/resources.py counts by the same rule.
#pragma once

constexpr int lut_memory_words = 256;

/// Tells the tool, which knows no condition in a pragma, by the choice of a function that is
/// inlined (as finn-hlslib's memory_resource does). The array is partitioned where it stands.
/// \tparam in_luts  Whether it is shallow enough for LUTs
template <bool in_luts>
struct Memory {
  /// One word is written and one read in a cycle.
  template <class Array>
  static void one_reader(Array& memory) {
#pragma HLS INLINE
#pragma HLS BIND_STORAGE variable = memory type = ram_s2p impl = lutram
    (void)memory;  // a pragma does not count as a use
  }

  /// One word is written and several are read in a cycle: a copy of the memory for each reader.
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
