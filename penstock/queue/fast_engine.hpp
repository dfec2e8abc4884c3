// fast_engine<T>: bounded_queue for items that move without throwing and have no weights. The interface is
// bounded_queue's; this is how.
//
// FAST PATH   One claim in the ring (slot_ring.hpp), one look at a word that says whether anybody sleeps. No lock, no
//             fence, no system call.
// WAITING     First a few yields: a wake costs the waker 6.6 µs and comes 16 µs later, and most waits are shorter. (Where
//             the queue is small, a few looks before: there each item is a handover. In a large one looking steals the
//             cache line that the other side is writing: 40 instead of 80 M items/s.) Then, under the mutex, a place in a
//             wait_line and the futex. The plain queue's rule holds here, too: whenever the mutex is given up at the end
//             of an operation, the head of a line that could go on has been called.
// NO LOST WAKE  Who goes to sleep sets its bit in asleep_, passes a heavy fence and looks at the ring a last time. Who
//             has pushed or popped passes a light fence and looks at asleep_. One of the two sees the other. The bit is
//             taken back as soon as the head has been called: one call outstanding, and for the 16 µs until it is
//             answered the other side stays on its fast path.
// ROOM        A producer that finds a large queue full is called when half of it is free, so that one wake buys many
//             items. For 1 ms only, then by the first free place: the consumer may take one item and wait for this
//             very producer. Half is no promise, so nothing can depend on it.
// JOIN        What was pushed is done when every place is vacated and no lease is out. A lease is counted between the
//             claim of its item and the vacating of its place, so at no moment is an item in neither account.
#pragma once

#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <penstock/base/expected.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/accounts.hpp>
#include <penstock/queue/lease.hpp>
#include <penstock/queue/slot_ring.hpp>
#include <penstock/queue/status.hpp>
#include <penstock/queue/wait_line.hpp>

namespace penstock {

template <class T>
class fast_engine final : private lease_issuer {
 public:
  explicit fast_engine(std::size_t capacity) : ring_(capacity) {}
  fast_engine(const fast_engine&) = delete;
  fast_engine& operator=(const fast_engine&) = delete;
  ~fast_engine() { assert(leases_out_.load() == 0 && "a queue was destroyed while a lease was out"); }

  // `limit`: null means: do not wait.
  template <class... Args>
  conqueue_status insert(const wait_limit* limit, Args&&... args);
  std::size_t push_range(std::span<T> items, const wait_limit& limit);
  // take(T&, ticket) moves the item out; it must not throw.
  template <class Take>
  conqueue_status extract(after_pop then, const wait_limit* limit, Take take) noexcept;
  std::size_t pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit);

  void close() noexcept;
  [[nodiscard]] bool is_closed() const noexcept { return ring_.is_closed(); }
  [[nodiscard]] ring<T> cancel() noexcept;
  expected<join_result, conqueue_status> join(const wait_limit& limit);

  [[nodiscard]] std::size_t capacity() const noexcept { return ring_.capacity(); }
  [[nodiscard]] std::size_t size_approx() const noexcept { return ring_.look().size(); }
  [[nodiscard]] queue_statistics statistics() const noexcept;
  [[nodiscard]] lease_issuer& issuer() noexcept { return *this; }

 private:
  using claim = typename slot_ring<T>::claim;
  using verdict = typename slot_ring<T>::verdict;
  using place = wait_line::place;

  // Bits of asleep_.
  static constexpr std::uint32_t consumer = 1;          // the head of the consumers waits, and was not called
  static constexpr std::uint32_t producer = 2;          // the same of the producers
  static constexpr std::uint32_t patient_producer = 4;  // the same, and half of the queue is what it waits for
  static constexpr std::uint32_t joiner = 8;

  enum class side { producers, consumers };
  // Waits until try_claim() succeeds, the queue is closed, or the limit is reached.
  template <side Side, class Claim>
  claim wait_for(Claim try_claim, const wait_limit& limit);
  claim wait_to_push(const wait_limit& limit) {
    return wait_for<side::producers>([this] { return ring_.claim_push(1); }, limit);
  }
  claim wait_to_pop(std::size_t most, const wait_limit& limit) {
    return wait_for<side::consumers>([this, most] { return ring_.claim_pop(most); }, limit);
  }

