/// The top functions as co-simulation's second run of the test bench sees them: no C++ of the
/// design runs; what the simulated RTL gave comes back. Here the RTL gives the golden logits,
/// except one if WRONG_LOGIT is set in the environment: image 1, logit 2.
#include <cstdlib>
#include <cstring>

#include "config.hpp"
#include "golden.hpp"

namespace {

/// Return the logits of the next image.
const int8_t* next_logits() {
  static int image = 0;
  static int8_t logits[Config::num_classes];
  std::memcpy(logits, samples_output[image], sizeof logits);
  if (image == 1 && std::getenv("WRONG_LOGIT")) logits[2] ^= 1;
  ++image;
  return logits;
}

}  // namespace

#ifdef SIMD
#include "resmlp_simd.hpp"

void resmlp_simd(const Word*, const Word*, Word* logits, int count) {
  int8_t* values = reinterpret_cast<int8_t*>(logits);
  for (int image = 0; image < count; ++image) {
    std::memcpy(values + image * Network::logit_words * sizeof(Word), next_logits(),
                Config::num_classes);
  }
}
#else
#include "resmlp_top.hpp"

void resmlp_top(Stream<Design::lanes>& tokens, Stream<1>& logits) {
  while (!tokens.empty()) tokens.read();
  const int8_t* values = next_logits();
  for (int i = 0; i < Config::num_classes; ++i) {
    Vector<1> word;
    word.lane[0] = values[i];
    logits.write(word);
  }
}
#endif
