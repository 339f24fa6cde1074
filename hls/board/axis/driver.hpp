/// Driver of the accelerator behind AXI4-Streams for the test bench: one packet per call.
#pragma once

#include <cstdio>
#include <vector>

#include "resmlp_axis.hpp"
#include "trace.hpp"

/// Most images per call of the test bench.
constexpr int images_per_call = 4;

/// Classify images, which are one packet.
/// \param tokens  int8 patches: num_patches x patch_dim values per image
/// \param count   Number of images
/// \return        int8 scores: num_classes per image; fewer if TLAST is missing or too early
inline std::vector<int8_t> classify(const int8_t* tokens, int count) {
  constexpr int lanes = Design::lanes;
  const int words = count * Config::num_patches * Config::patch_dim / lanes;
  AxisStream<lanes> in("tokens");
  AxisStream<1> out("logits");
  for (int word = 0; word < words; ++word) {
    AxisWord<lanes> packet;
    for (int i = 0; i < lanes; ++i) {
      packet.data.range(8 * i + 7, 8 * i) = static_cast<uint8_t>(*tokens++);
    }
    packet.keep = packet.strb = -1;
    packet.last = word == words - 1;
    in.write(packet);
  }
  for (int image = 0; image < count; ++image) resmlp_axis(in, out);
  std::vector<int8_t> scores;
  const size_t wanted = static_cast<size_t>(count) * Config::num_classes;
  while (!out.empty()) {
    const AxisWord<1> packet = out.read();
    scores.push_back(packet.data.to_int());
    if (packet.last != (scores.size() == wanted)) {
      std::printf("ERROR TLAST is %d on logit %d of %d\n", packet.last.to_int(),
                  static_cast<int>(scores.size()), static_cast<int>(wanted));
      scores.pop_back();
      while (!out.empty()) out.read();
    }
  }
  return scores;
}
