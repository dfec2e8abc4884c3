// entrance<T>: where items wait before a stage: a ring, and the places that are still free.
//
// A place is promised first (reserve) and filled later (put), so that a worker that takes several items at once knows
// that the results of all of them will find room, and what waits in workers' hands counts against the capacity until it
// is begun: freed() is said when an item's work begins, not when it leaves the ring. So before a stage wait at most
// `capacity` items, wherever they are.
//
// A limit in bytes is a second promise, of the size of each item, that only putting them one by one can keep: reserve()
// promises nothing then.
//
// THREADS  Every member at the same time, hand_over() excepted.
// ENDING   close(): puts are refused, the items stay with their owner; what waits can still be taken; everyone who waits
//          here is woken.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <stop_token>
#include <utility>

#include <penstock/base/budget.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/pipeline/item.hpp>
#include <penstock/queue/slot_ring.hpp>
#include <penstock/queue/status.hpp>
#include <penstock/queue/wait_side.hpp>

namespace penstock {

// Where somebody stands who waits before an entrance without a thread: in its line for bytes, then in that for room.
class outside_place {
 public:
  outside_place() noexcept {
    for_room.whole = for_bytes.whole = this;
    for_room.told = [](wait_line::place& p) noexcept { static_cast<part<wait_line::place>&>(p).whole->told(); };
    for_bytes.told = [](budget::place& p) noexcept { static_cast<part<budget::place>&>(p).whole->told(); };
  }
  outside_place(const outside_place&) = delete;
  outside_place& operator=(const outside_place&) = delete;

  // To try again. On any thread, under the mutex of a line; once at most between two tries.
  virtual void told() noexcept = 0;

  // --- the entrance's ---
  template <class Place>
  struct part : Place {
    outside_place* whole = nullptr;
  };
  part<wait_line::place> for_room;
  part<budget::place> for_bytes;
  std::uint64_t bytes = 0;  // that it has got
  bool began = false;       // it has asked before

 protected:
  ~outside_place() = default;
  // Whether a call may be on its way. REQUIRES: it stands in no line.
  [[nodiscard]] bool was_told() const noexcept {
    return for_bytes.called || for_room.awake.load(std::memory_order_relaxed) != 0;
  }
};

template <class T>
class entrance {
 public:
  // capacity_bytes: 0: no limit in bytes.
  entrance(std::size_t capacity, std::size_t capacity_bytes)
      : ring_(capacity), room_(static_cast<std::int64_t>(capacity)) {
    if (capacity_bytes) bytes_.emplace(capacity_bytes);
  }

  // --- putting in ---
  // Promises up to `most` places without waiting; returns how many.
  [[nodiscard]] std::size_t reserve(std::size_t most) noexcept { return bytes_ ? 0 : take_room(most); }
  void give_back(std::size_t places) noexcept { freed(places); }
  // Puts `count` items into as many promised places. Returns how many: all, or fewer if closed; the rest is unchanged
  // and its places are given back.
  std::size_t put(envelope<T>* items, std::size_t count) noexcept;
  // Waits for a place, and for room for item.bytes. `limit`: null: do not wait. Success, closed, or full; an item that
  // is refused is unchanged.
  conqueue_status put(envelope<T>& item, const wait_limit* limit);

  // `count` items with promised places go past the ring, to a thread that works at them now.
  void carried_past(std::size_t count) noexcept { carried_.fetch_add(count, std::memory_order_relaxed); }
  void not_carried_past(std::size_t count) noexcept { carried_.fetch_sub(count, std::memory_order_relaxed); }

  // --- taking out ---
  struct batch {
    std::size_t count = 0;
    std::uint64_t ticket = 0;  // how many items left before the first of these; the others' follow
  };
  // Calls take(envelope<T>&&) for up to `most` items that are there, in order. Their places stay occupied until freed().
  template <class Take>
  batch take(std::size_t most, Take take) noexcept;
  void freed(std::size_t places) noexcept {
    room_.fetch_add(static_cast<std::int64_t>(places), std::memory_order_release);
    for_room_.changed(room_for_one());
  }
  // Items that were taken and not begun, and that any worker may begin now: they count as waiting. When one is begun, or
  // more of them are there.
  void share(std::size_t count) noexcept {
    shared_.fetch_add(count);
    for_items_.changed(items_or_end());
  }
  void shared_one_begins() noexcept { shared_.fetch_sub(1); }
  // Around a turn of a thread that waits here for items, from before it takes some: they may be shared later. Until it ends
  // the entrance is not drained, and no other such thread goes away.
  void turn_begins() noexcept { turns_.fetch_add(1); }
  void turn_ends() noexcept {
    if (turns_.fetch_sub(1) == 1 && is_closed()) for_items_.call_all();
  }
  [[nodiscard]] std::size_t shared() const noexcept { return shared_.load(); }
  // Waits until something was there, which another thread may have taken by now (true), or the entrance is closed and
  // drained.
  bool wait_for_items() {
    for_items_.wait_for([&] { return waiting() || is_drained() ? trial::done : trial::again; }, items_or_end(),
                        wait_limit{}, true, false);
    return !is_drained();
  }

