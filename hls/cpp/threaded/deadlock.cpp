/// Deadlock check: runs the streaming accelerator as threads with bounded FIFOs (hls_stream.h).
///
///     deadlock TOKENS LOGITS COUNT [STREAM=DEPTH ...]
///
/// Streams COUNT images of the files through the accelerator without a pause. STREAM is the name of
/// a stream in the source; DEPTH replaces the depth of its FIFOs. Prints COMPLETE or DEADLOCK, the
/// level of every FIFO and the processes that wait. Returns 0 if all logits arrived and are
/// correct, 1 after a deadlock, 2 if a logit is wrong or the files are too short.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "config.hpp"
#include "resmlp_top.hpp"
#include "trace.hpp"

namespace {

/// Reads a file of int8 values, one image per call of `next`.
class Images {
 public:
  Images(const char* path, int size) : file_(path, std::ios::binary), values_(size) {}

  const std::vector<int8_t>& next() {
    if (!file_.read(reinterpret_cast<char*>(values_.data()), values_.size())) {
      std::puts("ERROR the files hold fewer images");
      std::exit(2);
    }
    return values_;
  }

 private:
  std::ifstream file_;
  std::vector<int8_t> values_;
};

void send_image(Images& images, Stream<Design::lanes>& tokens) {
  const std::vector<int8_t>& values = images.next();
  send(values.data(), values.size(), tokens);
}

void receive_logits(Images& images, Stream<1>& logits, long& mismatches) {
  for (const int8_t want : images.next()) mismatches += logits.read().lane[0] != want;
}

long run(const char* tokens_path, const char* logits_path) {
  Images images(tokens_path, Config::num_patches * Config::patch_dim);
  Images expected(logits_path, Config::num_classes);
  long mismatches = 0;
  {
    Stream<Design::lanes> tokens("tokens");
    Stream<1> logits("logits");
    tokens.set_depth(Design::link_depth);
    logits.set_depth(Design::link_depth);
    PROCESS(send_image(images, tokens));
    REGION(resmlp_top(tokens, logits));
    PROCESS(receive_logits(expected, logits, mismatches));
  }
  return mismatches;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::printf("usage: %s TOKENS LOGITS COUNT [STREAM=DEPTH ...]\n", argv[0]);
    return 2;
  }
  network::images = std::atol(argv[3]);
  for (int i = 4; i < argc; ++i) {
    const std::string option = argv[i];
    const size_t equals = option.find('=');
    network::depths[option.substr(0, equals)] = std::atoi(option.c_str() + equals + 1);
  }
  const long mismatches = run(argv[1], argv[2]);
  std::printf("COMPLETE images %ld mismatches %ld\n", network::images, mismatches);
  network::print_state();
  return mismatches ? 2 : 0;
}
