/// The streaming accelerator: reads one image and writes its class scores.
#pragma once

#include "design.hpp"
#include "stream.hpp"

/// It has C linkage, as `v++` and the tools' wrappers look it up by its plain name.
/// \param tokens  int8 patches of one image: num_patches x patch_dim elements, patch by patch
/// \param logits  int8 scores: num_classes elements, one per word
extern "C" void resmlp_top(Stream<Design::lanes>& tokens, Stream<1>& logits);
