// wait_limit: how long a blocking call may wait: for ever, until a deadline, until a stop is requested, or until the
// first of both.
//
//   queue.pop(100ms);                queue.pop(wait_limit::clock::now() + 1s);
//   queue.pop(stop);                 queue.pop({stop, 100ms});
//
// A limit ends *waiting* only: a call that need not wait succeeds, however late it is and whether or not a stop was
// requested. So an item that is there is never left behind by a limit, and no wake-up is lost by one.
#pragma once

#include <chrono>
#include <stop_token>
#include <utility>

#include <penstock/base/system.hpp>

namespace penstock {

class wait_limit {
 public:
  using clock = system::clock;

  wait_limit() noexcept = default;  // for ever
  wait_limit(clock::time_point deadline) noexcept : deadline_(deadline) {}
  template <class Rep, class Period>
  wait_limit(std::chrono::duration<Rep, Period> patience) : deadline_(after(patience)) {}
  wait_limit(std::stop_token stop) noexcept : stop_(std::move(stop)) {}
  wait_limit(std::stop_token stop, clock::time_point deadline) noexcept : stop_(std::move(stop)), deadline_(deadline) {}
  template <class Rep, class Period>
  wait_limit(std::stop_token stop, std::chrono::duration<Rep, Period> patience)
      : stop_(std::move(stop)), deadline_(after(patience)) {}

  [[nodiscard]] const std::stop_token& stop() const noexcept { return stop_; }
  [[nodiscard]] bool has_deadline() const noexcept { return deadline_ != clock::time_point::max(); }
  [[nodiscard]] clock::time_point deadline() const noexcept { return deadline_; }
  [[nodiscard]] bool reached() const {
    return system::stop_requested(stop_) || (has_deadline() && clock::now() >= deadline_);
  }

 private:
  // A patience beyond the clock's range (hours::max()) means for ever, not an overflow into the past.
  template <class Rep, class Period>
  static clock::time_point after(std::chrono::duration<Rep, Period> patience) {
    const auto now = clock::now();
    const auto most = std::chrono::duration_cast<std::chrono::duration<double>>(clock::time_point::max() - now);
    if (std::chrono::duration_cast<std::chrono::duration<double>>(patience) >= most) return clock::time_point::max();
    if (std::chrono::duration_cast<std::chrono::duration<double>>(patience) <= std::chrono::duration<double>(0))
      return now;
    return now + std::chrono::ceil<clock::duration>(patience);
  }

  std::stop_token stop_;
  clock::time_point deadline_ = clock::time_point::max();
};

}  // namespace penstock
