// plain_queue<T>: the bounded queue in its obvious form: one mutex, a ring, two lines of waiting threads. The reference
// that bounded_queue is tested against, and its engine where items have weights or moves that may throw.
//
// Names and meanings are those of the standard's proposed concurrent queues (P0260R20); everything else is an
// additional overload.
//
// THREADS  Every member may be called at the same time, constructor and destructor excepted. Waiting threads are served
//          first come, first served, though one that need not wait may overtake those being woken. T's moves and
//          destructor run under the queue's lock: they must not call the queue. The weighing function runs outside of
//          it.
// ORDER    Items leave in the order in which they entered; the items of one producer in the order of its pushes.
// ENDING   close(): no more will come; what waits is still popped; everyone who blocks is woken. Final.
//          cancel(): close(), and what waits is handed back to the caller, oldest first.
//          join(): every item that was ever pushed is done: popped by pop(), its lease ended, or handed back by
//          cancel().
//          Destroying: REQUIRES that no call is under way and no lease is out. Items still inside are destroyed.
// REFUSED  An item that is not taken (full, closed, an exception) stays with its owner, unchanged. (emplace into a
//          queue with a limit in bytes is the exception: the item has to be made before it can be weighed.)
// THROWS   A push that throws leaves the queue as it was (push_range: what was taken before that is in). A pop whose
//          move out throws leaves the item where it is, at the front.
// MEMORY   The constructor is the only allocation.
// COST     One lock per call, one wake per need, no processor use while waiting.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <optional>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/base/expected.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/concepts.hpp>
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

// What has happened so far. Each value is exact at one moment.
struct queue_statistics {
  std::uint64_t pushed = 0;
  std::uint64_t popped = 0;      // by pop and take in all their forms; not what cancel() handed back
  std::uint64_t push_waits = 0;  // pushes that had to wait
  std::uint64_t pop_waits = 0;   // pops that had to wait
  std::uint64_t wakes = 0;       // of waiting threads: one per need
  std::size_t size = 0;          // items inside now
  std::size_t bytes = 0;         // their size now; 0 without byte_capacity
  std::size_t peak_size = 0;
};

// What join() found.
struct join_result {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;            // leases that ended by fail() or by an exception
  std::uint64_t returned = 0;          // handed back by cancel()
  std::exception_ptr first_failure{};  // the first reason that was given to fail(); may be null though failed > 0
};

template <class T>
class plain_queue final : private lease_issuer {
  static_assert(std::is_object_v<T> && std::is_move_constructible_v<T> && std::is_destructible_v<T>,
                "plain_queue<T>: T must be a movable object type");

 public:
  using value_type = T;
  class items_range;

  // REQUIRES: capacity > 0 (throws std::invalid_argument).
  explicit plain_queue(std::size_t capacity);
  plain_queue(std::size_t capacity, byte_capacity<T> weigh);
  plain_queue(const plain_queue&) = delete;
  plain_queue& operator=(const plain_queue&) = delete;
  ~plain_queue();

  // --- pushing ------------------------------------------------------------------------------------------------------
  // Waits for room. False iff the queue is closed.
  bool push(const T& item) { return push(item, wait_limit{}) == conqueue_status::success; }
  bool push(T&& item) { return push(std::move(item), wait_limit{}) == conqueue_status::success; }
  template <class... Args>
  bool emplace(Args&&... args) {
    return emplace_within(wait_limit{}, std::forward<Args>(args)...) == conqueue_status::success;
  }
  // Returns success, closed, or full when the limit was reached first.
  conqueue_status push(const T& item, const wait_limit& limit) { return insert(item, &limit); }
  conqueue_status push(T&& item, const wait_limit& limit) { return insert(std::move(item), &limit); }
  // Never waits: success, full or closed.
  conqueue_status try_push(const T& item) { return insert(item, nullptr); }
  conqueue_status try_push(T&& item) { return insert(std::move(item), nullptr); }
  template <class... Args>
  conqueue_status try_emplace(Args&&... args) {
    return insert_made(nullptr, std::forward<Args>(args)...);
  }
  // Moves the items in, in order, waiting for room as often as it takes, many under one lock. Returns how many were
  // taken: fewer than all only when the queue was closed or the limit reached; the rest is unchanged. Other producers'
  // items may come between.
  std::size_t push_range(std::span<T> items, const wait_limit& limit = {});

