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
  // A deadline in another unit than the clock's.
  template <class Duration>
  wait_limit(std::chrono::time_point<clock, Duration> deadline) : deadline_(on_clock(deadline)) {}
  wait_limit(std::stop_token stop) noexcept : stop_(std::move(stop)) {}
  wait_limit(std::stop_token stop, clock::time_point deadline) noexcept : stop_(std::move(stop)), deadline_(deadline) {}
  template <class Duration>
  wait_limit(std::stop_token stop, std::chrono::time_point<clock, Duration> deadline)
      : stop_(std::move(stop)), deadline_(on_clock(deadline)) {}
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
  // now + patience, at the ends too: a patience beyond the clock's range (hours::max()) means for ever, a negative one
  // and one that is not a number mean no time at all.
  template <class Rep, class Period>
  static clock::time_point after(std::chrono::duration<Rep, Period> patience) {
    const auto now = clock::now();
    const auto wanted = std::chrono::duration_cast<std::chrono::duration<double>>(patience);
    const auto most = std::chrono::duration_cast<std::chrono::duration<double>>(clock::time_point::max() - now);
    if (wanted >= most) return clock::time_point::max();
    if (!(wanted > std::chrono::duration<double>(0))) return now;  // not <=, which is false for what is not a number
    return now + std::chrono::ceil<clock::duration>(patience);
  }
  // The deadline on the clock's own scale: one in hours may lie beyond it at either end.
  template <class Duration>
  static clock::time_point on_clock(std::chrono::time_point<clock, Duration> deadline) {
    using seconds = std::chrono::duration<double>;
    const auto since = deadline.time_since_epoch();
    const auto wanted = std::chrono::duration_cast<seconds>(since);
    if (wanted >= std::chrono::duration_cast<seconds>(clock::duration::max())) return clock::time_point::max();
    if (!(wanted > std::chrono::duration_cast<seconds>(clock::duration::min()))) return clock::time_point::min();
    return clock::time_point(std::chrono::ceil<clock::duration>(since));
  }

  std::stop_token stop_;
  clock::time_point deadline_ = clock::time_point::max();
};

}  // namespace penstock
