/// Driver of the fixed-size accelerator for the test bench: fills its memories with parameters and
/// images, calls it and reads the logits.
#pragma once

#include <algorithm>
#include <vector>

#include "parameters.hpp"
#include "resmlp_simd.hpp"

/// Classify up to images_per_call images in one call.
/// \param tokens  int8 patches: num_patches x patch_dim values per image
/// \param count   Number of images
/// \return        int8 scores: num_classes per image
inline std::vector<int8_t> classify(const int8_t* tokens, int count) {
  static_assert(sizeof(parameters) == parameter_words * sizeof(Word),
                "parameters.hpp is of another network or array");
  std::vector<Word> images(image_words), logits(logit_words);
  int8_t* patch = reinterpret_cast<int8_t*>(images.data());
  for (int i = 0; i < count * Config::num_patches; ++i) {
    std::copy(tokens, tokens + Config::patch_dim, patch);
    tokens += Config::patch_dim;
    patch += Network::token_words * sizeof(Word);
  }
  resmlp_simd(reinterpret_cast<const Word*>(parameters), images.data(), logits.data(), count);
  const int8_t* values = reinterpret_cast<const int8_t*>(logits.data());
  std::vector<int8_t> scores;
  for (int image = 0; image < count; ++image) {
    scores.insert(scores.end(), values, values + Config::num_classes);
    values += Network::logit_words * sizeof(Word);
  }
  return scores;
}
