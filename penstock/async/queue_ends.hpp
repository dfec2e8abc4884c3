// async_push, async_pop: the ends of a bounded_queue for tasks. Tasks and threads meet in one queue, whichever stands where.
//
//   bounded_queue<photo> queue(64);
//   ...a thread...                              ...a task, on any loop...
//   queue.push(std::move(p));                   while (auto p = co_await async_pop(queue)) co_await publish(*p);
//   queue.close();
//
//   bool                       co_await async_push(queue, item)          false iff closed
//   conqueue_status            co_await async_push(queue, item, limit)   success, closed, or full: the limit was reached
//   optional<T>                co_await async_pop(queue)                 empty iff closed and drained
//   expected<T, status>        co_await async_pop(queue, limit)          the item, closed, or empty: the limit was reached
//   size_t                     co_await async_push_range(queue, items)   fewer than all iff closed; the rest is unchanged
//   size_t                     co_await async_pop_some(queue, into, most)   at least one, appended to `into`; 0 iff closed and drained
//
// ORDER     One line for all who wait on a side, tasks and threads: first come, first called. Who is called and does not
//           get to it, because its loop is busy, holds up those behind it.
// REQUIRES  T moves without throwing: on its way to a task an item is moved more than once. (The function that weighs items,
//           of a queue with a limit in bytes, is called twice for one that has to wait.)
// REFUSED   An item that is not taken stays with its owner, unchanged; async_push moves from it when there is room.
// CANCELLING  A task that is destroyed while it waits has taken no item and put none; its call is passed on. An item that
//           it is given is in its hands before anything else can happen.
// THREADS   The task's own; the queue's are anybody's. REQUIRES: the queue outlives the wait.
// COST      That of try_push and try_pop, unless it has to wait. Between two threads each item moves a cache line to and fro;
//           ranges move many items for that.
#pragma once

#include <chrono>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/async/limited_wait.hpp>
#include <penstock/async/loop.hpp>
#include <penstock/base/expected.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/bounded_queue.hpp>
#include <penstock/queue/status.hpp>
#include <penstock/queue/wait_line.hpp>

namespace penstock {

// A place in a queue's line whose turn is told to a loop.
class place_in_line : protected wait_line::place, private notice {
 protected:
  place_in_line() noexcept {
    told = [](wait_line::place& p) noexcept {
      auto& self = static_cast<place_in_line&>(p);
      self.loop_->post(
          self);  // under the line's mutex: the loop cannot end meanwhile, because this one has to leave first
    };
  }
  ~place_in_line() = default;
  // Whoever was told has come to it: try again.
  virtual void called() noexcept = 0;

  // A few tries before it stands in line, if its loop has nothing else to do: a call between two threads that sleep costs
  // 20 µs, and most waits are shorter. On a busy machine one at most (wait_side.hpp, WAITING).
  template <class Try>
  static bool tries_a_little(Try try_it) {
    const loop& here = loop::here();
    bool cheap = true;
    for (int yields = system::spins(14); cheap && yields > 0 && here.is_idle(); --yields) {
      cheap = system::yield_briefly();
      if (try_it()) return true;
    }
    return false;
  }
  void stands_here() noexcept { loop_ = &loop::here(); }
  // Most never do, and then there is no line to be left: that costs a mutex.
  [[nodiscard]] bool has_stood() const noexcept { return loop_ != nullptr; }
  // REQUIRES: it has left the line.
  void forget() noexcept {
    if (awake.load(std::memory_order_relaxed) != 0) loop_->retract(*this);
  }

 private:
  void delivered() noexcept final { called(); }
  loop* loop_ = nullptr;
};

// One that waits for room, where much fits in: content to be told when there is a good deal of it, for a millisecond
// (wait_side.hpp, PATIENCE). One wake buys many items then.
template <class Queue>
class patient_place : protected place_in_line {
 protected:
  explicit patient_place(Queue& queue) noexcept : queue_(queue) { patient = queue.capacity() >= 16; }
  ~patient_place() = default;

  void begins_to_wait() noexcept {
    if (patient) loop::here().start(end_of_patience_, system::clock::now() + std::chrono::milliseconds(1));
  }
  Queue& queue_;

 private:
  struct impatience final : timer {
    explicit impatience(patient_place& p) noexcept : place(p) {}
    void due() noexcept override { place.queue_.lose_patience(place); }
    patient_place& place;
  };
  impatience end_of_patience_{*this};
};

// Item: T&& where the item stays with its owner meanwhile, T where it is a copy. Limited: the answer is a status, or in
// what ends without an item the reason; else there are two answers only.
template <class T, class Queue, class Item, bool Limited>
class [[nodiscard]] push_wait final : private limited_wait, private patient_place<Queue> {
  static_assert(std::is_nothrow_move_constructible_v<T>, "penstock: async_push needs items that move without throwing");

