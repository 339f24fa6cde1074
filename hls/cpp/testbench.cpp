/// Test bench of both accelerators: compares C-simulation with numpy, bit by bit.
///
///     testbench
///     testbench TOKENS LOGITS FIRST COUNT
///
/// It compares every layer's output of the golden samples. With arguments it also runs the samples
/// again in calls of several images, and compares the logits of COUNT images of the files.
///
/// Each accelerator has its own driver.hpp, which classifies up to images_per_call images per call.
/// Without arguments every call has one image. The HLS tool runs it this way, so co-simulation
/// measures the cycles of one image. TOKENS and LOGITS are files of int8 values, image after image;
/// FIRST is the index of the first image to run.
///
/// In co-simulation only the outputs of the RTL are in sight: the HLS tool runs main() a second
/// time, with a top function that returns what the simulated RTL gave, so no layer is traced and
/// C++ streams prove nothing. RTL_SIM says that this is the case (both tool flows define it for
/// co-simulation alone). Then a run without any trace compares the logits only.
///
/// Returns 0 if all values are equal and every stream is empty at the end; 1 after a difference,
/// with the position of the first one on stdout; 2 after a wrong command line or a file that is too
/// short.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

#include "config.hpp"
#include "driver.hpp"
#include "golden.hpp"
#include "trace.hpp"

namespace {

constexpr int image_size = Config::num_patches * Config::patch_dim;
long num_mismatches = 0;

#ifdef RTL_SIM
constexpr bool in_cosimulation = true;
#else
constexpr bool in_cosimulation = false;
#endif

/// Count a difference; print only the first one.
void report(const std::string& where, const std::string& what) {
  if (num_mismatches++ == 0) {
    std::printf("MISMATCH %s: %s\n", where.c_str(), what.c_str());
  }
}

/// Compare a layer's output with the golden one and report every difference.
void check_layer(const char* layer, int image, int channels, const std::vector<int8_t>& got,
                 const int8_t* want, size_t size) {
  const std::string where = std::string(layer) + ", image " + std::to_string(image);
  if (got.size() != size) {
    report(where, std::to_string(got.size()) + " values, want " + std::to_string(size));
  }
  for (size_t i = 0; i < got.size() && i < size; ++i) {
    if (got[i] == want[i]) continue;
    report(where + ", token " + std::to_string(i / channels) + ", channel " +
               std::to_string(i % channels),
           "got " + std::to_string(got[i]) + ", want " + std::to_string(want[i]));
  }
}

/// Compares the tapped outputs with golden.hpp.
class GoldenTracer : public Tracer {
 public:
  int image = 0;
  std::vector<int> seen = std::vector<int>(sizeof(golden_taps) / sizeof(golden_taps[0]));

  void see(int block, const char* layer, const std::vector<int8_t>& values) override {
    const std::string prefix = block < 0 ? "" : "blocks_" + std::to_string(block) + "_";
    for (size_t i = 0; i < seen.size(); ++i) {
      const GoldenTap& tap = golden_taps[i];
      if (prefix + layer != tap.layer || image >= tap.samples) continue;
      const size_t size = tap.vectors * tap.channels;
      check_layer(tap.layer, image, tap.channels, values, tap.values + image * size, size);
      ++seen[i];
    }
  }

  /// Check that every tap of golden.hpp was traced once per sample. In co-simulation the RTL shows
  /// none of them.
  void check_all_seen() const {
    const bool any = std::any_of(seen.begin(), seen.end(), [](int times) { return times > 0; });
    if (!any) {
      if (!in_cosimulation) report("layers", "none was traced; co-simulation needs -DRTL_SIM");
      return;
    }
    for (size_t i = 0; i < seen.size(); ++i) {
      if (seen[i] == golden_taps[i].samples) continue;
      report(golden_taps[i].layer, "traced " + std::to_string(seen[i]) + " times, want " +
                                       std::to_string(golden_taps[i].samples));
    }
  }
};

/// Collects the warnings that the stream model prints: reads of an empty stream, leftover data. In
/// co-simulation the tool's wrapper of the top function writes to stdout, too; its text passes.
class StreamWarnings {
 public:
  StreamWarnings() : stdout_buffer_(std::cout.rdbuf()) {
    if (!in_cosimulation) std::cout.rdbuf(text_.rdbuf());
  }
  ~StreamWarnings() { std::cout.rdbuf(stdout_buffer_); }

