// time_of_many: how long any number of things have been under way, added up. Ten that take a second each are ten seconds,
// whether one after the other or at once. Those that have not ended count as far as they have come.
//
//   time_of_many calls;
//   calls.one_more(now);  ...  calls.one_less(now);      // ns, of a clock that does not go back
//   calls.total(now);                                    // ns
//
// THREADS  One changes it; total() from any. While a change is being made it may be off by what has come since the last one.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>

namespace penstock {

class time_of_many {
 public:
  void one_more(std::int64_t now) noexcept { change(now, 1); }
  // REQUIRES: one is under way.
  void one_less(std::int64_t now) noexcept { change(now, -1); }
  [[nodiscard]] std::int64_t total(std::int64_t now) const noexcept {
    const std::int64_t since = now - changed_.load(std::memory_order_relaxed);
    return ended_.load(std::memory_order_relaxed) +
           count_.load(std::memory_order_relaxed) * std::max<std::int64_t>(0, since);
  }

 private:
  void change(std::int64_t now, std::int64_t by) noexcept {
    ended_.store(total(now), std::memory_order_relaxed);
    changed_.store(now, std::memory_order_relaxed);
    count_.store(count_.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
  }

  // Up to the last change, when that was, and how many there have been since.
  std::atomic<std::int64_t> ended_ = 0, changed_ = 0, count_ = 0;
};

}  // namespace penstock
