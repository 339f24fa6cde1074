/// hls::stream as bounded, blocking FIFOs, and the calls of dataflow regions as threads.
///
/// Found instead of the tool's header, it turns the accelerator's source into the process network
/// that the hardware is: PROCESS runs a unit in a thread of its own, again for every image; REGION
/// runs the units inside. A read waits for a word and a write for room. If all processes wait, it
/// is a deadlock. Whether it comes to that does not depend on how the threads are scheduled (a Kahn
/// network); the high-water marks do.
///
/// A transpose is one process here, that stores a map and then sends it: no less than the hardware,
/// which overlaps the two, needs from the FIFOs.
#pragma once

#include <deque>

#include "network.hpp"

#define PROCESS(...) AS_THREAD(__LINE__, true, __VA_ARGS__)
#define REGION(...) AS_THREAD(__LINE__, false, __VA_ARGS__)
#define AS_THREAD(line, repeats, ...) AS_NAMED_THREAD(line, repeats, __VA_ARGS__)
#define AS_NAMED_THREAD(line, repeats, ...) \
  const network::Process process_##line(#__VA_ARGS__, repeats, [&] { __VA_ARGS__; })

namespace hls {

/// \tparam Word  What a write puts in and a read takes out
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
