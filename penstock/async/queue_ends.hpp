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
//
// ORDER     One line for all who wait on a side, tasks and threads: first come, first called. Who is called and does not
//           get to it, because its loop is busy, holds up those behind it.
// REQUIRES  T moves without throwing: on its way to a task an item is moved more than once. (The function that weighs items,
//           of a queue with a limit in bytes, is called twice for one that has to wait.)
// REFUSED   An item that is not taken stays with its owner, unchanged; async_push moves from it when there is room.
// CANCELLING  A task that is destroyed while it waits has taken no item and put none; its call is passed on. An item that
//           it is given is in its hands before anything else can happen.
// THREADS   The task's own; the queue's are anybody's. REQUIRES: the queue outlives the wait.
// COST      That of try_push and try_pop, unless it has to wait.
#pragma once

#include <coroutine>
#include <optional>
#include <type_traits>
#include <utility>

#include <penstock/async/limited_wait.hpp>
#include <penstock/async/loop.hpp>
#include <penstock/base/expected.hpp>
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

  void stands_here() noexcept { loop_ = &loop::here(); }
  // REQUIRES: it has left the line.
  void forget() noexcept {
    if (awake.load(std::memory_order_relaxed) != 0) loop_->retract(*this);
  }

 private:
  void delivered() noexcept final { called(); }
  loop* loop_ = nullptr;
};

// Item: T&& where the item stays with its owner meanwhile, T where it is a copy. Limited: the answer is a status, or in
// what ends without an item the reason; else there are two answers only.
template <class T, class Queue, class Item, bool Limited>
class [[nodiscard]] push_wait final : private limited_wait, private place_in_line {
  static_assert(std::is_nothrow_move_constructible_v<T>, "penstock: async_push needs items that move without throwing");

 public:
  push_wait(Queue& queue, Item&& item, const wait_limit& limit)
      : limited_wait(limit), queue_(queue), item_(static_cast<Item&&>(item)) {}
  ~push_wait() { give_up(); }

  bool await_ready() {
    status_ = queue_.try_push(std::move(item_));
    return status_ != conqueue_status::full || limit_reached();
  }
  bool await_suspend(std::coroutine_handle<> h) {
    stands_here();
    status_ = queue_.push_in_line(*this, item_);
    if (status_ != conqueue_status::full) return false;
    begin(h);
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
    forget();
  }

  Queue& queue_;
  Item item_;
  conqueue_status status_ = conqueue_status::full;
};

template <class T, class Queue, bool Limited>
class [[nodiscard]] pop_wait final : private limited_wait, private place_in_line {
  static_assert(std::is_nothrow_move_constructible_v<T>, "penstock: async_pop needs items that move without throwing");

 public:
  pop_wait(Queue& queue, const wait_limit& limit) : limited_wait(limit), queue_(queue) {}
  ~pop_wait() { give_up(); }

  bool await_ready() {
    try_once();
    return status_ != conqueue_status::empty || limit_reached();
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
template <class T, class E>
pop_wait<T, bounded_queue<T, E>, false> async_pop(bounded_queue<T, E>& queue) {
  return {queue, wait_limit{}};
}
template <class T, class E>
pop_wait<T, bounded_queue<T, E>, true> async_pop(bounded_queue<T, E>& queue, const wait_limit& limit) {
  return {queue, limit};
}

}  // namespace penstock
