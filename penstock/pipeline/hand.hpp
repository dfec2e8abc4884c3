// hand: what a worker has taken at once and works through: items, and the results it has made of them. tray: the results
// alone.
//
// A batch saves its owner the way to the queue for each item; but should one of its items turn out slow, the others must
// not wait with it. So both can be relieved of what they hold by another thread while their owner is busy: the items not
// yet begun, and the results already made.
//
//   owner:  next = i + 1; light fence; relief?  ── no ──→ item i is mine
//   thief:  relief = true; heavy fence; items from `next` on are mine
//
// One of them sees the other (the protocol of Cilk's work-stealing queues, "THE", Frigo, Leiserson and Randall 1998, with
// the fence on the thief's side only); where they meet, both go by the lock. An item costs its owner a store and a load.
#pragma once

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

// What of a tray is sent at once: results, and for which of the neighbouring items there is one.
template <class Item>
struct portion {
  Item* results = nullptr;
  std::size_t count = 0;
  std::size_t first = 0;          // the index of the first of the items
  std::size_t items = 0;          // how many they are
  const bool* present = nullptr;  // for each of them; null: all have one
};

// marks: items without a result are told apart, by skip(); at most most_marked items.
template <class Item, bool marks = false>
class tray {
 public:
  static constexpr std::size_t most_marked = 256;

  // Results will be made at `room`. The owner's.
  void open(Item* room, std::int64_t now) noexcept {
    const mutex_lock lock(mutex_);
    results_ = room;
    made_ = 0;
    done_.store(0, std::memory_order_relaxed);
    late_.store(false, std::memory_order_relaxed);
    sent_ = {};
    since_ = now;
    open_ = true;
  }
  // REQUIRES: room for it.
  void add(Item&& result) noexcept {
    std::construct_at(results_ + made_++, std::move(result));
    one_done(true);
  }
  void skip() noexcept
    requires marks
  {
    one_done(false);
  }
  [[nodiscard]] std::size_t size() const noexcept { return made_; }
  // Somebody has come and found it open for too long: what is added from now on should not lie here.
  [[nodiscard]] bool is_late() const noexcept { return late_.load(std::memory_order_relaxed); }
  // Anybody's. If the tray has been open for so long: calls take(portion) for what was done and not yet sent, if
  // there is something; if that is true, it is sent. Under the lock, so that what comes later is sent later; so it must
  // not wait for anything.
  template <class Take>
  void take_if_older_than(std::int64_t ns, std::int64_t now, Take take) {
    const mutex_lock lock(mutex_);
    if (!open_ || now - since_ < ns) return;
    late_.store(true, std::memory_order_relaxed);
    const portion<Item> rest = not_sent(done_.load(std::memory_order_acquire));
    if (rest.items == 0 || !take(rest)) return;
    sent_.items += rest.items;
    sent_.results += rest.count;
  }
  // The owner's. Calls send(portion) in the same way for the rest; it may wait. It returns whether it has taken over the
  // objects themselves, in their place; otherwise they are destroyed, as are those that were sent before.
  template <class Send>
  void close(Send send) {
    portion<Item> rest;
    std::size_t sent = 0;
    {
      const mutex_lock lock(mutex_);
      open_ = false;
      rest = not_sent(done_.load(std::memory_order_relaxed));
      sent = sent_.results;
    }
    const bool kept = rest.items > 0 && send(rest);
    std::destroy_n(results_, kept ? sent : made_);
  }

 private:
  void one_done(bool with_result) noexcept {
    const std::size_t done = done_.load(std::memory_order_relaxed);
    if constexpr (marks) present_[done] = with_result;
    // release: pairs with the acquire in take_if_older_than(): whoever counts it finds it whole, and its mark.
    done_.store(done + 1, std::memory_order_release);
  }
  [[nodiscard]] portion<Item> not_sent(std::size_t done) const noexcept PENSTOCK_REQUIRES(mutex_) {
    portion<Item> rest{results_ + sent_.results, done - sent_.items, sent_.items, done - sent_.items, nullptr};
    if constexpr (marks) {
      rest.present = present_.data() + sent_.items;
      rest.count = static_cast<std::size_t>(std::count(rest.present, rest.present + rest.items, true));
    }
    return rest;
  }