  // --- popping ------------------------------------------------------------------------------------------------------
  // Waits for an item. Empty iff the queue is closed and drained.
  [[nodiscard]] std::optional<T> pop();
  // Returns the item, closed, or empty when the limit was reached first.
  expected<T, conqueue_status> pop(const wait_limit& limit) { return pop_within(&limit); }
  // Never waits.
  expected<T, conqueue_status> try_pop() { return pop_within(nullptr); }
  // Waits for at least one item, then appends what is there, at most `most`, to `into`, under one lock. Returns how
  // many; 0 iff closed and drained, the limit was reached, or most == 0.
  std::size_t pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit = {});

  // The same with the duty to say how each item ended; see lease.hpp.
  [[nodiscard]] std::optional<lease<T>> take();
  expected<lease<T>, conqueue_status> take(const wait_limit& limit) { return take_within(&limit); }
  expected<lease<T>, conqueue_status> try_take() { return take_within(nullptr); }
  // for (auto& item : queue.items()): each item leased for one turn of the loop; ends when closed and drained, or at
  // the limit.
  [[nodiscard]] items_range items(wait_limit limit = {}) { return items_range(*this, std::move(limit)); }

  // --- ending -------------------------------------------------------------------------------------------------------
  void close() noexcept;
  [[nodiscard]] bool is_closed() const noexcept;
  [[nodiscard]] ring<T> cancel() noexcept;
  // Waits until, at some moment during the call, every item pushed so far is done. The queue need not be closed; items
  // whose consumers are gone keep it waiting, so close and cancel before joining, or give a limit (then: busy when it
  // was reached first).
  join_result join();
  expected<join_result, conqueue_status> join(const wait_limit& limit);

  // --- looking ------------------------------------------------------------------------------------------------------
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] std::size_t size_approx() const noexcept;  // true at one moment; old news when you read it
  [[nodiscard]] queue_statistics statistics() const noexcept;

 private:
  using place = wait_line::place;

  template <class Item>
  conqueue_status insert(Item&& item, const wait_limit* limit) {
    return insert_weighed(weight_of(item), limit, std::forward<Item>(item));
  }
  template <class... Args>
  conqueue_status insert_made(const wait_limit* limit, Args&&... args) {
    if (weigh_.bytes) return insert(T(std::forward<Args>(args)...), limit);
    return insert_weighed(0, limit, std::forward<Args>(args)...);
  }
  template <class... Args>
  conqueue_status emplace_within(const wait_limit& limit, Args&&... args) {
    return insert_made(&limit, std::forward<Args>(args)...);
  }
  template <class... Args>
  conqueue_status insert_weighed(std::size_t weight, const wait_limit* limit, Args&&... args);
  expected<T, conqueue_status> pop_within(const wait_limit* limit);  // null: do not wait
  expected<lease<T>, conqueue_status> take_within(const wait_limit* limit);
  enum class after_pop { done, leased };
  template <class Take>
  conqueue_status extract(std::size_t most, after_pop then, const wait_limit* limit, Take take);
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

// The range behind items(). Single pass; one per consuming thread.
template <class T>
class plain_queue<T>::items_range {
 public:
  struct sentinel {};
  class iterator {
   public:
    T& operator*() const noexcept { return **range_->current_; }
    iterator& operator++() {
      range_->advance();
      return *this;
    }
    bool operator==(sentinel) const noexcept { return !range_->current_; }

   private:
    friend class items_range;
    explicit iterator(items_range& range) noexcept : range_(&range) {}
    items_range* range_;
  };

  iterator begin() {
    advance();
    return iterator(*this);
  }
  sentinel end() const noexcept { return {}; }

