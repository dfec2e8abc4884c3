// budget: a limited resource that is lent in parts: bytes in flight, connections, licences.
//
//   penstock::budget memory(1 << 30);
//   auto mine = memory.acquire(file_size, stop);       // waits until so much is free
//   if (!mine) return;                                 // the stop came first
//   ...
//   mine->shrink_to(what_is_still_needed);             // the rest is free for others
//
// A bound on a whole pipeline, where a queue's capacity bounds one place: the reservation travels with the item and
// ends with it. One who takes all it will need at once can never be part of a deadlock; one who comes back for more
// can. So can one who holds a part while it waits for its turn: take it before an `ordered` stage, not in its function,
// where a later item could take what the item whose turn it is needs.
//
// WITHOUT A THREAD  acquire_in_line() is one turn of the same for somebody who does not sleep: it stands in line, and is told
//          when to try again. The call is its own until it has tried.
// THREADS  Every member at the same time. A reservation belongs to one thread at a time.
// ORDER    First come, first served: a small request does not overtake a large one that waits.
// ENDING   REQUIRES: the budget outlives its reservations.
#pragma once

#include <cassert>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <utility>

#include <penstock/base/links.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock {

class budget {
 public:
  class reservation;

  explicit budget(std::uint64_t limit) noexcept : limit_(limit) {}
  budget(const budget&) = delete;
  budget& operator=(const budget&) = delete;
  ~budget() { assert(in_use() == 0 && "a budget was destroyed while a part of it was lent"); }

  // Waits for its turn and for room. Nothing if the wait limit was reached first. Throws std::invalid_argument if
  // amount > limit(): it would wait for ever.
  [[nodiscard]] std::optional<reservation> acquire(std::uint64_t amount, const wait_limit& limit = {});

  // One who stands in line: without a thread, if it has `told`.
  struct place : link {
    // Constant. Once at most between two calls of acquire_in_line(), and under the mutex.
    void (*told)(place& self) noexcept = nullptr;
    std::uint64_t amount = 0;
    bool called = false;
  };
  // Nothing: `self` stands in line, with the amount it first asked for. REQUIRES: self.told; amount <= limit().
  [[nodiscard]] std::optional<reservation> acquire_in_line(std::uint64_t amount, place& self);
  // It gives up.
  void leave(place& self) noexcept;
  // Whoever stands in line without a thread is told to look again, whether or not there is room.
  void tell_all() noexcept;

  [[nodiscard]] std::uint64_t limit() const noexcept { return limit_; }
  [[nodiscard]] std::uint64_t in_use() const {
    mutex_lock lock(mutex_);
    return in_use_;
  }
  [[nodiscard]] std::uint64_t peak() const {
    mutex_lock lock(mutex_);
    return peak_;
  }

  // Of what a reservation was detach()ed from.
  void give_back(std::uint64_t amount) noexcept {
    mutex_lock lock(mutex_);
    in_use_ -= amount;
    call_first();
  }

 private:
  void call_first() noexcept PENSTOCK_REQUIRES(mutex_) {
    changed_.notify_all();  // all: only the first in line can go on, and a condition cannot choose it
    place* const first = line_.front();
    if (first && first->amount <= limit_ - in_use_) tell(*first);
  }
  static void tell(place& one) noexcept {
    if (!one.told || one.called) return;
    one.called = true;
    one.told(one);
  }
  reservation lent(std::uint64_t amount) noexcept PENSTOCK_REQUIRES(mutex_);

  const std::uint64_t limit_;  // constant after construction

  mutable mutex mutex_;  // guards what follows
  std::uint64_t in_use_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::uint64_t peak_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  links<place> line_ PENSTOCK_GUARDED_BY(mutex_);
  condition changed_;
};

class [[nodiscard]] budget::reservation {
 public:
  reservation(reservation&& other) noexcept
      : owner_(std::exchange(other.owner_, nullptr)), amount_(std::exchange(other.amount_, 0)) {}
  reservation& operator=(reservation&& other) noexcept {
    std::swap(owner_, other.owner_);
    std::swap(amount_, other.amount_);
    return *this;
  }
  ~reservation() { shrink_to(0); }

  [[nodiscard]] std::uint64_t amount() const noexcept { return amount_; }
  // Gives back what is above `amount`; does nothing if there is nothing above it.
  void shrink_to(std::uint64_t amount) noexcept {
    if (amount >= amount_) return;
    owner_->give_back(amount_ - amount);
    amount_ = amount;
  }
  // The reservation ends without giving anything back; whoever calls owes budget::give_back(the result).
  [[nodiscard]] std::uint64_t detach() noexcept { return std::exchange(amount_, 0); }

 private:
  friend class budget;
  reservation(budget& owner, std::uint64_t amount) noexcept : owner_(&owner), amount_(amount) {}
  budget* owner_;
  std::uint64_t amount_;
};

inline std::optional<budget::reservation> budget::acquire(std::uint64_t amount, const wait_limit& limit) {
  if (amount > limit_) throw std::invalid_argument("penstock: more was asked of a budget than there is in all");
  const system::stop_callback on_stop(limit.stop(), [this] {
    mutex_lock lock(mutex_);
    changed_.notify_all();
  });
  place mine;
  mutex_lock lock(mutex_);
  line_.push_back(mine);
  bool granted = true;
  while (line_.front() != &mine || amount > limit_ - in_use_) {
    if (limit.reached()) {
      granted = false;
      break;
    }
    if (limit.has_deadline()) {
      changed_.wait_until(lock, limit.deadline());
    } else {
      changed_.wait(lock);
    }
  }
  mine.unlink();
  if (granted) in_use_ += amount;
  call_first();  // the next one may find room, too
  if (!granted) return std::nullopt;
  return lent(amount);
}

inline std::optional<budget::reservation> budget::acquire_in_line(std::uint64_t amount, place& self) {
  const mutex_lock lock(mutex_);
  if (!self.is_linked()) {
    line_.push_back(self);
    self.amount = amount;
  }
  self.called = false;
  if (line_.front() != &self || self.amount > limit_ - in_use_) return std::nullopt;
  self.unlink();
  in_use_ += self.amount;
  call_first();
  return lent(self.amount);
}

inline void budget::leave(place& self) noexcept {
  const mutex_lock lock(mutex_);
  if (!self.is_linked()) return;
  self.unlink();
  call_first();
}

inline void budget::tell_all() noexcept {
  const mutex_lock lock(mutex_);
  for (place* one = line_.front(); one; one = line_.after(*one)) tell(*one);
}

inline budget::reservation budget::lent(std::uint64_t amount) noexcept {
  if (in_use_ > peak_) peak_ = in_use_;
  return reservation(*this, amount);
}

}  // namespace penstock
