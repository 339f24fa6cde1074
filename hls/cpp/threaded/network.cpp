/// Implementation of network.hpp. One mutex guards all variables of this file.
#include "network.hpp"

#include <cstdio>
#include <cstdlib>
#include <set>

namespace network {

long images = 1;
std::map<std::string, int> depths;

namespace {

std::mutex mutex;
int num_running = 1;                  // threads that do not wait; starts with the main thread
std::map<std::string, Level> levels;  // levels of all FIFOs, by name
std::set<const Thread*> threads;
thread_local Thread main_thread;
thread_local Thread* self = &main_thread;

/// Wake a waiting thread.
void resume(Thread* thread) {
  thread->waits = false;
  thread->fifo.clear();
  ++num_running;
  thread->wake.notify_one();
}

/// Block until another thread calls `resume`. If no thread is left running, report the deadlock.
void stand_still(Lock& lock) {
  self->waits = true;
  if (--num_running == 0) {
    std::puts("DEADLOCK");
    print_state();
    std::fflush(stdout);
    std::_Exit(1);
  }
  self->wake.wait(lock, [] { return !self->waits; });
}

/// Return the part of `text` between `begin` and `end`; empty if one of them is missing.
std::string between(const std::string& text, const std::string& begin, const std::string& end) {
  const size_t start = text.find(begin);
  if (start == std::string::npos) return "";
  const size_t first = start + begin.size(), last = text.find(end, first);
  return last == std::string::npos ? "" : text.substr(first, last - first);
}

std::string prefix(const Thread& thread) {
  const std::string block = thread.block < 0 ? "" : "blocks_" + std::to_string(thread.block) + "_";
  return thread.layer.empty() ? block : block + thread.layer + "_";
}

}  // namespace

Fifo::Fifo(const std::string& name)
    : stream_(name), name_(prefix(*self) + name), level_((Lock(mutex), levels[name_])) {
  set_depth(level_.depth);
}

void Fifo::set_depth(int words) {
  const Lock lock(mutex);
  const auto replaced = depths.find(stream_);
  level_.depth = replaced == depths.end() ? words : replaced->second;
}

void Fifo::wait(Lock& lock, Thread*& end, const char* lacks) {
  self->lacks = lacks;
  self->fifo = name_;
  end = self;
  stand_still(lock);
  end = nullptr;
}

Lock Fifo::wait_for_word() {
  Lock lock(mutex);
  if (level_.words == 0) wait(lock, reader_, "a word in");
  --level_.words;
  if (writer_ && writer_->waits) resume(writer_);
  return lock;
}

Lock Fifo::wait_for_room() {
  Lock lock(mutex);
  if (level_.words == level_.depth) wait(lock, writer_, "room in");
  ++level_.words;
  if (level_.words > level_.high_water) level_.high_water = level_.words;
  if (reader_ && reader_->waits) resume(reader_);
  return lock;
}

Process::Process(const std::string& call, bool repeats, const std::function<void()>& body) {
  const std::string function = call.substr(0, call.find_first_of("<("));
  const std::string layer = between(call, "Design::", "_fold");
  state_.parent = self;
  state_.block = self->block + (function == "Blocks");
  state_.layer = layer.empty() ? self->layer : layer;
  state_.name = prefix(state_) + function;
  const Lock lock(mutex);
  ++num_running;
  if (repeats) threads.insert(&state_);
  thread_ = std::thread([this, repeats, body] {
    self = &state_;
    for (long image = 0; image < (repeats ? images : 1); ++image) body();
    const Lock end(mutex);
    state_.ended = true;
    --num_running;
    if (state_.parent->waits && state_.parent->fifo.empty()) resume(state_.parent);
  });
}

Process::~Process() {
  {
    Lock lock(mutex);
    while (!state_.ended) stand_still(lock);
    threads.erase(&state_);
  }
  thread_.join();
}

void print_state() {
  for (const auto& entry : levels) {
    const Level& level = entry.second;
    std::printf("FIFO %s %d of %d words, %d at most\n", entry.first.c_str(), level.words,
                level.depth, level.high_water);
  }
  std::multimap<std::string, const Thread*> waiting;
  for (const Thread* thread : threads) {
    if (!thread->fifo.empty()) waiting.emplace(thread->name, thread);
  }
  for (const auto& entry : waiting) {
    const Thread& thread = *entry.second;
    std::printf("PROCESS %s waits for %s %s\n", thread.name.c_str(), thread.lacks,
                thread.fifo.c_str());
  }
}

}  // namespace network
