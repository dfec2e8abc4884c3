// loop: runs the coroutines of one thread: those that are ready, in their order; then those whose time has come, whose
// descriptor is ready, or whom another thread has called.
//
// Users meet it as run(task) and as what they await (sleep.hpp, descriptor.hpp, ...). This header is for those who write
// something to await:
//
//   struct pause final : timer {                               // lives in the waiting coroutine
//     bool await_ready() const noexcept { return false; }
//     void await_suspend(std::coroutine_handle<> h) { coroutine = h; loop::here().start(*this, when); }
//     void await_resume() const noexcept {}
//     void due() noexcept override { loop::here().make_ready(*this); }
//   };
//
// CANCELLING  A task that is no longer wanted is destroyed where it waits. So what it awaits deregisters itself in its
//             destructor: links and timers leave their lists, a notice is retracted, a descriptor's watch is given up.
//             There is nothing else to be done about cancellation, and nothing that a task could do against it.
// PUMP        A coroutine that is to run next (a child that is awaited, the parent of one that has ended) is left in a word
//             and resumed when the present one has returned, never from within it: with g++ 12 chains of direct
//             transfers grow the stack unless it optimises, and under AddressSanitizer even then. It costs the same.
// CANCELLED   A group that was cancelled stands in a list of the loop. When the running coroutine has suspended, the loop
//             destroys the tasks of all groups in this list, before it resumes or starts any other coroutine. So no task
//             of a cancelled group is resumed, and none takes an item that would be lost with it.
// RESULTS     A coroutine that waits for the end of a group goes on before everything else that is ready, because the
//             result of a task may be in its hands: a cancellation in between would lose it.
// FAIRNESS    After 256 resumptions the loop looks at the clock and the descriptors, even if other coroutines are ready.
// THREADS     post() from any thread; everything else on the loop's own, inside of run().
// ENDING      run_while() returns when it is told to and resumes nothing after that. The owner of a task that still waits
//             destroys it, before the loop.
// ERRORS      A second loop on one thread, run() inside of a task: std::logic_error. No descriptor left: std::system_error.
#pragma once

#include <array>
#include <atomic>
#include <cassert>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <penstock/async/timer_wheel.hpp>
#include <penstock/base/links.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/time_of_many.hpp>
#include <penstock/base/unique_fd.hpp>

namespace penstock {

// Something to be done on the loop's thread between two coroutines, when none of them is running.
class chore : public link {
 public:
  virtual void perform() noexcept = 0;

 protected:
  ~chore() = default;
};

class notice;
class notice_link {
 private:
  friend class loop;
  notice* next_ = nullptr;
};
// A call from another thread. One call at a time: after post() not again before it was delivered or retracted.
class notice : public notice_link {
 public:
  notice() noexcept = default;
  notice(const notice&) = delete;
  notice& operator=(const notice&) = delete;
  virtual void delivered() noexcept = 0;  // on the loop's thread

 protected:
  ~notice() = default;
};

class watch;
class watch_link {
 private:
  friend class loop;
  watch* next_ = nullptr;  // another one of the same descriptor
  std::uint32_t events_ = 0;
};
// Waits for a descriptor of any kind that can be polled (socket, pipe, pidfd, eventfd). Any number may wait for one
// descriptor.
class watch : public watch_link {
 public:
  watch() noexcept = default;
  watch(const watch&) = delete;
  watch& operator=(const watch&) = delete;
  virtual void happened(std::uint32_t epoll_events) noexcept = 0;

 protected:
  ~watch() = default;
};

class loop {
 public:
  // Throws std::system_error; std::logic_error if this thread has a loop already.
  loop();
  loop(const loop&) = delete;
  loop& operator=(const loop&) = delete;
  ~loop();

  // REQUIRES: on a loop's thread.
  [[nodiscard]] static loop& here() noexcept {
    assert(here_ && "penstock: what is awaited needs a loop: run(task)");
    return *here_;
  }
  // Of all loops there have been: for what may outlive one.
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  // Whether this thread has the loop with that number.
  [[nodiscard]] static bool is_here(std::uint64_t number) noexcept { return here_ && here_->number_ == number; }