 private:
  friend class plain_queue;
  items_range(plain_queue& queue, wait_limit limit) : queue_(queue), limit_(std::move(limit)) {}
  void advance() {
    current_.reset();  // the item before this one is done, before this thread waits for the next
    queue_.extract(1, after_pop::leased, &limit_, [this](T& item, std::uint64_t ticket) {
      current_.emplace(std::move(item), static_cast<lease_issuer&>(queue_), ticket);
    });
  }

  plain_queue& queue_;
  wait_limit limit_;
  std::optional<lease<T>> current_;
};

// --- below: how ---

template <class T>
plain_queue<T>::plain_queue(std::size_t capacity) : plain_queue(capacity, byte_capacity<T>{0, nullptr}) {}

template <class T>
plain_queue<T>::plain_queue(std::size_t capacity, byte_capacity<T> weigh)
    : capacity_(capacity), weigh_(std::move(weigh)), ring_(capacity), weights_(weigh_.bytes ? capacity : 0) {
  if (capacity == 0) throw std::invalid_argument("penstock: a bounded_queue needs a capacity of at least 1");
}

template <class T>
plain_queue<T>::~plain_queue() {
  mutex_lock lock(mutex_);
  assert(leases_out_ == 0 && "a queue was destroyed while a lease was out");
}

template <class T>
bool plain_queue<T>::has_room(std::size_t weight) const noexcept {
  if (ring_.size() == capacity_) return false;
  if (!weigh_.bytes || ring_.empty()) return true;
  return bytes_ <= weigh_.limit && weight <= weigh_.limit - bytes_;
}

// Where weights differ, nobody overtakes the line: light items would keep a heavy one waiting for ever.
template <class T>
bool plain_queue<T>::may_enter(std::size_t weight, const place* self) const noexcept {
  return has_room(weight) && (!weigh_.bytes || producers_.empty() || producers_.head() == self);
}

template <class T>
template <class... Args>
void plain_queue<T>::enter(std::size_t weight, Args&&... args) {
  ring_.emplace_back(std::forward<Args>(args)...);  // the only step that can throw comes first
  if (weigh_.bytes) weights_.emplace_back(weight);
  bytes_ += weight;
  ++unfinished_;
  ++counts_.pushed;
  if (ring_.size() > counts_.peak_size) counts_.peak_size = ring_.size();
}

template <class T>
void plain_queue<T>::remove_front() noexcept {
  ring_.pop_front();
  if (weigh_.bytes) {
    bytes_ -= weights_.front();
    weights_.pop_front();
  }
  ++counts_.popped;
}

template <class T>
void plain_queue<T>::settle() noexcept {
  if (!consumers_.empty() && (!ring_.empty() || closed_)) counts_.wakes += consumers_.call_head();
  if (!producers_.empty() && (closed_ || has_room(producers_.head()->need))) counts_.wakes += producers_.call_head();
}

template <class T>
void plain_queue<T>::finish(std::uint64_t count) noexcept {
  if (count == 0) return;
  unfinished_ -= count;
  if (unfinished_ != 0) return;
  ++idle_moments_;
  all_done_.notify_all();  // all: everyone who joins waits for the same moment
}

template <class T>
bool plain_queue<T>::wait_in(wait_line& line, place& self, const wait_limit& limit, mutex_lock& lock) {
  if (self.stopped || limit.reached()) return false;
  self.called = false;
  if (!self.in_line) line.join(self);
  if (limit.has_deadline()) {
    self.ready.wait_until(lock, limit.deadline());
  } else {
    self.ready.wait(lock);
  }
  return true;
}