  // After something was put into the ring, or taken out of it, or done: whoever waits for that is called.
  void pushed() noexcept {
    system::light_fence();
    if (asleep_.load(std::memory_order_relaxed) & consumer) [[unlikely]]
      call_consumer();
  }
  void popped() noexcept {
    system::light_fence();
    if (asleep_.load(std::memory_order_relaxed) & (producer | patient_producer | joiner)) [[unlikely]]
      call_producer_and_joiners();
  }
  void call_consumer() noexcept;
  void call_producer_and_joiners() noexcept;
  // The rule of wait_line.hpp, for one line.
  template <side Side>
  void settle(pending_wakes& wakes) noexcept PENSTOCK_REQUIRES(mutex_);
  template <side Side>
  [[nodiscard]] bool could_go_on() const noexcept PENSTOCK_REQUIRES(mutex_);
  // In one word, which others read without the mutex.
  void announce(std::uint32_t bits) noexcept PENSTOCK_REQUIRES(mutex_) {
    asleep_.fetch_or(bits, std::memory_order_relaxed);
  }
  void withdraw(std::uint32_t bits) noexcept PENSTOCK_REQUIRES(mutex_) {
    asleep_.fetch_and(~bits, std::memory_order_relaxed);
  }
  [[nodiscard]] bool all_done() const noexcept { return ring_.is_all_vacated() && leases_out_.load() == 0; }
  void lease_ended(std::uint64_t ticket, lease_outcome outcome, std::exception_ptr reason) noexcept override;

  // Patience pays where a wake is dear against the items that half of the queue holds.
  [[nodiscard]] bool is_large() const noexcept { return ring_.capacity() >= 16; }
  static constexpr std::chrono::milliseconds patience{1};

  slot_ring<T> ring_;
  alignas(64) system::atomic<std::uint32_t> asleep_ = 0;  // read by every push and pop, written under mutex_
  system::atomic<std::uint64_t> leases_out_ = 0;

  mutable mutex mutex_;  // guards what follows
  wait_line producers_ PENSTOCK_GUARDED_BY(mutex_);
  wait_line consumers_ PENSTOCK_GUARDED_BY(mutex_);
  std::size_t joiners_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::uint64_t idle_moments_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // that were noticed while somebody joined
  join_result ended_ PENSTOCK_GUARDED_BY(mutex_);
  condition all_done_;
  std::uint64_t push_waits_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::uint64_t pop_waits_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::uint64_t wakes_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  mutable std::size_t peak_size_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool cancelled_ PENSTOCK_GUARDED_BY(mutex_) = false;
};

// --- below: how ---

template <class T>
template <class... Args>
conqueue_status fast_engine<T>::insert(const wait_limit* limit, Args&&... args) {
  if constexpr (!std::is_nothrow_constructible_v<T, Args...>) {
    // What may throw happens before there is a place to be filled, and not for nothing if it can be known.
    if (ring_.is_closed()) return conqueue_status::closed;
    if (!limit && ring_.look().size() == capacity()) return conqueue_status::full;
    return insert(limit, T(std::forward<Args>(args)...));
  } else {
    claim mine = ring_.claim_push(1);
    if (mine.count == 0) [[unlikely]] {
      if (mine.result == verdict::closed) return conqueue_status::closed;
      if (!limit) {
        while (mine.result == verdict::soon) {  // a consumer is moving its item out of there right now
          system::yield();
          mine = ring_.claim_push(1);
        }
      } else if (!limit->reached() || mine.result == verdict::soon) {
        mine = wait_to_push(*limit);
      }
      if (mine.result == verdict::closed) return conqueue_status::closed;
      if (mine.count == 0) return conqueue_status::full;
    }
    ring_.fill(mine, std::forward<Args>(args)...);
    pushed();
    return conqueue_status::success;
  }
}

template <class T>
std::size_t fast_engine<T>::push_range(std::span<T> items, const wait_limit& limit) {
  std::size_t done = 0;
  while (done < items.size()) {
    claim mine = ring_.claim_push(items.size() - done);
    if (mine.count == 0) {
      if (mine.result == verdict::none && limit.reached()) break;
      if (mine.result != verdict::closed) mine = wait_to_push(limit);
      if (mine.count == 0) break;
    }
    ring_.fill_from(mine, items.data() + done);
    done += mine.count;
    pushed();
  }
  return done;
}

