// channel<T>: a first-in-first-out queue between tasks of one loop that holds at most `capacity` items: bounded_queue's
// contract without its atomics.
//
//   channel<photo> photos(64);
//   ...one task...                              ...another...
//   for (bool open = true; open && next(shot);) while (auto p = co_await photos.pop())
//     open = co_await photos.push(shot);          co_await publish(*p);
//   photos.close();
//
// THREADS     One. Between threads: bounded_queue and queue_ends.hpp.
// ORDER       Items leave in the order in which they entered. Tasks that wait are served first come, first served, though
//             one that need not wait may overtake those that are about to go on.
// ENDING      close(): no more will come; what waits is still popped; everyone who waits goes on. Final.
//             Destroying: REQUIRES that nobody waits. Items still inside are destroyed.
// CANCELLING  A task that is destroyed while it waits has put and taken nothing; what it was called for goes to the next.
// REFUSED     An item that is not taken stays with its owner, unchanged.
// MEMORY      The constructor is the only allocation.
#pragma once

#include <cassert>
#include <coroutine>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <type_traits>
#include <utility>

#include <penstock/async/loop.hpp>
#include <penstock/base/expected.hpp>
#include <penstock/base/links.hpp>
#include <penstock/queue/ring.hpp>
#include <penstock/queue/status.hpp>

namespace penstock {

template <class T>
class channel {
  class waiting;
  template <class Item>
  class push_wait;
  class pop_wait;

 public:
  // REQUIRES: capacity > 0 (throws std::invalid_argument).
  explicit channel(std::size_t capacity) : items_(checked(capacity)) {}
  channel(const channel&) = delete;
  channel& operator=(const channel&) = delete;
  ~channel() { assert(producers_.empty() && consumers_.empty() && "a channel was destroyed while a task waits on it"); }

  // co_await: waits for room. False iff the channel is closed.
  [[nodiscard]] push_wait<T&&> push(T&& item) { return {*this, std::move(item)}; }
  [[nodiscard]] push_wait<T> push(const T& item) { return {*this, T(item)}; }
  // co_await: waits for an item. Empty iff closed and drained.
  [[nodiscard]] pop_wait pop() { return pop_wait(*this); }
  // Never wait: success, full or closed; the item, empty or closed.
  conqueue_status try_push(T&& item) {
    if (closed_) return conqueue_status::closed;
    if (!has_room()) return conqueue_status::full;
    put(std::move(item));
    return conqueue_status::success;
  }
  expected<T, conqueue_status> try_pop() {
    if (!has_item()) return unexpected(has_ended() ? conqueue_status::closed : conqueue_status::empty);
    expected<T, conqueue_status> item(std::move(items_.front()));
    took();
    return item;
  }

  void close() noexcept {
    closed_ = true;
    while (waiting* const w = producers_.pop_front()) w->go_on();
    if (has_ended()) end_consumers();
  }
  [[nodiscard]] bool is_closed() const noexcept { return closed_; }
  [[nodiscard]] std::size_t size() const noexcept { return items_.size(); }
  [[nodiscard]] std::size_t capacity() const noexcept { return items_.capacity(); }

 private:
  // Closed and drained. An item that is promised to a consumer counts: if that one is destroyed, the next takes it.
  [[nodiscard]] bool has_ended() const noexcept { return closed_ && items_.empty(); }
  // A consumer or producer that was called holds a promise of one item, or of room for one.
  [[nodiscard]] bool has_room() const noexcept { return items_.size() + promised_room_ < items_.capacity(); }
  [[nodiscard]] bool has_item() const noexcept { return items_.size() > promised_items_; }

  template <class Item>
  void put(Item&& item) {
    items_.emplace_back(std::forward<Item>(item));
    call_consumer();
  }
  void took() noexcept {
    items_.pop_front();
    call_producer();
    if (has_ended()) end_consumers();
  }
  void end_consumers() noexcept {
    while (waiting* const w = consumers_.pop_front()) w->go_on();
  }
  void call_consumer() noexcept {
    if (consumers_.empty() || !has_item()) return;
    ++promised_items_;
    consumers_.pop_front()->call();
  }
  void call_producer() noexcept {
    if (producers_.empty() || !has_room()) return;
    ++promised_room_;
    producers_.pop_front()->call();
  }
  static std::size_t checked(std::size_t capacity) {
    if (capacity == 0) throw std::invalid_argument("penstock: a channel needs a capacity of at least 1");
    return capacity;
  }

  ring<T> items_;
  std::size_t promised_room_ = 0;
  std::size_t promised_items_ = 0;
  bool closed_ = false;
  links<waiting> producers_;
  links<waiting> consumers_;
};

// --- below: how ---

template <class T>
class channel<T>::waiting : public ready_link {
 public:
  void call() noexcept {
    called_ = true;
    go_on();
  }
  void go_on() noexcept { loop::here().make_ready(*this); }

 protected:
  bool called_ = false;
};

template <class T>
template <class Item>
class [[nodiscard]] channel<T>::push_wait final : private waiting {
 public:
  push_wait(channel& c, Item&& item) : channel_(c), item_(static_cast<Item&&>(item)) {}
  ~push_wait() {
    if (!this->called_) return;
    --channel_.promised_room_;
    channel_.call_producer();
  }
  bool await_ready() const noexcept { return channel_.closed_ || channel_.has_room(); }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    this->coroutine = h;
    channel_.producers_.push_back(*this);
  }
  bool await_resume() {
    if (channel_.closed_) return false;
    // The promise is kept until the item is in: if its move throws, the destructor passes the room on.
    channel_.items_.emplace_back(std::move(item_));
    if (std::exchange(this->called_, false)) --channel_.promised_room_;
    channel_.call_consumer();
    return true;
  }

 private:
  channel& channel_;
  Item item_;
};

template <class T>
class [[nodiscard]] channel<T>::pop_wait final : private waiting {
 public:
  explicit pop_wait(channel& c) noexcept : channel_(c) {}
  ~pop_wait() {
    if (!this->called_) return;
    --channel_.promised_items_;
    channel_.call_consumer();
  }
  bool await_ready() const noexcept { return channel_.has_item() || channel_.has_ended(); }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    this->coroutine = h;
    channel_.consumers_.push_back(*this);
  }
  std::optional<T> await_resume() {
    if (!this->called_ && !channel_.has_item()) return std::nullopt;
    std::optional<T> item(std::move(channel_.items_.front()));
    if (std::exchange(this->called_, false)) --channel_.promised_items_;
    channel_.took();
    return item;
  }

 private:
  channel& channel_;
};

}  // namespace penstock
