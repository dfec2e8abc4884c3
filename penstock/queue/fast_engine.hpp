// fast_engine<T>: bounded_queue for items that move without throwing and have no weights. The interface is
// bounded_queue's; this is how.
//
// FAST PATH   One claim in the ring (slot_ring.hpp), and one look at whether anybody sleeps on the other side
//             (wait_side.hpp). No lock, no fence, no system call.
// ROOM        A producer that finds a large queue full is called when half of it is free; see wait_side.hpp, PATIENCE.
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
#include <penstock/queue/wait_side.hpp>

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

  // Of somebody who does not sleep: instead of waiting, `self` stands in line and is told when to try again.
  conqueue_status insert_in_line(wait_line::place& self, T& item) noexcept;
  template <class Take>
  conqueue_status extract_in_line(wait_line::place& self, after_pop then, Take take) noexcept;
  // It has said that it was patient, and was for long enough.
  void lose_patience(wait_line::place& self) noexcept { producers_.lose_patience(self, has_room()); }
  // It gives up.
  void leave_insert(wait_line::place& self) noexcept { producers_.leave(self, has_room()); }
  void leave_extract(wait_line::place& self) noexcept { consumers_.leave(self, has_item()); }

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

  template <class Take>
  void take_out(const claim& mine, after_pop then, Take& take) noexcept;
  claim wait_to_push(const wait_limit& limit);
  claim wait_to_pop(std::size_t most, const wait_limit& limit);
  static trial outcome(const claim& c) noexcept {
    return c.count || c.result == verdict::closed ? trial::done
           : c.result == verdict::soon            ? trial::soon
                                                  : trial::again;
  }
  [[nodiscard]] auto has_item() const noexcept {
    return [this](bool) {
      const auto now = ring_.look();
      return now.size() != 0 || now.closed;
    };
  }
  [[nodiscard]] auto has_room() const noexcept {
    return [this](bool patient) {
      const auto now = ring_.look();
      return now.size() <= (patient ? capacity() / 2 : capacity() - 1) || now.closed;
    };
  }
  void pushed() noexcept { consumers_.changed(has_item()); }
  void popped() noexcept {
    producers_.changed(has_room());
    tell_joiners();
  }
  void tell_joiners() noexcept {
    if (joining_.load(std::memory_order_relaxed)) [[unlikely]]
      tell_joiners_under_lock();
  }
  void tell_joiners_under_lock() noexcept;
  [[nodiscard]] bool all_done() const noexcept { return ring_.is_all_vacated() && leases_out_.load() == 0; }
  void lease_ended(std::uint64_t ticket, lease_outcome outcome, std::exception_ptr reason) noexcept override;

  // Patience pays where a wake is dear against the items that half of the queue holds.
  [[nodiscard]] bool is_large() const noexcept { return ring_.capacity() >= 16; }

  slot_ring<T> ring_;
  alignas(64) wait_side producers_;
  system::atomic<std::uint32_t> joining_ = 0;  // whether anybody joins; written under mutex_
  alignas(64) wait_side consumers_;
  system::atomic<std::uint64_t> leases_out_ = 0;

  mutable mutex mutex_;                                         // guards what follows
  std::uint64_t idle_moments_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // that were noticed while somebody joined
  join_result ended_ PENSTOCK_GUARDED_BY(mutex_);
  condition all_done_;
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
    if (ring_.look().size() == capacity() && (!limit || limit->reached())) return conqueue_status::full;
    return insert(limit, T(std::forward<Args>(args)...));
  } else {
    claim mine = ring_.claim_push(1);
    if (mine.count == 0) [[unlikely]] {
      if (!limit) {
        for (system::backoff pause; mine.result == verdict::soon;) {  // a consumer is moving its item out right now
          pause.once();
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
    if (!limit) {
      for (system::backoff pause; mine.result == verdict::soon;) {  // a producer is making its item right now
        pause.once();
        mine = ring_.claim_pop(1);
      }
    } else if (mine.result == verdict::soon || !limit->reached()) {
      mine = wait_to_pop(1, *limit);
    }
    if (mine.result == verdict::closed) return conqueue_status::closed;
    if (mine.count == 0) return conqueue_status::empty;
  }
  take_out(mine, then, take);
  return conqueue_status::success;
}

template <class T>
template <class Take>
void fast_engine<T>::take_out(const claim& mine, after_pop then, Take& take) noexcept {
  take(*ring_.item(mine), ring_.number(mine));
  if (then == after_pop::leased) leases_out_.fetch_add(1, std::memory_order_relaxed);  // before vacate(); see JOIN
  ring_.vacate(mine);
  popped();
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
auto fast_engine<T>::wait_to_push(const wait_limit& limit) -> claim {
  claim mine;
  producers_.wait_for([&] { return outcome(mine = ring_.claim_push(1)); }, has_room(), limit, is_large(), is_large());
  return mine;
}

template <class T>
auto fast_engine<T>::wait_to_pop(std::size_t most, const wait_limit& limit) -> claim {
  claim mine;
  consumers_.wait_for([&] { return outcome(mine = ring_.claim_pop(most)); }, has_item(), limit, is_large(), false);
  return mine;
}

template <class T>
conqueue_status fast_engine<T>::insert_in_line(wait_line::place& self, T& item) noexcept {
  claim mine;
  producers_.wait_in_line(
      self, [&] { return outcome(mine = ring_.claim_push(1)); }, has_room());
  if (mine.result == verdict::closed) return conqueue_status::closed;
  if (mine.count == 0) return conqueue_status::full;
  ring_.fill(mine, std::move(item));
  pushed();
  return conqueue_status::success;
}

template <class T>
template <class Take>
conqueue_status fast_engine<T>::extract_in_line(wait_line::place& self, after_pop then, Take take) noexcept {
  claim mine;
  consumers_.wait_in_line(
      self, [&] { return outcome(mine = ring_.claim_pop(1)); }, has_item());
  if (mine.result == verdict::closed) return conqueue_status::closed;
  if (mine.count == 0) return conqueue_status::empty;
  take_out(mine, then, take);
  return conqueue_status::success;
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
  if (leases_out_.fetch_sub(1, std::memory_order_acq_rel) == 1) tell_joiners();
}

template <class T>
void fast_engine<T>::tell_joiners_under_lock() noexcept {
  const mutex_lock lock(mutex_);
  if (!all_done()) return;
  ++idle_moments_;
  all_done_.notify_all();  // all: everyone who joins waits for the same moment
}

template <class T>
void fast_engine<T>::close() noexcept {
  if (ring_.is_closed()) return;
  ring_.close();
  producers_.call_all();
  consumers_.call_all();
}

template <class T>
ring<T> fast_engine<T>::cancel() noexcept {
  close();
  ring<T> waiting;
  {
    const mutex_lock lock(mutex_);
    if (std::exchange(cancelled_, true)) return waiting;
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
  joining_.fetch_add(1, std::memory_order_relaxed);
  system::heavy_fence();  // pairs with the light one in popped()
  bool reached = false;
  while (!all_done() && idle_moments_ == before && !(reached = limit.reached())) {
    if (limit.has_deadline()) {
      all_done_.wait_until(lock, limit.deadline());
    } else {
      all_done_.wait(lock);
    }
  }
  joining_.fetch_sub(1, std::memory_order_relaxed);
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
  const auto producers = producers_.so_far();
  const auto consumers = consumers_.so_far();
  s.push_waits = producers.waits;
  s.pop_waits = consumers.waits;
  s.wakes = producers.wakes + consumers.wakes;
  peak_size_ = s.push_waits ? capacity() : std::max(peak_size_, s.size);  // who waits to push has seen it full
  s.peak_size = peak_size_;
  return s;
}

}  // namespace penstock
