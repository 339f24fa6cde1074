// The streaming kernel between its movers, as a program: the stand-in for a card or a board.
//     board_stream TOKENS LOGITS IMAGES    (prints the number of the logit that has TLAST)
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <vector>

#include "resmlp_axis.hpp"

extern "C" void mm2s(const ap_uint<8 * Design::lanes>*, unsigned, AxisStream<Design::lanes>&);
extern "C" void s2mm(ap_uint<8>*, unsigned, AxisStream<1>&);

int main(int, char** argv) {
  const int images = std::atoi(argv[3]);
  const size_t words = size_t(images) * Config::num_patches * Config::patch_dim / Design::lanes;
  std::vector<ap_uint<8 * Design::lanes>> memory(words);
  std::ifstream in(argv[1], std::ios::binary);
  for (auto& word : memory) {
    for (int i = 0; i < Design::lanes; ++i) word.range(8 * i + 7, 8 * i) = in.get();
  }
  AxisStream<Design::lanes> tokens("tokens");
  AxisStream<1> logits("logits"), again("again");
  mm2s(memory.data(), words, tokens);
  for (int image = 0; image < images; ++image) resmlp_axis(tokens, logits);
  int count = 0;
  while (!logits.empty()) {
    const AxisWord<1> packet = logits.read();
    ++count;
    if (packet.last) std::printf("TLAST %d\n", count);
    again.write(packet);
  }
  std::vector<ap_uint<8>> scores(images * Config::num_classes);
  s2mm(scores.data(), scores.size(), again);
  std::ofstream out(argv[2], std::ios::binary);
  for (const auto& score : scores) out.put(score.to_int());
  return in ? 0 : 1;
}