 public:
  push_wait(Queue& queue, Item&& item, const wait_limit& limit)
      : limited_wait(limit), patient_place<Queue>(queue), item_(static_cast<Item&&>(item)) {}
  ~push_wait() {
    if (this->has_stood()) give_up();
  }

  bool await_ready() {
    const auto try_it = [this] {
      status_ = queue_.try_push(std::move(item_));
      return status_ != conqueue_status::full;
    };
    return try_it() || limit_reached() || this->tries_a_little(try_it);
  }
  bool await_suspend(std::coroutine_handle<> h) {
    this->stands_here();
    status_ = queue_.push_in_line(*this, item_);
    if (status_ != conqueue_status::full) return false;
    begin(h);
    this->begins_to_wait();
    return true;
  }
  std::conditional_t<Limited, conqueue_status, bool> await_resume() {
    finish();
    if constexpr (Limited)
      return status_;
    else
      return status_ == conqueue_status::success;
  }

 private:
  void called() noexcept override {
    if (!waits()) return;
    status_ = queue_.push_in_line(*this, item_);
    if (status_ != conqueue_status::full) go_on();
  }
  // Out of the line before it tries a last time: in it, it could be told meanwhile.
  void given_up() noexcept override {
    give_up();
    status_ = queue_.try_push(std::move(item_));
    go_on();
  }
  void give_up() noexcept {
    queue_.leave_push(*this);
    this->forget();
  }

  using patient_place<Queue>::queue_;

  Item item_;
  conqueue_status status_ = conqueue_status::full;
};

template <class T, class Queue, bool Limited>
class [[nodiscard]] pop_wait final : private limited_wait, private place_in_line {
  static_assert(std::is_nothrow_move_constructible_v<T>, "penstock: async_pop needs items that move without throwing");

 public:
  pop_wait(Queue& queue, const wait_limit& limit) : limited_wait(limit), queue_(queue) {}
  ~pop_wait() {
    if (has_stood()) give_up();
  }

  bool await_ready() {
    const auto try_it = [this] {
      try_once();
      return status_ != conqueue_status::empty;
    };
    return try_it() || limit_reached() || tries_a_little(try_it);
  }
  bool await_suspend(std::coroutine_handle<> h) {
    stands_here();
    status_ = queue_.pop_in_line(*this, item_);
    if (status_ != conqueue_status::empty) return false;
    begin(h);
    return true;
  }
  std::conditional_t<Limited, expected<T, conqueue_status>, std::optional<T>> await_resume() {
    finish();
    if constexpr (Limited) {
      if (!item_) return unexpected(status_);
      return std::move(*item_);
    } else {
      return std::move(item_);
    }
  }

 private:
  void called() noexcept override {
    if (!waits()) return;
    status_ = queue_.pop_in_line(*this, item_);
    if (status_ != conqueue_status::empty) go_on();
  }
  // Out of the line before it tries a last time: in it, it could be told meanwhile.
  void given_up() noexcept override {
    give_up();
    try_once();
    go_on();
  }
  void try_once() noexcept {
    if (auto item = queue_.try_pop()) {
      item_.emplace(std::move(*item));
      status_ = conqueue_status::success;
    } else {
      status_ = item.error();
    }
  }
  void give_up() noexcept {
    queue_.leave_pop(*this);
    forget();
  }

  Queue& queue_;
  std::optional<T> item_;
  conqueue_status status_ = conqueue_status::empty;
};

template <class T, class Queue>
class [[nodiscard]] push_range_wait final : private patient_place<Queue> {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "penstock: async_push_range needs items that move without throwing");

 public:
  push_range_wait(Queue& queue, std::span<T> items) noexcept : patient_place<Queue>(queue), items_(items) {}
  ~push_range_wait() {
    if (!this->has_stood()) return;
    queue_.leave_push(*this);
    this->forget();
  }

  bool await_ready() {
    const auto try_it = [this] {
      push_some();
      return pushed_ == items_.size() || queue_.is_closed();
    };
    return try_it() || this->tries_a_little(try_it);
  }
  bool await_suspend(std::coroutine_handle<> h) {
    coroutine_ = h;
    this->stands_here();
    if (push_all()) return false;
    this->begins_to_wait();
    return true;
  }
  std::size_t await_resume() const noexcept { return pushed_; }