  // --- for those who wait without a thread: place::told ---
  // Whether something is there, or the end. False: `self` stands in line.
  bool items_in_line(wait_line::place& self) {
    return for_items_.wait_in_line(
               self, [&] { return waiting() || is_drained() ? trial::done : trial::again; }, items_or_end()) ==
           trial::done;
  }
  void leave_items_line(wait_line::place& self) noexcept { for_items_.leave(self, items_or_end()); }
  // As put() of one item. full: `self` stands in line, for bytes or for room, and tries again when it is told. Otherwise it
  // stands in none.
  conqueue_status put_in_line(envelope<T>& item, outside_place& self);
  void leave_line(outside_place& self) noexcept {
    for_room_.leave(self.for_room, room_for_one());
    if (!bytes_) return;
    bytes_->leave(self.for_bytes);
    if (self.bytes) bytes_->give_back(std::exchange(self.bytes, 0));
  }

  // --- the end ---
  void close() noexcept {
    ring_.close();
    closing_.request_stop();
    if (bytes_) bytes_->tell_all();
    for_room_.call_all();
    for_items_.call_all();
  }
  // What was never taken. REQUIRES: closed, no other call under way or to come.
  [[nodiscard]] ring<envelope<T>> hand_over() noexcept {
    ring<envelope<T>> rest = ring_.take_all();
    if (bytes_)
      for (const envelope<T>& e : rest) bytes_->give_back(weight_of(e));
    return rest;
  }

  // --- looking ---
  [[nodiscard]] bool is_closed() const noexcept { return ring_.is_closed(); }
  [[nodiscard]] bool is_drained() const noexcept {
    const auto now = ring_.look();
    return now.closed && now.size() == 0 && shared() == 0 && turns_.load() == 0;
  }
  [[nodiscard]] std::size_t waiting() const noexcept { return ring_.look().size() + shared(); }
  [[nodiscard]] std::size_t room() const noexcept {
    return static_cast<std::size_t>(std::max<std::int64_t>(0, room_.load(std::memory_order_relaxed)));
  }
  [[nodiscard]] std::uint64_t taken_in() const noexcept {
    return ring_.look().pushed + carried_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] std::size_t capacity() const noexcept { return ring_.capacity(); }
  [[nodiscard]] bool weighs() const noexcept { return bytes_.has_value(); }
  [[nodiscard]] std::size_t peak() const noexcept { return peak_.load(std::memory_order_relaxed); }

 private:
  using verdict = typename slot_ring<envelope<T>>::verdict;

  std::size_t take_room(std::size_t most) noexcept;
  // An item larger than the whole limit is alone in it. REQUIRES: a limit in bytes.
  [[nodiscard]] std::uint64_t weight_of(const envelope<T>& item) const noexcept {
    return std::min<std::uint64_t>(item.bytes, bytes_->limit());
  }
  [[nodiscard]] auto room_for_one() const noexcept {
    return [this](bool patient) { return room() > (patient ? capacity() / 2 : 0) || is_closed(); };
  }
  [[nodiscard]] auto items_or_end() const noexcept {
    return [this](bool) { return waiting() || is_drained(); };
  }
  void note_peak() noexcept {
    const std::size_t now = capacity() - std::min(capacity(), room());
    // Nearly a maximum: of two that look at the same time one may be forgotten.
    if (now > peak_.load(std::memory_order_relaxed)) peak_.store(now, std::memory_order_relaxed);
  }

