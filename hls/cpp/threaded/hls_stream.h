/// hls::stream as a bounded, blocking FIFO, and the calls of dataflow regions as threads.
///
/// This header replaces the tool's hls_stream.h and turns the accelerator's source into a process
/// network, as in hardware. PROCESS runs a unit in its own thread, once per image; REGION runs the
/// units of a nested region. A read waits for a word, a write waits for room. If all processes
/// wait, the design deadlocks. This result does not depend on the scheduling of the threads (a Kahn
/// network); the high-water marks do.
///
/// Here a transpose is one process that stores a map and then sends it. The hardware overlaps the
/// two, so the check demands at least as much of the FIFOs as the hardware does.
#pragma once

#include <deque>

#include "network.hpp"

#define PROCESS(...) AS_THREAD(__LINE__, true, __VA_ARGS__)
#define REGION(...) AS_THREAD(__LINE__, false, __VA_ARGS__)
#define AS_THREAD(line, repeats, ...) AS_NAMED_THREAD(line, repeats, __VA_ARGS__)
#define AS_NAMED_THREAD(line, repeats, ...) \
  const network::Process process_##line(#__VA_ARGS__, repeats, [&] { __VA_ARGS__; })

namespace hls {

/// \tparam Word  Type of the words in the FIFO
template <class Word>
class stream {
 public:
  explicit stream(const char* name) : fifo_(name) {}

  Word read() {
    const network::Lock lock = fifo_.wait_for_word();
    const Word word = words_.front();
    words_.pop_front();
    return word;
  }

  void write(const Word& word) {
    const network::Lock lock = fifo_.wait_for_room();
    words_.push_back(word);
  }

  bool empty() const { return words_.empty(); }
  void set_depth(int words) { fifo_.set_depth(words); }

 private:
  network::Fifo fifo_;
  std::deque<Word> words_;
};

}  // namespace hls
