// Drives resmlp_top through its two streams, compares every logit and counts cycles.
//
//     simulation TOKENS LOGITS FIRST COUNT PAUSE [+trace]
//
// TOKENS and LOGITS are files of int8 values, image after image; FIRST and COUNT choose images.
// PAUSE of 256 cycles both streams wait, each at random. The last line is
//     images N mismatches N latency CYCLES interval CYCLES cycles CYCLES
// where the interval is the mean over all images after the first; 0 with one image.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

namespace {

std::vector<int8_t> read_part(const char* path, size_t first, size_t count) {
  std::ifstream file(path, std::ios::binary);
  file.seekg(static_cast<std::streamoff>(first));
  std::vector<int8_t> values(count);
  file.read(reinterpret_cast<char*>(values.data()), static_cast<std::streamsize>(count));
  if (!file) std::printf("%s is shorter than expected\n", path), std::exit(2);
  return values;
}

/// A linear congruential generator, so that a run with pauses can be repeated.
class Pauses {
 public:
  Pauses(uint32_t seed, uint32_t of_256) : state_(seed), of_256_(of_256) {}
  bool now() {
    if (of_256_ == 0) return false;
    state_ = state_ * 1664525u + 1013904223u;
    return (state_ >> 16 & 0xFF) < of_256_;
  }

 private:
  uint32_t state_, of_256_;
};

}  // namespace

int main(int argc, char** argv) {
  Verilated::commandArgs(argc, argv);
  const size_t first = std::strtoul(argv[3], nullptr, 10),
               images = std::strtoul(argv[4], nullptr, 10);
  const auto pause = static_cast<uint32_t>(std::strtoul(argv[5], nullptr, 10));
  const size_t image = IMAGE_ELEMENTS, classes = CLASSES;
  const auto tokens = read_part(argv[1], first * image, images * image);
  const auto logits = read_part(argv[2], first * classes, images * classes);

  Vtop top;
  constexpr size_t lanes = sizeof(top.tokens_TDATA) < LANES ? sizeof(top.tokens_TDATA) : LANES;
  static_assert(lanes == LANES, "tokens_TDATA must hold LANES elements");
  const auto edge = [&top] {
    top.ap_clk = 1;
    top.eval();
    top.ap_clk = 0;
    top.eval();
  };
  top.ap_clk = 0;
  top.ap_rst_n = 0;
  top.tokens_TVALID = 0;
  top.logits_TREADY = 0;
  top.eval();
  edge();
  edge();
  top.ap_rst_n = 1;
  edge();

  Pauses source(1, pause), sink(2, pause);
  size_t sent = 0, got = 0, wrong = 0;
  uint64_t cycle = 0, begin = 0, first_end = 0, last_end = 0, last_move = 0;
  while (got < logits.size()) {
    // A word that was offered stays until it is taken.
    top.tokens_TVALID = sent < tokens.size() && (top.tokens_TVALID || !source.now());
    if (top.tokens_TVALID) std::memcpy(&top.tokens_TDATA, &tokens[sent], lanes);
    top.logits_TREADY = !sink.now();
    top.eval();
    const bool take = top.tokens_TVALID && top.tokens_TREADY;
    if (take) {
      if (sent == 0) begin = cycle;
      sent += lanes;
      last_move = cycle;
    }
    if (top.logits_TVALID && top.logits_TREADY) {
      const auto value = static_cast<int8_t>(top.logits_TDATA);
      const bool last = got % classes == classes - 1;
      if ((value != logits[got] || last != static_cast<bool>(top.logits_TLAST)) && wrong++ < 5)
        std::printf("MISMATCH image %zu logit %zu: %d, not %d (TLAST %d)\n", first + got / classes,
                    got % classes, value, logits[got], top.logits_TLAST);
      if (last) {
        last_end = cycle;
        if (got < classes) first_end = cycle;
      }
      ++got;
      last_move = cycle;
    }
    edge();
    if (take) top.tokens_TVALID = 0;
    ++cycle;
    if (cycle - last_move > 10000000) {
      std::printf("MISMATCH stuck: %zu elements sent, %zu logits received\n", sent, got);
      break;
    }
  }
  top.final();
  const double interval =
      images > 1 ? static_cast<double>(last_end - first_end) / static_cast<double>(images - 1) : 0;
  std::printf("images %zu mismatches %zu latency %llu interval %.3f cycles %llu\n", got / classes,
              wrong, static_cast<unsigned long long>(first_end - begin + 1), interval,
              static_cast<unsigned long long>(cycle));
  return wrong != 0 || got < logits.size();
}
