/// The fixed-size accelerator: images in memory, their class scores in memory.
#pragma once

#include "config.hpp"
#include "design.hpp"
#include "program.hpp"
#include "stream.hpp"

/// What a memory port moves in a cycle: as many int8 values as the array has columns.
using Word = Vector<Design::columns>;

/// Images in a call of the test bench, at most: co-simulation copies memory for as many.
constexpr int images_per_call = 8;

/// \param parameters  All parameters in the order of their use (hls/simd_parameters.py)
/// \param images      int8 patches, image after image: each patch begins a word
/// \param logits      int8 scores, image after image, each image begins a word
/// \param count       Images
void resmlp_simd(const Word* parameters, const Word* images, Word* logits, int count);