  // --- for what is awaited ---
  void make_ready(ready_link& one) noexcept { ready_.push_back(one); }
  void start(timer& t, system::clock::time_point when) noexcept;
  // Whether nobody but the present coroutine has anything to do here, descriptors and timers left out.
  [[nodiscard]] bool is_idle() const noexcept {
    return ready_.empty() && chores_.empty() && cancellations_.empty() &&
           posted_.load(std::memory_order_relaxed) == nullptr;
  }
  // REQUIRES: from due(), delivered() or happened(), as the last thing they do. Nothing can come between what they did
  // for the coroutine and its going on, so nothing that was taken for it is lost when it is destroyed.
  void resume_now(std::coroutine_handle<> h) noexcept { resume(h); }
  void soon(chore& c) noexcept {
    if (!c.is_linked()) chores_.push_back(c);
  }
  // Destroys what must not be resumed any more: performed before anything else is resumed or started.
  void cancel_first(chore& c) noexcept {
    c.unlink();
    cancellations_.push_back(c);
  }
  // Whether cancel_first() has work left: nothing may be started meanwhile.
  [[nodiscard]] bool is_cancelling() const noexcept { return !cancellations_.empty(); }
  // As make_ready(), but before everything else that is ready.
  void make_first(ready_link& one) noexcept { first_.push_back(one); }
  // From any thread. The loop must be there until the call has returned.
  void post(notice& n) noexcept;
  // A notice that may have been posted and is no longer wanted. REQUIRES: nobody posts it any more.
  void retract(notice& n) noexcept;
  // events: EPOLLIN, EPOLLOUT, ... `w` is called if one of them, or an error, is there now, and then each time that news of
  // them come (edge-triggered). Throws std::system_error. REQUIRES: the descriptor is not closed before stop().
  void start(watch& w, int fd, std::uint32_t events);
  void stop(watch& w, int fd) noexcept;

  // --- for tasks ---
  // Resumed next, when the present coroutine has returned.
  void go_on_with(std::coroutine_handle<> next) noexcept { next_ = next; }
  // Resumes `first`, and what goes on from it, here and now. False, and nothing was done, if that is nested too deeply, or
  // if the loop has to look at the clock and the descriptors first.
  [[nodiscard]] bool run_nested(std::coroutine_handle<> first) noexcept;
  // The frame is about to be destroyed: it does not go on any more.
  static void forget(std::coroutine_handle<> frame) noexcept {
    if (here_ && here_->interruptions_ != 0) [[unlikely]]
      here_->forget_interrupted(frame);
  }
  // ns; looked up once at most while a coroutine runs: for what is counted, not for what is awaited.
  [[nodiscard]] std::int64_t now() noexcept {
    if (now_ == 0) now_ = time();
    return now_;
  }
  // The time in which the thread sleeps because nothing is to be done is added there from now on. It outlives the loop.
  void counts_sleep_in(time_of_many& there) noexcept { sleep_ = &there; }
  // Until `go_on` is false.
  void run_while(const bool& go_on) noexcept;

 private:
  static constexpr std::size_t resumptions_per_turn = 256;
  static constexpr std::size_t deepest = 32;

  void resume(std::coroutine_handle<> h) noexcept {
    now_ = 0;
    next_ = h;
    pump();
    if (depth_ == 0) settle();
  }
  void pump() noexcept {
    while (next_) {
      std::exchange(next_, nullptr).resume();
      if (!cancellations_.empty()) [[unlikely]]
        interrupt();
    }
  }
  void interrupt() noexcept;
  void forget_interrupted(std::coroutine_handle<> frame) noexcept;
  // REQUIRES: no coroutine is running. What comes before everything that is ready.
  void settle() noexcept {
    if (!cancellations_.empty() || interruptions_ != 0 || !first_.empty()) settle_all();
  }
  void settle_all() noexcept;
  [[nodiscard]] bool has_had_its_turn() const noexcept { return firsts_ >= resumptions_per_turn; }
  void run_ready(const bool& go_on) noexcept;
  void deliver(const bool& go_on) noexcept;
  // Looks at the descriptors; waits for them, for the next timer and for post() if `may_sleep`.
  void poll(bool may_sleep, const bool& go_on) noexcept;
  static notice* asleep() noexcept;
  static std::int64_t time() noexcept;

  static constinit thread_local loop* here_;

  const std::uint64_t number_;
  std::coroutine_handle<> next_;
  // Resumed after the cancellations, those that are still there. One for each depth at most.
  std::array<std::coroutine_handle<>, deepest + 1> interrupted_;
  std::size_t interruptions_ = 0;
  links<ready_link> ready_;
  links<ready_link> first_;
  links<chore> chores_;
  links<chore> cancellations_;
  std::size_t firsts_ = 0;  // resumed before what is ready, since the loop last looked at the clock and the descriptors
  std::size_t watches_ = 0;
  std::vector<watch*> watches_of_;  // by descriptor: the first of its list
  watch* told_next_ = nullptr;      // while one of a list is being told
  std::size_t depth_ = 0;
  void* batch_ = nullptr;  // the events that poll() is telling about
  int batch_left_ = 0;
  std::int64_t now_ = 0;  // 0: not looked up
  time_of_many* sleep_ = nullptr;
  timer_wheel timers_;
  bool timed_ = false;                 // whether there may be timers
  notice* being_delivered_ = nullptr;  // a list
  unique_fd epoll_;
  unique_fd wake_;
  alignas(64) std::atomic<notice*> posted_ =
      nullptr;  // the last first; asleep(): nothing, and wake_ is being waited for
};

}  // namespace penstock
