// plain_engine<T>: bounded_queue in its obvious form: one mutex, a ring, two lines of waiting threads. For items that have
// weights or whose moves may throw; and the reference that the fast engine is tested against (plain_queue.hpp).
//
// Each operation is one hold of the lock; one that has to wait stands in its side's wait_line meanwhile, whose rule
// settle() keeps. The comments of bounded_queue.hpp are the contract.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/base/expected.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/accounts.hpp>
#include <penstock/queue/lease.hpp>
#include <penstock/queue/ring.hpp>
#include <penstock/queue/status.hpp>
#include <penstock/queue/wait_line.hpp>

namespace penstock {

// A second limit of a queue: the sum of its items' sizes. An item larger than `limit` enters only an empty queue,
// alone.
template <class T>
struct byte_capacity {
  std::size_t limit;                           // bytes
  std::function<std::size_t(const T&)> bytes;  // of one item; called once per item, before it is pushed
};

template <class T>
class plain_engine final : private lease_issuer {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T> && std::is_destructible_v<T>,
                "plain_engine<T>: T must be a movable object type");

 public:
  explicit plain_engine(std::size_t capacity) : plain_engine(capacity, byte_capacity<T>{0, nullptr}) {}
  plain_engine(std::size_t capacity, byte_capacity<T> weigh)
      : capacity_(capacity), weigh_(std::move(weigh)), ring_(capacity), weights_(weigh_.bytes ? capacity : 0) {}
  plain_engine(const plain_engine&) = delete;
  plain_engine& operator=(const plain_engine&) = delete;
  ~plain_engine();

  // `limit`: null means: do not wait.
  template <class... Args>
  conqueue_status insert(const wait_limit* limit, Args&&... args);
  std::size_t push_range(std::span<T> items, const wait_limit& limit);
  // take(T&, ticket) moves the item out; if it throws, the item stays.
  template <class Take>
  conqueue_status extract(after_pop then, const wait_limit* limit, Take take) {
    return extract_some(1, then, limit, std::move(take));
  }
  std::size_t pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit);

  // Of somebody who does not sleep: instead of waiting, `self` stands in line and is told when to try again.
  conqueue_status insert_in_line(wait_line::place& self, T& item);
  template <class Take>
  conqueue_status extract_in_line(wait_line::place& self, after_pop then, Take take);
  void lose_patience(wait_line::place&) noexcept {}  // nobody's patience is asked here
  // It gives up.
  void leave_insert(wait_line::place& self) noexcept { leave(producers_, self); }
  void leave_extract(wait_line::place& self) noexcept { leave(consumers_, self); }

  void close() noexcept;
  [[nodiscard]] bool is_closed() const noexcept;
  [[nodiscard]] ring<T> cancel() noexcept;
  expected<join_result, conqueue_status> join(const wait_limit& limit);

  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t size_approx() const noexcept;
  [[nodiscard]] queue_statistics statistics() const noexcept;
  [[nodiscard]] lease_issuer& issuer() noexcept { return *this; }

 private:
  using place = wait_line::place;

  template <class... Args>
  conqueue_status insert_weighed(std::size_t weight, const wait_limit* limit, Args&&... args);
  template <class Take>
  conqueue_status extract_some(std::size_t most, after_pop then, const wait_limit* limit, Take take);
  template <class Take>
  std::size_t extract_present(std::size_t most, after_pop then, Take& take) PENSTOCK_REQUIRES(mutex_);

  std::size_t weight_of(const T& item) const { return weigh_.bytes ? weigh_.bytes(item) : 0; }
  bool has_room(std::size_t weight) const noexcept PENSTOCK_REQUIRES(mutex_);
  bool may_enter(std::size_t weight, const place* self) const noexcept PENSTOCK_REQUIRES(mutex_);
  template <class... Args>
  void enter(std::size_t weight, Args&&... args) PENSTOCK_REQUIRES(mutex_);
  void remove_front() noexcept PENSTOCK_REQUIRES(mutex_);  // after the item was moved out
  void settle() noexcept PENSTOCK_REQUIRES(mutex_);        // the rule of wait_line.hpp
  void finish(std::uint64_t count) noexcept PENSTOCK_REQUIRES(mutex_);
  // False if the limit is reached; else one wait, after which the caller looks again.
  bool wait_in(wait_line& line, place& self, const wait_limit& limit, mutex_lock& lock) PENSTOCK_REQUIRES(mutex_);
  void leave(wait_line& line, place& self) noexcept PENSTOCK_NO_THREAD_SAFETY_ANALYSIS;  // takes the mutex; either line
  void lease_ended(std::uint64_t ticket, lease_outcome outcome, std::exception_ptr reason) noexcept override;

  const std::size_t capacity_;    // constant after construction
  const byte_capacity<T> weigh_;  // constant after construction; no function: no limit in bytes

  mutable mutex mutex_;  // guards what follows
  ring<T> ring_ PENSTOCK_GUARDED_BY(mutex_);
  ring<std::size_t> weights_ PENSTOCK_GUARDED_BY(mutex_);  // of the items in ring_; unused without byte_capacity
  std::size_t bytes_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool closed_ PENSTOCK_GUARDED_BY(mutex_) = false;
  wait_line producers_ PENSTOCK_GUARDED_BY(mutex_);
  wait_line consumers_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t unfinished_ PENSTOCK_GUARDED_BY(mutex_) = 0;    // pushed and not yet done
  std::uint64_t idle_moments_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // times that unfinished_ fell to 0
  std::uint64_t leases_out_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  join_result ended_ PENSTOCK_GUARDED_BY(mutex_);
  condition all_done_;
  queue_statistics counts_ PENSTOCK_GUARDED_BY(mutex_);
};

