// group: tasks that run at the same time, and end together.
//
//   task<> all(std::span<const url> urls) {
//     group g({.in_flight = 100});
//     for (const url& u : urls) {
//       co_await g.room();                    // waits while 100 are under way
//       g.add(save(u));                       // starts it
//     }
//     co_await g.wait();                      // until all have ended; throws if one has failed
//   }
//
// STARTING  add() runs the task, on the spot, up to its first wait. Beyond `in_flight` it stands in line instead; room()
//           is there so that a line need not grow.
// ERRORS    The first task that fails cancels the rest. When all have ended wait() throws a task_error, which tells the
//           task's number and label, with the task's own exception nested.
// ROOM      Tasks that wait for room() are served first come, first served, one for each free place. One that adds no task,
//           or is destroyed before it goes on, leaves its place to the next.
// ENDING    cancel(), the stop token, or a failure: when the task that runs at this moment has suspended, every task of the
//           group is destroyed where it waits (task.hpp, CANCELLING), before anything else is resumed or started; wait() is
//           false then. So none of them takes an item after cancel(), and an item that one of them was about to take stays
//           where it is. A group that is destroyed without wait() cancels: an exception that passes through its scope
//           leaves nothing behind. REQUIRES: it is not destroyed by one of its own tasks.
// THREADS   The loop's; the token's stop from any.
// MEMORY    A task's frame, and nothing else, for each.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <limits>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>

#include <penstock/async/loop.hpp>
#include <penstock/async/task.hpp>
#include <penstock/base/links.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

// A task of a group has failed. The cause is nested.
class task_error : public std::runtime_error, public std::nested_exception {
 public:
  // REQUIRES: thrown while the cause is being handled.
  task_error(std::uint64_t number, std::string label);
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }  // in the order of add(), from 1
  [[nodiscard]] const std::string& label() const noexcept { return label_; }

 private:
  std::uint64_t number_;
  std::string label_;
};

struct group_options {
  std::size_t in_flight =
      std::numeric_limits<std::size_t>::max();  // so many have been started and not ended; at least 1
  std::stop_token stop{};
};

class group final : private task_owner, private chore, private notice {
 public:
  // REQUIRES: in a task. Throws std::invalid_argument for an in_flight of 0.
  explicit group(group_options options = {});
  group(const group&) = delete;
  group& operator=(const group&) = delete;
  ~group();

  void add(task<> t);
  void add(std::string label, task<> t);  // what it is called in an error
  void cancel() noexcept;

  [[nodiscard]] std::size_t under_way() const noexcept { return running_ + in_line_; }
  [[nodiscard]] std::uint64_t added() const noexcept { return added_; }
  // What the first failed task ended with; null: none has.
  [[nodiscard]] std::exception_ptr failure() const noexcept { return failure_; }

  class [[nodiscard]] room_wait;
  // co_await: until fewer than in_flight tasks are under way.
  room_wait room() noexcept;
  class [[nodiscard]] end_wait;
  // co_await: until no task is under way. True: each has ended by itself; false: the group was cancelled. Throws
  // task_error. One at a time.
  end_wait wait() noexcept;

 private:
  void ended(task_promise& p) noexcept override;
  void perform() noexcept override;
  void delivered() noexcept override { cancel(); }
  void start_some() noexcept;
  void destroy_all() noexcept;
  void tell_waiters() noexcept;
  [[nodiscard]] bool has_room() const noexcept { return under_way() + promised_room_ < in_flight_; }
  // One that was told of room has gone on, or was destroyed before it could.
  void room_answered() noexcept;
  void throw_failure() const;

  const std::size_t in_flight_;
  links<task_promise> running_tasks_;
  links<task_promise> line_;
  std::size_t running_ = 0;
  std::size_t in_line_ = 0;
  bool some_have_ended_ = false;  // by themselves: their results may be in the hands of the task that waits
  std::uint64_t added_ = 0;
  bool cancelled_ = false;
  std::exception_ptr failure_;
  std::uint64_t failed_number_ = 0;
  links<room_wait> for_room_;
  std::size_t promised_room_ = 0;  // to those that were told and have not gone on
  links<ready_link> for_end_;
  std::unordered_map<std::uint64_t, std::string> labels_;
  struct call {
    group* self;
    void operator()() const noexcept { self->on().post(*self); }
  };
  std::stop_token stop_;
  std::optional<system::stop_callback<call>> on_stop_;
};

class group::room_wait final : public ready_link {
 public:
  explicit room_wait(group& g) noexcept : group_(g) {}
  ~room_wait() {
    if (told_) group_.room_answered();
  }
  bool await_ready() const noexcept { return group_.has_room() || group_.cancelled_; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    coroutine = h;
    group_.for_room_.push_back(*this);
  }
  void await_resume() noexcept {
    if (std::exchange(told_, false)) group_.room_answered();
  }

 private:
  friend class group;
  group& group_;
  bool told_ = false;
};

class group::end_wait final : private ready_link {
 public:
  explicit end_wait(group& g) noexcept : group_(g) {}
  bool await_ready() const noexcept { return group_.under_way() == 0; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    coroutine = h;
    group_.for_end_.push_back(*this);
  }
  bool await_resume() const {
    if (group_.failure_) group_.throw_failure();
    return !group_.cancelled_;
  }

 private:
  group& group_;
};

inline group::room_wait group::room() noexcept { return room_wait(*this); }
inline group::end_wait group::wait() noexcept { return end_wait(*this); }

}  // namespace penstock
