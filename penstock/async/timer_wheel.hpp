// timer_wheel: what is to happen when. Starting and stopping a timer costs a few ns however many there are.
//
//   struct alarm final : timer { void due() noexcept override { ... } };
//   wheel.start(a, clock::now() + 100ms);
//   wheel.expire(now);          // calls due() of those whose time has come; never of one before its time
//
// PRECISION   A tick is 65.5 µs: a timer is due at the first tick that is not before its time, those of one tick in the
//             order of their times. Not a heap, which has no ticks: a million timers in it cost 40 % more, and Linux
//             itself takes 50 µs of slack.
// HOW         Six wheels of 256 places; a place of one is a turn of the one below. A timer lies at the height of the
//             highest digit in which its tick differs from the present one and moves down when that digit is reached: a
//             sleep of 100 ms moves once. (Varghese and Lauck: hierarchical timing wheels.)
// THREADS     One.
// ENDING      A timer that is destroyed is stopped.
#pragma once

#include <array>
#include <bit>
#include <coroutine>
#include <cstddef>
#include <cstdint>

#include <penstock/base/links.hpp>

namespace penstock {

// A coroutine that can go on, or a timer that lies in the wheel until it can: never both, so one link is enough.
struct ready_link : link {
  std::coroutine_handle<> coroutine;
};

class timed_link : public ready_link {
 private:
  friend class timer_wheel;
  std::int64_t time_ = 0;  // ns on the steady clock
};

class timer : public timed_link {
 public:
  // Its time has come; stopped when it is called.
  virtual void due() noexcept = 0;
  void stop() noexcept { unlink(); }

 protected:
  ~timer() = default;
};

class timer_wheel {
 public:
  explicit timer_wheel(std::int64_t now) noexcept : now_(now >> tick_bits) {}
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  // Any time: one that has passed is due at once, one at the end of the clock never. REQUIRES: not started.
  void start(timer& t, std::int64_t time) noexcept;
  // Calls those whose time has come, but no more ticks than it takes to call `most`, and none after `go_on` has become
  // false. True if it came to the present.
  bool expire(std::int64_t now, std::size_t most, const bool& go_on = always) noexcept;
  // When expire() should be called next; the largest number: not at all. It may find nothing to do then.
  [[nodiscard]] std::int64_t next() noexcept;

  static constexpr std::int64_t none = INT64_MAX;
  static constexpr bool always = true;

 private:
  static constexpr int tick_bits = 16, digit_bits = 8, heights = 6;
  static constexpr std::size_t places = std::size_t{1} << digit_bits;
  struct wheel {
    std::array<links<timer>, places> at;
    std::array<std::uint64_t, places / 64> used{};  // a bit for each place that may have timers
  };
  void put(timer& t) noexcept;
  // The place that comes next, if any has timers: its height, and the tick at which it begins.
  struct stop {
    int height = -1;
    std::int64_t tick = 0;
  };
  [[nodiscard]] stop next_stop() noexcept;
  void call(links<timer>& those, std::size_t& called, const bool& go_on) noexcept;
  static void sort(links<timer>& those) noexcept;
  static void merge(links<timer>& earlier, links<timer>& later) noexcept;

  std::int64_t now_;  // the present tick: everything up to it has been called
  links<timer> overdue_;
  std::array<wheel, heights> wheels_;
};

}  // namespace penstock