// --- below: how ---

template <class T>
plain_engine<T>::~plain_engine() {
  mutex_lock lock(mutex_);
  assert(leases_out_ == 0 && "a queue was destroyed while a lease was out");
}

template <class T>
bool plain_engine<T>::has_room(std::size_t weight) const noexcept {
  if (ring_.size() == capacity_) return false;
  if (!weigh_.bytes || ring_.empty()) return true;
  return bytes_ <= weigh_.limit && weight <= weigh_.limit - bytes_;
}

// Where weights differ, nobody overtakes the line: light items would keep a heavy one waiting for ever.
template <class T>
bool plain_engine<T>::may_enter(std::size_t weight, const place* self) const noexcept {
  return has_room(weight) && (!weigh_.bytes || producers_.empty() || producers_.head() == self);
}

template <class T>
template <class... Args>
void plain_engine<T>::enter(std::size_t weight, Args&&... args) {
  ring_.emplace_back(std::forward<Args>(args)...);  // the only step that can throw comes first
  if (weigh_.bytes) weights_.emplace_back(weight);
  bytes_ += weight;
  ++unfinished_;
  ++counts_.pushed;
  if (ring_.size() > counts_.peak_size) counts_.peak_size = ring_.size();
}

template <class T>
void plain_engine<T>::remove_front() noexcept {
  ring_.pop_front();
  if (weigh_.bytes) {
    bytes_ -= weights_.front();
    weights_.pop_front();
  }
  ++counts_.popped;
}

template <class T>
void plain_engine<T>::settle() noexcept {
  pending_wakes wakes;
  if (!consumers_.empty() && (!ring_.empty() || closed_)) counts_.wakes += consumers_.call_head(wakes);
  if (!producers_.empty() && (closed_ || has_room(producers_.head()->need)))
    counts_.wakes += producers_.call_head(wakes);
}

template <class T>
void plain_engine<T>::finish(std::uint64_t count) noexcept {
  if (count == 0) return;
  unfinished_ -= count;
  if (unfinished_ != 0) return;
  ++idle_moments_;
  all_done_.notify_all();  // all: everyone who joins waits for the same moment
}

template <class T>
bool plain_engine<T>::wait_in(wait_line& line, place& self, const wait_limit& limit, mutex_lock& lock) {
  if (self.stopped || limit.reached()) return false;
  self.get_ready();
  line.join(self);
  self.sleep(lock, limit.deadline());
  return true;
}

template <class T>
template <class... Args>
conqueue_status plain_engine<T>::insert(const wait_limit* limit, Args&&... args) {
  if constexpr (std::is_same_v<std::tuple<std::remove_cvref_t<Args>...>, std::tuple<T>>) {
    return insert_weighed(weight_of(args...), limit, std::forward<Args>(args)...);
  } else {
    if (weigh_.bytes) return insert(limit, T(std::forward<Args>(args)...));
    return insert_weighed(0, limit, std::forward<Args>(args)...);
  }
}