template <class T>
template <class... Args>
conqueue_status plain_queue<T>::insert_weighed(std::size_t weight, const wait_limit* limit, Args&&... args) {
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
  const std::stop_callback on_stop(limit->stop(), [this, &self] {
    mutex_lock lock(mutex_);
    self.stopped = true;
    self.ready.notify_one();
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
std::size_t plain_queue<T>::extract_present(std::size_t most, after_pop then, Take& take) {
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
conqueue_status plain_queue<T>::extract(std::size_t most, after_pop then, const wait_limit* limit, Take take) {
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
  const std::stop_callback on_stop(limit->stop(), [this, &self] {
    mutex_lock lock(mutex_);
    self.stopped = true;
    self.ready.notify_one();
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
std::size_t plain_queue<T>::push_range(std::span<T> items, const wait_limit& limit) {
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
std::optional<T> plain_queue<T>::pop() {
  std::optional<T> out;
  const wait_limit for_ever;
  extract(1, after_pop::done, &for_ever, [&](T& item, std::uint64_t) { out.emplace(std::move(item)); });
  return out;
}

// Made in the place that the caller gets, so that a throwing move has one chance only, before the item has left the
// queue.
template <class T>
expected<T, conqueue_status> plain_queue<T>::pop_within(const wait_limit* limit) {
  expected<T, conqueue_status> out{unexpected(conqueue_status::empty)};
  const auto status =
      extract(1, after_pop::done, limit, [&](T& item, std::uint64_t) { emplace_value(out, std::move(item)); });
  if (status != conqueue_status::success) out = unexpected(status);
  return out;
}

template <class T>
expected<lease<T>, conqueue_status> plain_queue<T>::take_within(const wait_limit* limit) {
  expected<lease<T>, conqueue_status> out{unexpected(conqueue_status::empty)};
  const auto status = extract(1, after_pop::leased, limit, [&](T& item, std::uint64_t ticket) {
    emplace_value(out, std::move(item), static_cast<lease_issuer&>(*this), ticket);
  });
  if (status != conqueue_status::success) out = unexpected(status);
  return out;
}

template <class T>
std::size_t plain_queue<T>::pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit) {
  if (most == 0) return 0;
  const std::size_t before = into.size();
  const std::size_t needed = before + std::min(most, capacity_);
  // May throw, so before anything has left the queue; doubled, because reserve() alone would copy all at every call.
  if (needed > into.capacity()) into.reserve(std::max(needed, 2 * into.capacity()));
  extract(std::min(most, capacity_), after_pop::done, &limit,
          [&](T& item, std::uint64_t) { into.push_back(std::move(item)); });
  return into.size() - before;
}

template <class T>
std::optional<lease<T>> plain_queue<T>::take() {
  std::optional<lease<T>> out;
  const wait_limit for_ever;
  extract(1, after_pop::leased, &for_ever, [&](T& item, std::uint64_t ticket) {
    out.emplace(std::move(item), static_cast<lease_issuer&>(*this), ticket);
  });
  return out;
}

template <class T>
void plain_queue<T>::lease_ended(std::uint64_t, lease_outcome outcome, std::exception_ptr reason) noexcept {
  mutex_lock lock(mutex_);
  --leases_out_;
  if (outcome == lease_outcome::failed) {
    ++ended_.failed;
    if (!ended_.first_failure) ended_.first_failure = std::move(reason);
  }
  finish(1);
}

template <class T>
void plain_queue<T>::close() noexcept {
  mutex_lock lock(mutex_);
  if (closed_) return;
  closed_ = true;
  counts_.wakes += producers_.call_all() + consumers_.call_all();
}

template <class T>
bool plain_queue<T>::is_closed() const noexcept {
  mutex_lock lock(mutex_);
  return closed_;
}

template <class T>
ring<T> plain_queue<T>::cancel() noexcept {
  close();
  mutex_lock lock(mutex_);
  ring<T> waiting = std::move(ring_);  // moves no item, so it cannot throw
  while (!weights_.empty()) weights_.pop_front();
  bytes_ = 0;
  ended_.returned += waiting.size();
  finish(waiting.size());
  return waiting;
}

template <class T>
join_result plain_queue<T>::join() {
  return *join(wait_limit{});
}

template <class T>
expected<join_result, conqueue_status> plain_queue<T>::join(const wait_limit& limit) {
  const std::stop_callback on_stop(limit.stop(), [this] {
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
std::size_t plain_queue<T>::size_approx() const noexcept {
  mutex_lock lock(mutex_);
  return ring_.size();
}

template <class T>
queue_statistics plain_queue<T>::statistics() const noexcept {
  mutex_lock lock(mutex_);
  queue_statistics now = counts_;
  now.size = ring_.size();
  now.bytes = bytes_;
  return now;
}

static_assert(concurrent_queue<plain_queue<int>>);

}  // namespace penstock