template <class T>
template <class Take>
conqueue_status fast_engine<T>::extract(after_pop then, const wait_limit* limit, Take take) noexcept {
  claim mine = ring_.claim_pop(1);
  if (mine.count == 0) [[unlikely]] {
    if (mine.result == verdict::closed) return conqueue_status::closed;
    if (!limit) {
      while (mine.result == verdict::soon) {  // a producer is making its item there right now
        system::yield();
        mine = ring_.claim_pop(1);
      }
    } else if (mine.result == verdict::soon || !limit->reached()) {
      mine = wait_to_pop(1, *limit);
    }
    if (mine.result == verdict::closed) return conqueue_status::closed;
    if (mine.count == 0) return conqueue_status::empty;
  }
  take(*ring_.item(mine), ring_.number(mine));
  if (then == after_pop::leased) leases_out_.fetch_add(1, std::memory_order_relaxed);  // before vacate(); see JOIN
  ring_.vacate(mine);
  popped();
  return conqueue_status::success;
}

template <class T>
std::size_t fast_engine<T>::pop_some(std::vector<T>& into, std::size_t most, const wait_limit& limit) {
  most = std::min(most, capacity());
  if (most == 0) return 0;
  const std::size_t before = into.size();
  // May throw, so before anything has left the queue; doubled, because reserve() alone would copy all at every call.
  if (before + most > into.capacity()) into.reserve(std::max(before + most, 2 * into.capacity()));
  std::size_t taken = 0;
  for (;;) {
    claim mine = ring_.claim_pop(most - taken);
    if (mine.count == 0) {
      if (taken || mine.result == verdict::closed) break;
      if (mine.result == verdict::none && limit.reached()) break;
      mine = wait_to_pop(most, limit);
      if (mine.count == 0) break;
    }
    T* const first = ring_.item(mine);
    into.insert(into.end(), std::move_iterator(first), std::move_iterator(first + mine.count));
    ring_.vacate(mine);
    popped();
    taken += mine.count;
    // A claim ends where the ring's array ends; what is at its beginning belongs to the same answer.
    if (taken == most || mine.index + mine.count != capacity()) break;
  }
  return taken;
}

// --- waiting ---

template <class T>
template <typename fast_engine<T>::side Side, class Claim>
auto fast_engine<T>::wait_for(Claim try_claim, const wait_limit& limit) -> claim {
  claim mine;
  for (int looks = is_large() ? 0 : 30; looks > 0; --looks) {
    mine = try_claim();
    if (mine.count || mine.result == verdict::closed) return mine;
    system::pause();
  }
  for (int yields = 14; yields > 0; --yields) {
    system::yield();
    mine = try_claim();
    if (mine.count || mine.result == verdict::closed) return mine;
    if (mine.result == verdict::none && limit.reached()) return mine;
  }

  constexpr bool for_room = Side == side::producers;
  place self;
  self.patient = for_room && is_large();
  const system::clock::time_point strict_from =
      self.patient ? system::clock::now() + patience : system::clock::time_point::max();
  // Outside of the lock at both ends: its constructor may run it at once, and its destructor waits for it to end.
  const system::stop_callback on_stop(limit.stop(), [this, &self] {
    const mutex_lock lock(mutex_);
    self.stopped = true;
    self.wake(nullptr);
  });
  pending_wakes wakes;
  mutex_lock lock(mutex_);
  wait_line& line = for_room ? producers_ : consumers_;
  ++(for_room ? push_waits_ : pop_waits_);
  if (for_room) peak_size_ = capacity();
  for (;;) {
    line.join(self);
    self.get_ready();
    announce(!for_room ? consumer : self.patient ? patient_producer : producer);
    system::heavy_fence();
    mine = try_claim();
    if (mine.count || mine.result == verdict::closed) break;
    // While somebody is filling or vacating the place, sleep as well: he will look at asleep_ afterwards.
    if (mine.result == verdict::none && (self.stopped || limit.reached())) break;
    self.sleep(lock, std::min(limit.deadline(), self.patient ? strict_from : system::never));
    if (self.patient && system::clock::now() >= strict_from) self.patient = false;
  }
  line.leave(self);
  settle<Side>(wakes);
  return mine;
}

template <class T>
template <typename fast_engine<T>::side Side>
bool fast_engine<T>::could_go_on() const noexcept {
  const auto now = ring_.look();
  if (now.closed) return true;
  if constexpr (Side == side::consumers)
    return now.size() != 0;
  else
    return now.size() <= (producers_.head()->patient ? capacity() / 2 : capacity() - 1);
}

