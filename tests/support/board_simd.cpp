// The SIMD kernel on its memories, as a program: the stand-in for a card or a board.
//     board_simd PARAMETERS IMAGES LOGITS COUNT
#include <cstdlib>
#include <fstream>
#include <vector>

#include "resmlp_simd.hpp"

int main(int, char** argv) {
  const int count = std::atoi(argv[4]);
  std::vector<Word> parameters(Network::parameter_words()), images(count * Network::image_words),
      logits(count * Network::logit_words);
  std::ifstream first(argv[1], std::ios::binary), second(argv[2], std::ios::binary);
  first.read(reinterpret_cast<char*>(parameters.data()), parameters.size() * sizeof(Word));
  second.read(reinterpret_cast<char*>(images.data()), images.size() * sizeof(Word));
  resmlp_simd(parameters.data(), images.data(), logits.data(), count);
  std::ofstream out(argv[3], std::ios::binary);
  out.write(reinterpret_cast<const char*>(logits.data()), logits.size() * sizeof(Word));
  return first && second ? 0 : 1;
}
