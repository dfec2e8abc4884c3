// limited_wait: the part of something to be awaited that ends the wait at a wait_limit: a deadline, a stop token, or both.
//
//   struct pop final : limited_wait {
//     void await_suspend(std::coroutine_handle<> h) { begin(h); ... }
//     T await_resume() { finish(); ... }
//     void given_up() noexcept override { leave_the_line(); go_on(); }      // on the loop's thread, while it waits
//   };
//
// THREADS  The token's stop may be requested on any thread; everything else is the loop's thread's.
// ENDING   Destroyed while it waits: the deadline and the token are forgotten.
#pragma once

#include <coroutine>
#include <optional>
#include <utility>

#include <penstock/async/loop.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock {

class limited_wait : private timer, private notice {
 public:
  limited_wait(const limited_wait&) = delete;
  limited_wait& operator=(const limited_wait&) = delete;

 protected:
  explicit limited_wait(wait_limit limit) noexcept : limit_(std::move(limit)) {}
  ~limited_wait() { finish(); }

  // The wait is over before it was, because of its limit. Not called after go_on().
  virtual void given_up() noexcept = 0;

  [[nodiscard]] bool limit_reached() const { return limit_.reached(); }
  [[nodiscard]] bool stop_requested() const noexcept { return system::stop_requested(limit_.stop()); }
  void begin(std::coroutine_handle<> h) {
    coroutine = h;
    loop_ = &loop::here();
    waits_ = true;
    if (limit_.has_deadline()) loop_->start(*this, limit_.deadline());
    if (limit_.stop().stop_possible()) on_stop_.emplace(limit_.stop(), call{this});
  }
  [[nodiscard]] bool waits() const noexcept { return waits_; }
  // The wait is over: the coroutine goes on. REQUIRES: as loop::resume_now().
  void go_on() noexcept {
    if (!std::exchange(waits_, false)) return;
    stop();
    loop_->resume_now(coroutine);
  }
  // No call from the limit comes any more.
  void finish() noexcept {
    waits_ = false;
    stop();
    if (!on_stop_) return;
    on_stop_.reset();  // waits for the one who is calling now
    if (stop_requested()) loop_->retract(*this);
  }

 private:
  struct call {
    limited_wait* self;
    void operator()() const noexcept { self->loop_->post(*self); }
  };
  void due() noexcept final {
    if (waits_) given_up();
  }
  void delivered() noexcept final {
    if (waits_) given_up();
  }

  const wait_limit limit_;
  loop* loop_ = nullptr;
  bool waits_ = false;
  std::optional<system::stop_callback<call>> on_stop_;
};

}  // namespace penstock