  slot_ring<envelope<T>> ring_;
  std::optional<budget> bytes_;  // none: no limit in bytes
  std::stop_source closing_;     // wakes those who wait for bytes
  alignas(64) system::atomic<std::int64_t> room_;
  wait_side for_room_;
  alignas(64) wait_side for_items_;
  system::atomic<std::size_t> shared_ = 0;
  system::atomic<std::size_t> turns_ = 0;
  std::atomic<std::size_t> peak_ = 0;
  std::atomic<std::uint64_t> carried_ = 0;
};

// --- below: how ---

template <class T>
std::size_t entrance<T>::take_room(std::size_t most) noexcept {
  std::int64_t room = room_.load(std::memory_order_relaxed);
  for (;;) {
    const std::int64_t taken = std::min(room, static_cast<std::int64_t>(most));
    if (taken <= 0) return 0;
    // acquire: pairs with the release in freed(): the ring's places were vacated before they were offered here.
    if (room_.compare_exchange_weak(room, room - taken, std::memory_order_acquire, std::memory_order_relaxed))
      return static_cast<std::size_t>(taken);
  }
}

template <class T>
std::size_t entrance<T>::put(envelope<T>* items, std::size_t count) noexcept {
  std::size_t done = 0;
  for (system::backoff mid_way; done < count;) {
    const auto mine = ring_.claim_push(count - done);
    if (mine.count) {
      ring_.fill_from(mine, items + done);
      done += mine.count;
    } else if (mine.result == verdict::closed) {
      freed(count - done);
      break;
    } else {
      // There are places, we were promised them; but the next in turn is being vacated by a slower taker.
      mid_way.once();
    }
  }
  note_peak();
  for_items_.changed(items_or_end());
  return done;
}

template <class T>
conqueue_status entrance<T>::put(envelope<T>& item, const wait_limit* limit) {
  std::optional<budget::reservation> bytes;
  if (bytes_) {
    const std::uint64_t weight = weight_of(item);
    if (!limit) {
      bytes = bytes_->acquire(weight, wait_limit(system::clock::time_point::min()));
    } else if (!limit->stop().stop_possible()) {
      bytes = bytes_->acquire(weight, wait_limit(closing_.get_token(), limit->deadline()));
    } else {
      // On the heap, because g++ 12 at -O1 takes one on the stack for uninitialised, and users have warnings as errors.
      const auto either = std::make_unique<std::stop_source>();
      const system::stop_callback given_up(limit->stop(), [&] { either->request_stop(); });
      const system::stop_callback closed(closing_.get_token(), [&] { either->request_stop(); });
      bytes = bytes_->acquire(weight, wait_limit(either->get_token(), limit->deadline()));
    }
    if (!bytes) return is_closed() ? conqueue_status::closed : conqueue_status::full;
  }
  if (take_room(1) == 0) {
    if (is_closed()) return conqueue_status::closed;
    if (!limit) return conqueue_status::full;
    bool got = false;
    for_room_.wait_for(
        [&] {
          got = take_room(1) == 1;
          return got || is_closed() ? trial::done : trial::again;
        },
        room_for_one(), *limit, capacity() >= 16, capacity() >= 16);
    if (!got) return is_closed() ? conqueue_status::closed : conqueue_status::full;
  }
  if (put(&item, 1) == 0) return conqueue_status::closed;
  if (bytes) (void)bytes->detach();  // whoever takes the item gives them back
  return conqueue_status::success;
}

template <class T>
conqueue_status entrance<T>::put_in_line(envelope<T>& item, outside_place& self) {
  if (bytes_ && !self.bytes && weight_of(item)) {
    auto got = bytes_->acquire_in_line(weight_of(item), self.for_bytes);
    if (got) self.bytes = got->detach();
    // Looked at last: close() tells whoever stands in line by then.
    if (!got && !is_closed()) return conqueue_status::full;
  }
  bool got = false;
  for_room_.wait_in_line(
      self.for_room,
      [&] {
        got = take_room(1) == 1;
        return got || is_closed() ? trial::done : trial::again;
      },
      room_for_one());
  if (!got && !is_closed()) return conqueue_status::full;
  if (got && put(&item, 1) == 1) {
    self.bytes = 0;  // whoever takes the item gives them back
    return conqueue_status::success;
  }
  leave_line(self);
  return conqueue_status::closed;
}

template <class T>
template <class Take>
auto entrance<T>::take(std::size_t most, Take take) noexcept -> batch {
  const auto mine = ring_.claim_pop(most);
  if (mine.count == 0) return {};
  envelope<T>* const first = ring_.item(mine);
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < mine.count; ++i) {
    if (bytes_) bytes += weight_of(first[i]);
    take(std::move(first[i]));
  }
  const batch result{mine.count, ring_.number(mine)};
  ring_.vacate(mine);
  if (bytes) bytes_->give_back(bytes);
  return result;
}

}  // namespace penstock
