// sleep_for(how_long), sleep_until(when): a task waits, its thread does not.
//
//   co_await sleep_for(100ms);
//   const bool whole = co_await sleep_until({stop, 100ms});     // false: a stop came before
//
// PRECISION  Never early; late by up to 65 µs of the loop's and 50 µs of Linux's, and by whatever else is ready.
// COST       48 bytes in the waiting task.
#pragma once

#include <chrono>
#include <coroutine>

#include <penstock/async/limited_wait.hpp>
#include <penstock/async/loop.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock {

// A wait for time alone.
class [[nodiscard]] sleeping final : private timer {
 public:
  explicit sleeping(system::clock::time_point until) noexcept : until_(until) {}
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    coroutine = h;
    loop::here().start(*this, until_);
  }
  void await_resume() const noexcept {}

 private:
  void due() noexcept override { loop::here().make_ready(*this); }
  const system::clock::time_point until_;
};

// A wait for time, or a stop.
class [[nodiscard]] limited_sleeping final : private limited_wait {
 public:
  explicit limited_sleeping(const wait_limit& limit) : limited_wait(limit) {}
  bool await_ready() const { return limit_reached(); }
  void await_suspend(std::coroutine_handle<> h) { begin(h); }
  bool await_resume() {
    finish();
    return !stop_requested();
  }

 private:
  void given_up() noexcept override { go_on(); }
};

template <class Rep, class Period>
[[nodiscard]] sleeping sleep_for(std::chrono::duration<Rep, Period> how_long) {
  return sleeping(wait_limit(how_long).deadline());
}
[[nodiscard]] inline sleeping sleep_until(system::clock::time_point when) noexcept { return sleeping(when); }
[[nodiscard]] inline limited_sleeping sleep_until(const wait_limit& limit) { return limited_sleeping(limit); }

// Lets the others go first.
class [[nodiscard]] stepping_back final : private ready_link {
 public:
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    coroutine = h;
    loop::here().make_ready(*this);
  }
  void await_resume() const noexcept {}
};
[[nodiscard]] inline stepping_back yield_to_others() noexcept { return {}; }

}  // namespace penstock