 private:
  // Without waiting.
  void push_some() { pushed_ += queue_.push_range(items_.subspan(pushed_), wait_limit(system::clock::time_point{})); }
  // False: it stands in line.
  bool push_all() {
    while (pushed_ < items_.size()) {
      switch (queue_.push_in_line(*this, items_[pushed_])) {
        case conqueue_status::success:
          ++pushed_;
          push_some();
          break;
        case conqueue_status::full:
          return false;
        default:
          return true;
      }
    }
    return true;
  }
  void called() noexcept override {
    if (push_all()) loop::here().resume_now(coroutine_);
  }
  using patient_place<Queue>::queue_;

  const std::span<T> items_;
  std::size_t pushed_ = 0;
  std::coroutine_handle<> coroutine_;
};

template <class T, class Queue>
class [[nodiscard]] pop_some_wait final : private place_in_line {
  static_assert(std::is_nothrow_move_constructible_v<T>,
                "penstock: async_pop_some needs items that move without throwing");

 public:
  pop_some_wait(Queue& queue, std::vector<T>& into, std::size_t most) noexcept
      : queue_(queue), into_(into), most_(most) {}
  ~pop_some_wait() {
    if (!has_stood()) return;
    queue_.leave_pop(*this);
    forget();
  }

  bool await_ready() {
    if (most_ == 0) return true;
    into_.reserve(into_.size() + 1);  // may throw, so before anything has left the queue
    const auto try_it = [this] {
      pop_more();
      return popped_ != 0;
    };
    return try_it() || tries_a_little(try_it);
  }
  bool await_suspend(std::coroutine_handle<> h) {
    coroutine_ = h;
    stands_here();
    return !pop_first();
  }
  // What came with the first is taken here, in the task: it may throw for want of memory.
  std::size_t await_resume() {
    if (first_) {
      into_.push_back(std::move(*first_));
      first_.reset();
      ++popped_;
      if (popped_ < most_) pop_more();
    }
    return popped_;
  }

 private:
  void pop_more() { popped_ += queue_.pop_some(into_, most_ - popped_, wait_limit(system::clock::time_point{})); }
  bool pop_first() { return queue_.pop_in_line(*this, first_) != conqueue_status::empty; }
  void called() noexcept override {
    if (pop_first()) loop::here().resume_now(coroutine_);
  }

  Queue& queue_;
  std::vector<T>& into_;
  const std::size_t most_;
  std::size_t popped_ = 0;
  std::optional<T> first_;
  std::coroutine_handle<> coroutine_;
};

// The item must still be there when the push is done: in one expression with the co_await it is.
template <class T, class E>
push_wait<T, bounded_queue<T, E>, T&&, false> async_push(bounded_queue<T, E>& queue, std::type_identity_t<T>&& item) {
  return {queue, std::move(item), wait_limit{}};
}
template <class T, class E>
push_wait<T, bounded_queue<T, E>, T, false> async_push(bounded_queue<T, E>& queue,
                                                       const std::type_identity_t<T>& item) {
  return {queue, T(item), wait_limit{}};
}
template <class T, class E>
push_wait<T, bounded_queue<T, E>, T&&, true> async_push(bounded_queue<T, E>& queue, std::type_identity_t<T>&& item,
                                                        const wait_limit& limit) {
  return {queue, std::move(item), limit};
}
template <class T, class E>
push_wait<T, bounded_queue<T, E>, T, true> async_push(bounded_queue<T, E>& queue, const std::type_identity_t<T>& item,
                                                      const wait_limit& limit) {
  return {queue, T(item), limit};
}
// The items stay with their owner, and must still be there, until the push is done.
template <class T, class E>
push_range_wait<T, bounded_queue<T, E>> async_push_range(bounded_queue<T, E>& queue,
                                                         std::type_identity_t<std::span<T>> items) {
  return {queue, items};
}
template <class T, class E>
pop_some_wait<T, bounded_queue<T, E>> async_pop_some(bounded_queue<T, E>& queue,
                                                     std::type_identity_t<std::vector<T>>& into, std::size_t most) {
  return {queue, into, most};
}
template <class T, class E>
pop_wait<T, bounded_queue<T, E>, false> async_pop(bounded_queue<T, E>& queue) {
  return {queue, wait_limit{}};
}
template <class T, class E>
pop_wait<T, bounded_queue<T, E>, true> async_pop(bounded_queue<T, E>& queue, const wait_limit& limit) {
  return {queue, limit};
}

}  // namespace penstock
