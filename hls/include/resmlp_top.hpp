/// The accelerator: one image in, its class scores out.
#pragma once

#include "stream.hpp"

/// \param tokens  int8 patches of one image: num_patches x patch_dim elements, patch by patch
/// \param logits  int8 scores: num_classes elements
void resmlp_top(Stream& tokens, Stream& logits);
