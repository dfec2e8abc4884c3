// thread_usage: what the thread that asks has had of the processors: time on one, and time spent ready to run while none
// was free. What is left of the wall clock's time it was blocked.
//
//   usage.worked(stage, 40'000);       // 40 µs of this thread's time were this stage's
//   usage.settle(now);                 // at most once a millisecond: looks, and shares out what was used
//
// A look costs 1.5 µs, so it is taken once a millisecond, and what it finds is shared among the stages by the time they
// had: exact where one stage had all of it.
//
// THREADS  Belongs to one thread; settle() is called on it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <penstock/base/system.hpp>

namespace penstock {

class node;

class thread_usage {
 public:
  thread_usage() = default;

  void worked(node& at, std::int64_t ns) noexcept;
  // If a millisecond has passed since the last look, or `at_once`.
  void settle(std::int64_t now, bool at_once = false) noexcept {
    if (now - looked_ >= 1'000'000 || at_once) look(now);
  }
  // Of the time since the last look, how much the thread waited for a processor. 0 where the kernel does not say.
  [[nodiscard]] std::int64_t crowded_since_look() noexcept;

 private:
  void look(std::int64_t now) noexcept;

  system::thread_clock clock_;
  std::int64_t looked_ = 0;
  system::thread_clock::times last_;
  std::vector<std::pair<node*, std::int64_t>> shares_;  // since the last look
};

}  // namespace penstock
