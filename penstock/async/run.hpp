// run(task): runs a task on this thread, from ordinary code, until it has ended.
//
//   page p = penstock::run(fetch(u));
//   std::optional<page> p = penstock::run(fetch(u), interrupts.stop());     // empty: a stop came first
//   if (!penstock::run(serve(), stop)) ...                                  // of a task<void>: whether it has ended
//
// THREADS  Each thread may run one at a time; nothing is shared between them but what is made for it: bounded_queue.
// ENDING   A stop destroys the task where it waits: once the loop has been told of it, nothing is resumed any more. Nothing
//          of the task is left when run() returns.
// ERRORS   The exception that escapes from the task. std::logic_error if a task calls run(): it would wait for a loop that
//          waits for it. std::system_error if the kernel has no descriptor left.
#pragma once

#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

#include <penstock/async/loop.hpp>
#include <penstock/async/task.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

// The owner of the task that is run.
class root final : private task_owner, private notice {
 public:
  explicit root(loop& l) noexcept : task_owner(l) {}

  // True iff it has ended.
  template <class T>
  bool run(const task<T>& t, const std::stop_token& stop) {
    t.promise().be_owned(*this, 1);
    return run(t.promise(), stop);
  }

 private:
  bool run(task_promise& p, const std::stop_token& stop);
  void ended(task_promise&) noexcept override {
    ended_ = true;
    go_on_ = false;
  }
  void delivered() noexcept override { go_on_ = false; }

  bool go_on_ = true;
  bool ended_ = false;
  links<task_promise> own_;
};

template <class T>
T run(task<T> t) {
  loop here;
  task<T> mine(std::move(t));  // destroyed before the loop
  (void)root(here).run(mine, {});
  return mine.promise().result();
}

template <class T>
std::optional<T> run(task<T> t, const std::stop_token& stop) {
  loop here;
  task<T> mine(std::move(t));
  if (!root(here).run(mine, stop)) return std::nullopt;
  return mine.promise().result();
}
inline bool run(task<void> t, const std::stop_token& stop) {
  loop here;
  task<void> mine(std::move(t));
  if (!root(here).run(mine, stop)) return false;
  mine.promise().result();
  return true;
}

}  // namespace penstock