template <class T>
template <class... Args>
conqueue_status plain_engine<T>::insert_weighed(std::size_t weight, const wait_limit* limit, Args&&... args) {
  {
    mutex_lock lock(mutex_);
    if (closed_) return conqueue_status::closed;
    if (may_enter(weight, nullptr)) {
      enter(weight, std::forward<Args>(args)...);
      settle();
      return conqueue_status::success;
    }
    if (!limit || limit->reached()) return conqueue_status::full;
  }
  place self;
  self.need = weight;
  // Outside of the lock at both ends: its constructor may run it at once, and its destructor waits for it to end.
  const system::stop_callback on_stop(limit->stop(), [this, &self] {
    mutex_lock lock(mutex_);
    self.stopped = true;
    self.wake(nullptr);
  });
  mutex_lock lock(mutex_);
  ++counts_.push_waits;
  conqueue_status status = conqueue_status::success;
  try {
    for (;;) {
      if (closed_) {
        status = conqueue_status::closed;
        break;
      }
      if (may_enter(weight, &self)) {
        enter(weight, std::forward<Args>(args)...);
        break;
      }
      if (!wait_in(producers_, self, *limit, lock)) {
        status = conqueue_status::full;
        break;
      }
    }
  } catch (...) {
    producers_.leave(self);
    settle();
    throw;
  }
  producers_.leave(self);
  settle();
  return status;
}

// Moves out up to `most` of the items that are there. take(item, ticket) moves one; if it throws, that one stays.
template <class T>
template <class Take>
std::size_t plain_engine<T>::extract_present(std::size_t most, after_pop then, Take& take) {
  std::size_t taken = 0;
  const auto account = [&]() PENSTOCK_REQUIRES(mutex_) {
    switch (then) {
      case after_pop::done:
        finish(taken);
        break;
      case after_pop::leased:
        leases_out_ += taken;
        break;
    }
  };
  try {
    while (taken < most && !ring_.empty()) {
      take(ring_.front(), counts_.popped);
      remove_front();
      ++taken;
    }
  } catch (...) {
    account();
    throw;
  }
  account();
  return taken;
}

template <class T>
template <class Take>
conqueue_status plain_engine<T>::extract_some(std::size_t most, after_pop then, const wait_limit* limit, Take take) {
  {
    mutex_lock lock(mutex_);
    if (!ring_.empty()) {
      try {
        extract_present(most, then, take);
      } catch (...) {
        settle();  // some may have left before the one that threw
        throw;
      }
      settle();
      return conqueue_status::success;
    }
    if (closed_) return conqueue_status::closed;
    if (!limit || limit->reached()) return conqueue_status::empty;
  }
  place self;
  const system::stop_callback on_stop(limit->stop(), [this, &self] {
    mutex_lock lock(mutex_);
    self.stopped = true;
    self.wake(nullptr);
  });
  mutex_lock lock(mutex_);
  ++counts_.pop_waits;
  conqueue_status status = conqueue_status::success;
  try {
    for (;;) {
      if (!ring_.empty()) {
        extract_present(most, then, take);
        break;
      }
      if (closed_) {
        status = conqueue_status::closed;
        break;
      }
      if (!wait_in(consumers_, self, *limit, lock)) {
        status = conqueue_status::empty;
        break;
      }
    }
  } catch (...) {
    consumers_.leave(self);
    settle();
    throw;
  }
  consumers_.leave(self);
  settle();
  return status;
}

template <class T>
conqueue_status plain_engine<T>::insert_in_line(place& self, T& item) {
  if (!self.in_line) self.need = weight_of(item);
  mutex_lock lock(mutex_);
  self.get_ready();
  if (!closed_ && !may_enter(self.need, &self)) {
    if (!self.in_line) ++counts_.push_waits;
    producers_.join(self);
    return conqueue_status::full;
  }
  const bool closed = closed_;
  try {
    if (!closed) enter(self.need, std::move(item));
  } catch (...) {
    producers_.leave(self);
    settle();
    throw;
  }
  producers_.leave(self);
  settle();
  return closed ? conqueue_status::closed : conqueue_status::success;
}

template <class T>
template <class Take>
conqueue_status plain_engine<T>::extract_in_line(place& self, after_pop then, Take take) {
  mutex_lock lock(mutex_);
  self.get_ready();
  if (ring_.empty() && !closed_) {
    if (!self.in_line) ++counts_.pop_waits;
    consumers_.join(self);
    return conqueue_status::empty;
  }
  const bool any = !ring_.empty();
  try {
    if (any) extract_present(1, then, take);
  } catch (...) {
    consumers_.leave(self);
    settle();
    throw;
  }
  consumers_.leave(self);
  settle();
  return any ? conqueue_status::success : conqueue_status::closed;
}