template <class T>
template <typename fast_engine<T>::side Side>
void fast_engine<T>::settle(pending_wakes& wakes) noexcept {
  wait_line& line = Side == side::consumers ? consumers_ : producers_;
  constexpr std::uint32_t all_bits = Side == side::consumers ? consumer : producer | patient_producer;
  if (line.empty() || line.head()->called) return withdraw(all_bits);
  const std::uint32_t bit = Side == side::consumers ? consumer : line.head()->patient ? patient_producer : producer;
  if (!could_go_on<Side>()) {
    if ((asleep_.load(std::memory_order_relaxed) & all_bits) == bit) return;
    withdraw(all_bits & ~bit);
    announce(bit);
    system::heavy_fence();  // see NO LOST WAKE: announced, now look again
    if (!could_go_on<Side>()) return;
  }
  wakes_ += line.call_head(wakes);
  withdraw(all_bits);
}

template <class T>
void fast_engine<T>::call_consumer() noexcept {
  pending_wakes wakes;
  const mutex_lock lock(mutex_);
  settle<side::consumers>(wakes);
}

template <class T>
void fast_engine<T>::call_producer_and_joiners() noexcept {
  const std::uint32_t who = asleep_.load(std::memory_order_relaxed);
  if (!(who & (producer | joiner)) && ring_.look().size() > capacity() / 2) return;  // the producer is patient
  pending_wakes wakes;
  const mutex_lock lock(mutex_);
  settle<side::producers>(wakes);
  if (joiners_ && all_done()) {
    ++idle_moments_;
    all_done_.notify_all();  // all: everyone who joins waits for the same moment
  }
}

// --- leases, the end ---

template <class T>
void fast_engine<T>::lease_ended(std::uint64_t, lease_outcome outcome, std::exception_ptr reason) noexcept {
  if (outcome == lease_outcome::failed) {
    const mutex_lock lock(mutex_);
    ++ended_.failed;
    if (!ended_.first_failure) ended_.first_failure = std::move(reason);
  }
  // release: whoever joins has what was done with the item behind him.
  if (leases_out_.fetch_sub(1, std::memory_order_acq_rel) == 1) popped();
}

template <class T>
void fast_engine<T>::close() noexcept {
  const mutex_lock lock(mutex_);
  if (ring_.is_closed()) return;
  ring_.close();
  wakes_ += producers_.call_all() + consumers_.call_all();
}

template <class T>
ring<T> fast_engine<T>::cancel() noexcept {
  close();
  ring<T> waiting;
  {
    const mutex_lock lock(mutex_);
    if (cancelled_) return waiting;
    cancelled_ = true;
    waiting = ring_.take_all();
    ended_.returned += waiting.size();
    all_done_.notify_all();
  }
  return waiting;
}

template <class T>
expected<join_result, conqueue_status> fast_engine<T>::join(const wait_limit& limit) {
  const system::stop_callback on_stop(limit.stop(), [this] {
    const mutex_lock lock(mutex_);
    all_done_.notify_all();
  });
  mutex_lock lock(mutex_);
  // Counted, because the moment may have passed when this thread gets to look: the next item was pushed meanwhile.
  const std::uint64_t before = idle_moments_;
  ++joiners_;
  announce(joiner);
  system::heavy_fence();
  bool reached = false;
  while (!all_done() && idle_moments_ == before && !(reached = limit.reached())) {
    if (limit.has_deadline()) {
      all_done_.wait_until(lock, limit.deadline());
    } else {
      all_done_.wait(lock);
    }
  }
  if (--joiners_ == 0) withdraw(joiner);
  if (reached) return unexpected(conqueue_status::busy);
  join_result result = ended_;
  result.done = ring_.look().popped - leases_out_.load() - result.failed - result.returned;
  return result;
}

template <class T>
queue_statistics fast_engine<T>::statistics() const noexcept {
  const mutex_lock lock(mutex_);
  const auto now = ring_.look();
  queue_statistics s;
  s.pushed = now.pushed;
  s.popped = now.popped - ended_.returned;
  s.size = now.size();
  s.push_waits = push_waits_;
  s.pop_waits = pop_waits_;
  s.wakes = wakes_;
  s.peak_size = peak_size_ = std::max(peak_size_, s.size);
  return s;
}

}  // namespace penstock
