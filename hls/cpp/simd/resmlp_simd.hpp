/// The fixed-size accelerator: reads images from memory and writes their class scores to memory.
#pragma once

#include "config.hpp"
#include "design.hpp"
#include "program.hpp"
#include "stream.hpp"

/// The word of a memory port: as many int8 values as the array has columns.
using Word = Vector<Design::columns>;

/// Bits of a memory port: those of a word. Without this limit the Vitis flow widens ports to 512
/// bits, and then expects buffers that are aligned to 64 bytes.
constexpr int port_bits = 8 * Design::columns;

using Network = Program<Config, Design>;

// Words of each memory in the test bench, which passes up to images_per_call images per call. They
// are the depths of the ports, because co-simulation copies that many words.
constexpr int images_per_call = 8;
constexpr int parameter_words = Network::parameter_words();
constexpr int image_words = images_per_call * Network::image_words;
constexpr int logit_words = images_per_call * Network::logit_words;

/// It has C linkage, as `v++` and the tools' wrappers look it up by its plain name.
/// \param parameters  All parameters in the order of their use (hls/headers/simd_parameters.py)
/// \param images      int8 patches, image after image; each patch starts a new word
/// \param logits      int8 scores, image after image; each image starts a new word
/// \param count       Number of images
extern "C" void resmlp_simd(const Word* parameters, const Word* images, Word* logits, int count);
