/// What the memories of the SIMD processor are built of: LUTs up to lut_memory_words words, block
/// RAM above that.
///
/// 256 words are the deepest two-port memory that fits in one slice of LUTs. A deeper one needs
/// multiplexers, at least 40 LUTs for 8 bits; a block RAM of 18 kbit has 2048 words of 8 bits.
/// hls/plan/simd/resources.py uses the same rule.
#pragma once

#include "storage.hpp"

constexpr int lut_memory_words = 256;

/// \tparam words  Words of one memory; the caller partitions the array
template <int words>
using BindWords = Bind<(words <= lut_memory_words) ? Storage::lut : Storage::bram>;
