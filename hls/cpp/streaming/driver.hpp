/// Driver of the streaming accelerator for the test bench: sends one image per call.
#pragma once

#include <vector>

#include "config.hpp"
#include "resmlp_top.hpp"
#include "trace.hpp"

/// Most images per call of the test bench.
constexpr int images_per_call = 1;

/// Classify images.
/// \param tokens  int8 patches: num_patches x patch_dim values per image
/// \param count   Number of images
/// \return        int8 scores: num_classes per image
inline std::vector<int8_t> classify(const int8_t* tokens, int count) {
  constexpr int image_size = Config::num_patches * Config::patch_dim;
  std::vector<int8_t> scores;
  for (int image = 0; image < count; ++image) {
    Stream<Design::lanes> in("tokens");
    Stream<1> out("logits");
    send(tokens + image * image_size, image_size, in);
    resmlp_top(in, out);
    const std::vector<int8_t> values = contents(out);
    scores.insert(scores.end(), values.begin(), values.end());
  }
  return scores;
}