  // The owner adds; what is counted in done_ and not in sent_ belongs to who holds the mutex.
  system::atomic<std::size_t> done_ = 0;
  system::atomic<bool> late_ = false;
  std::size_t made_ = 0;  // the owner's
  Item* results_ = nullptr;
  std::array<bool, marks ? most_marked : 0> present_{};

  struct counts {
    std::size_t items = 0, results = 0;
  };
  mutex mutex_;  // guards what follows
  counts sent_ PENSTOCK_GUARDED_BY(mutex_);
  std::int64_t since_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool open_ PENSTOCK_GUARDED_BY(mutex_) = false;
};

template <class Item>
class hand {
 public:
  // --- the owner's ---
  void open(Item* items, std::size_t count, std::int64_t now) noexcept {
    const mutex_lock lock(mutex_);
    items_ = items;
    count_ = count;
    next_.store(0, std::memory_order_relaxed);
    relief_.store(false, std::memory_order_relaxed);
    end_.store(count, std::memory_order_relaxed);
    unfreed_ = count;
    since_ = now;
    open_ = true;
  }
  // The index of the next item to work at; npos: no more. Calls relieved() if there is a next and somebody has come and
  // found the hand open for too long: what is done should not wait for it.
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  template <class Relieved>
  std::size_t next(Relieved relieved) {
    const std::size_t i = next_.load(std::memory_order_relaxed);
    if (i >= end_.load(std::memory_order_relaxed)) return npos;
    next_.store(i + 1, std::memory_order_relaxed);
    system::light_fence();
    if (!relief_.load(std::memory_order_relaxed)) [[likely]]
      return i;
    relieved();
    const mutex_lock lock(mutex_);
    return i < end_.load(std::memory_order_relaxed) ? i : npos;
  }
  [[nodiscard]] Item& item(std::size_t i) noexcept { return items_[i]; }
  // Destroys the items. Returns how many of their places before the stage are still to be freed.
  std::size_t close() noexcept {
    const mutex_lock lock(mutex_);
    open_ = false;
    std::destroy_n(items_, count_);
    return unfreed_;
  }

  // --- the thief's ---
  struct loot {
    std::size_t freed = 0;  // places that the owner does not need any more
    std::size_t first = 0;  // index of the first item taken
  };
  // If the hand has been open for so long: calls take(Item*, count) for what was not begun, and if that is true it is
  // gone; tells which places are free now.
  template <class Take>
  loot relieve(std::int64_t ns, std::int64_t now, Take take) {
    const mutex_lock lock(mutex_);
    if (!open_ || now - since_ < ns) return {};
    relief_.store(true, std::memory_order_relaxed);
    system::heavy_fence();
    const std::size_t begun = std::min(next_.load(std::memory_order_acquire), end_.load(std::memory_order_relaxed));
    const std::size_t end = end_.load(std::memory_order_relaxed);
    loot result{0, begun};
    if (begun < end && take(items_ + begun, end - begun)) {
      end_.store(begun, std::memory_order_relaxed);
      unfreed_ -= end - begun;  // they go with the items
    }
    // What was begun waits no longer.
    const std::size_t waiting = end_.load(std::memory_order_relaxed) - begun;
    if (unfreed_ > waiting) result.freed = unfreed_ - waiting;
    unfreed_ -= result.freed;
    return result;
  }

 private:
  system::atomic<std::size_t> next_ = 0;  // the first item not begun
  system::atomic<std::size_t> end_ = 0;   // written under the mutex
  system::atomic<bool> relief_ = false;   // somebody takes, or has taken, from this hand
  Item* items_ = nullptr;
  std::size_t count_ = 0;

  mutex mutex_;  // guards what follows
  std::size_t unfreed_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::int64_t since_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  bool open_ PENSTOCK_GUARDED_BY(mutex_) = false;
};

}  // namespace penstock
