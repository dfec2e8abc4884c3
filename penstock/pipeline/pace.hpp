// pace: how long a stage's items take, so far, and what follows from it: how many to take at once, and whether a turn
// is long enough to see to it that somebody else looks after the rest.
//
// A turn is worth about 100 µs: then handing items on costs little beside them, and nothing waits long for its turn.
// Items of unknown duration (the first three tell) are taken one by one, and so are those of a stage that has surprised: a single slow item
// (over 100 µs more than its turn should have taken) among fast ones makes the next 4,096 go one by one, because what
// happened once in a while will happen again, and those that were taken with it would have to wait.
//
// THREADS  Every member at the same time; two that report at once may lose one report.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace penstock {

class pace {
 public:
  static constexpr std::int64_t turn_ns = 100'000;
  static constexpr std::int64_t long_ns = 10'000;  // worth waking somebody (6.6 µs) for
  static constexpr std::int64_t surprise_ns = 100'000;
  static constexpr std::int64_t stuck_ns = 200'000;  // a batch that takes so much longer than usual is overdue
  static constexpr std::size_t max_at_once = 256;    // beyond that there is nothing left to save

  // How many items to take in one turn.
  [[nodiscard]] std::size_t batch(std::int64_t turn = turn_ns) const noexcept {
    const std::int64_t each = each_ns_.load(std::memory_order_relaxed);
    if (known_.load(std::memory_order_relaxed) < min_known || one_by_one_.load(std::memory_order_relaxed) > 0) return 1;
    return static_cast<std::size_t>(std::clamp<std::int64_t>(turn / std::max<std::int64_t>(each, 1), 1, max_at_once));
  }
  // Whether so many items are, or may be, long work.
  [[nodiscard]] bool is_long(std::size_t items) const noexcept {
    const std::int64_t each = each_ns_.load(std::memory_order_relaxed);
    return each == unknown || one_by_one_.load(std::memory_order_relaxed) > 0 ||
           each * static_cast<std::int64_t>(std::min<std::size_t>(items, 1 << 20)) >= long_ns;
  }
  // Whether a turn that took so long should not have.
  [[nodiscard]] bool is_surprise(std::int64_t ns, std::size_t items) const noexcept {
    const std::int64_t each = each_ns_.load(std::memory_order_relaxed);
    return each != unknown && ns > surprise_ns && ns - surprise_ns > 4 * each * static_cast<std::int64_t>(items);
  }
  void took(std::int64_t ns, std::size_t items, bool surprise) noexcept {
    if (const std::size_t known = known_.load(std::memory_order_relaxed); known < min_known)
      known_.store(known + items, std::memory_order_relaxed);
    const std::int64_t left = one_by_one_.load(std::memory_order_relaxed);
    if (left > 0)
      one_by_one_.store(std::max<std::int64_t>(0, left - static_cast<std::int64_t>(items)), std::memory_order_relaxed);
    if (surprise) return one_by_one_.store(4096, std::memory_order_relaxed);
    const std::int64_t now = ns / static_cast<std::int64_t>(items);
    const std::int64_t before = each_ns_.load(std::memory_order_relaxed);
    each_ns_.store(before == unknown ? now : before + (now - before) / 8, std::memory_order_relaxed);
  }
  // Nanoseconds; 0: not known yet.
  [[nodiscard]] std::int64_t each() const noexcept {
    return std::max<std::int64_t>(0, each_ns_.load(std::memory_order_relaxed));
  }

 private:
  static constexpr std::int64_t unknown = -1;
  static constexpr std::size_t min_known = 3;  // what one item took says little of the next
  std::atomic<std::size_t> known_ = 0;         // how many items were measured, while they are few
  std::atomic<std::int64_t> each_ns_ = unknown;
  std::atomic<std::int64_t> one_by_one_ = 0;
};

}  // namespace penstock
