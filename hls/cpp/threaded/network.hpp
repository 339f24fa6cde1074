/// Processes that wait for each other at FIFOs: who may run, who waits for what, and whether
/// anybody is left who can go on.
#pragma once

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>

namespace network {

using Lock = std::unique_lock<std::mutex>;  // of all FIFOs at once: few threads run anyway

/// Images that each process handles.
extern long images;
/// Depths, in words, that replace those of the source, by the name of the stream there.
extern std::map<std::string, int> depths;

/// One thread: where it is in the design, and what it waits for.
struct Thread {
  int block = -1;          // index of the block; -1 outside of the blocks
  std::string layer;       // linear layer, where it is inside of one
  std::string name;        // of the process
  const char* lacks = "";  // "a word in" or "room in" ...
  std::string fifo;        // ... this FIFO; empty if it waits for no FIFO
  bool waits = false;
  bool ended = false;
  Thread* parent = nullptr;
  std::condition_variable wake;
};

/// How full a FIFO is, in words.
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
  Thread* reader_ = nullptr;  // that waits for a word
  Thread* writer_ = nullptr;  // that waits for room
};

/// A call of a dataflow region, in a thread that ends before this object does.
class Process {
 public:
  /// \param call     Its source text: the name of the function, and the layer's as Design::..._pe
  /// \param repeats  Whether it handles one image and is called again for each
  Process(const std::string& call, bool repeats, const std::function<void()>& body);
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

 private:
  Thread state_;
  std::thread thread_;
};

/// Print the level of every FIFO, and what each process waits for.
void print_state();

}  // namespace network
