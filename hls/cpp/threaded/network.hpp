/// Threads and bounded FIFOs for the deadlock check. Tracks which process waits for which FIFO, and
/// reports a deadlock when no process can continue.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace network {

using Lock = std::unique_lock<std::mutex>;  // one lock for all FIFOs: few threads run at a time

/// Number of images that each process handles.
extern long images;
/// Depths, in words, that replace those of the source; keys are the stream names in the source.
extern std::map<std::string, int> depths;

/// State of one thread: its position in the design, and the FIFO for which it waits.
struct Thread {
  int block = -1;          // index of the block; -1 outside of the blocks
  std::string layer;       // name of the linear layer; empty outside of one
  std::string name;        // name of the process
  const char* lacks = "";  // "a word in" or "room in" ...
  std::string fifo;        // ... this FIFO; empty if it waits for no FIFO
  bool waits = false;
  bool ended = false;
  Thread* parent = nullptr;
  std::condition_variable wake;
};

/// Fill level, depth and high-water mark of a FIFO, in words.
struct Level {
  int words = 0;
  int depth = 2;  // the HLS compiler's default
  int high_water = 0;
};

/// A FIFO without its contents: its level and the threads that wait at its two ends.
class Fifo {
 public:
  explicit Fifo(const std::string& name);
  Fifo(const Fifo&) = delete;
  Fifo& operator=(const Fifo&) = delete;

  void set_depth(int words);
  /// Wait until there is a word, and count it as taken; returns holding the lock.
  Lock wait_for_word();
  /// Wait until there is room, and count it as filled; returns holding the lock.
  Lock wait_for_room();

 private:
  void wait(Lock& lock, Thread*& end, const char* lacks);

  const std::string stream_, name_;
  Level& level_;
  Thread* reader_ = nullptr;  // the thread that waits for a word, or null
  Thread* writer_ = nullptr;  // the thread that waits for room, or null
};

/// A call of a dataflow region in its own thread; the destructor waits until the thread ends.
class Process {
 public:
  /// \param call     Source text of the call. It contains the function's name and, for a linear
  ///                 layer, the layer's name as Design::<layer>_fold.
  /// \param repeats  true: `body` handles one image and is called once per image; false: once
  /// \param body     The call itself
  Process(const std::string& call, bool repeats, const std::function<void()>& body);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

 private:
  Thread state_;
  std::thread thread_;
};

/// Print the level of every FIFO, and the FIFO for which each process waits.
void print_state();

}  // namespace network