template <class T>
void plain_engine<T>::leave(wait_line& line, place& self) noexcept {
  mutex_lock lock(mutex_);
  if (!self.in_line) return;
  line.leave(self);
  settle();
}

template <class T>
std::size_t plain_engine<T>::push_range(std::span<T> items, const wait_limit& limit) {
  std::vector<std::size_t> weights;
  if (weigh_.bytes) {
    weights.reserve(items.size());
    for (const T& item : items) weights.push_back(weight_of(item));
  }
  std::size_t pushed = 0;
  while (pushed < items.size()) {
    {
      mutex_lock lock(mutex_);
      try {
        while (!closed_ && pushed < items.size() && may_enter(weigh_.bytes ? weights[pushed] : 0, nullptr)) {
          enter(weigh_.bytes ? weights[pushed] : 0, std::move(items[pushed]));
          ++pushed;
        }
      } catch (...) {
        settle();
        throw;
      }
      settle();
    }
    if (pushed == items.size()) break;
    const std::size_t weight = weigh_.bytes ? weights[pushed] : 0;
    if (insert_weighed(weight, &limit, std::move(items[pushed])) != conqueue_status::success) break;
    ++pushed;
  }
  return pushed;
}

template <class T>
std::size_t plain_engine<T>::pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit) {
  if (most == 0) return 0;
  const std::size_t before = into.size();
  const std::size_t needed = before + std::min(most, capacity_);
  // May throw, so before anything has left the queue; doubled, because reserve() alone would copy all at every call.
  if (needed > into.capacity()) into.reserve(std::max(needed, 2 * into.capacity()));
  extract_some(std::min(most, capacity_), after_pop::done, &limit,
               [&](T& item, std::uint64_t) { into.push_back(std::move(item)); });
  return into.size() - before;
}

template <class T>
void plain_engine<T>::lease_ended(std::uint64_t, lease_outcome outcome, std::exception_ptr reason) noexcept {
  mutex_lock lock(mutex_);
  --leases_out_;
  if (outcome == lease_outcome::failed) {
    ++ended_.failed;
    if (!ended_.first_failure) ended_.first_failure = std::move(reason);
  }
  finish(1);
}

template <class T>
void plain_engine<T>::close() noexcept {
  mutex_lock lock(mutex_);
  if (closed_) return;
  closed_ = true;
  counts_.wakes += producers_.call_all() + consumers_.call_all();
}

template <class T>
bool plain_engine<T>::is_closed() const noexcept {
  mutex_lock lock(mutex_);
  return closed_;
}

template <class T>
ring<T> plain_engine<T>::cancel() noexcept {
  close();
  mutex_lock lock(mutex_);
  ring<T> waiting = std::move(ring_);  // moves no item, so it cannot throw
  weights_ = {};
  bytes_ = 0;
  ended_.returned += waiting.size();
  finish(waiting.size());
  return waiting;
}

template <class T>
expected<join_result, conqueue_status> plain_engine<T>::join(const wait_limit& limit) {
  const system::stop_callback on_stop(limit.stop(), [this] {
    mutex_lock lock(mutex_);
    all_done_.notify_all();
  });
  mutex_lock lock(mutex_);
  // Counted, because the moment may have passed when this thread gets to look: the next item was pushed meanwhile.
  const std::uint64_t before = idle_moments_;
  while (unfinished_ != 0 && idle_moments_ == before) {
    if (limit.reached()) return unexpected(conqueue_status::busy);
    if (limit.has_deadline()) {
      all_done_.wait_until(lock, limit.deadline());
    } else {
      all_done_.wait(lock);
    }
  }
  join_result result = ended_;
  result.done = counts_.pushed - unfinished_ - result.failed - result.returned;
  return result;
}

template <class T>
std::size_t plain_engine<T>::size_approx() const noexcept {
  mutex_lock lock(mutex_);
  return ring_.size();
}

template <class T>
queue_statistics plain_engine<T>::statistics() const noexcept {
  mutex_lock lock(mutex_);
  queue_statistics now = counts_;
  now.size = ring_.size();
  now.bytes = bytes_;
  return now;
}

}  // namespace penstock