  void check(const std::string& where) {
    if (text_.tellp() > 0) report(where, text_.str());
    text_.str("");
  }

 private:
  std::ostringstream text_;
  std::streambuf* stdout_buffer_;
};

/// Classify images in one call and compare their logits; `first` is the index of the first image.
void run_images(const std::string& name, int first, int count, const int8_t* tokens,
                const int8_t* logits, StreamWarnings& warnings) {
  const std::vector<int8_t> got = classify(tokens, count);
  const std::string where = name + ", image " + std::to_string(first);
  if (got.size() != static_cast<size_t>(count) * Config::num_classes) {
    report(where, std::to_string(got.size()) + " logits of " + std::to_string(count) + " images");
  }
  for (int i = 0; i < count; ++i) {
    const auto begin = got.begin() + std::min<size_t>(i * Config::num_classes, got.size());
    const auto end = got.begin() + std::min<size_t>((i + 1) * Config::num_classes, got.size());
    check_layer(name.c_str(), first + i, Config::num_classes, {begin, end},
                logits + i * Config::num_classes, Config::num_classes);
  }
  warnings.check(where);
}

/// Classify the samples one by one and compare all layers.
void run_golden_samples(StreamWarnings& warnings) {
  GoldenTracer golden;
  tracer() = &golden;
  for (int i = 0; i < num_samples; ++i) {
    golden.image = i;
    run_images("samples_output", i, 1, &samples_input[i][0][0], samples_output[i], warnings);
  }
  tracer() = nullptr;
  golden.check_all_seen();
}

/// Classify the samples in calls of several images, if the accelerator supports that.
void run_golden_calls(StreamWarnings& warnings) {
  if (images_per_call == 1) return;
  for (int i = 0; i < num_samples; i += images_per_call) {
    run_images("samples_output", i, std::min(images_per_call, num_samples - i),
               &samples_input[i][0][0], samples_output[i], warnings);
  }
}

/// Classify images of the files as the arguments request; return false if a file is too short.
bool run_files(char** argv, StreamWarnings& warnings) {
  const long first = std::atol(argv[3]), end = first + std::atol(argv[4]);
  std::ifstream tokens_file(argv[1], std::ios::binary), logits_file(argv[2], std::ios::binary);
  tokens_file.seekg(first * image_size);
  logits_file.seekg(first * Config::num_classes);
  for (long i = first; i < end; i += images_per_call) {
    const int count = std::min<long>(images_per_call, end - i);
    std::vector<int8_t> tokens(count * image_size), logits(count * Config::num_classes);
    tokens_file.read(reinterpret_cast<char*>(tokens.data()), tokens.size());
    logits_file.read(reinterpret_cast<char*>(logits.data()), logits.size());
    if (!tokens_file || !logits_file) {
      std::printf("ERROR %s or %s ends before image %ld\n", argv[1], argv[2],
                  i + std::min<long>(tokens_file.gcount() / image_size,
                                     logits_file.gcount() / Config::num_classes));
      return false;
    }
    run_images("logits", i, count, tokens.data(), logits.data(), warnings);
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 1 && argc != 5) {
    std::printf("usage: %s [TOKENS LOGITS FIRST COUNT]\n", argv[0]);
    return 2;
  }
  StreamWarnings warnings;
  run_golden_samples(warnings);
  if (argc == 5) {
    run_golden_calls(warnings);
    if (!run_files(argv, warnings)) return 2;
  }
  const long images = num_samples + (argc == 5 ? std::atol(argv[4]) : 0);
  std::printf("%s images %ld mismatches %ld\n", num_mismatches ? "FAIL" : "PASS", images,
              num_mismatches);
  return num_mismatches ? 1 : 0;
}
