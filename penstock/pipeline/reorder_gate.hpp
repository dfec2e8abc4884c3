// reorder_gate<Item>: results come in any order and leave in the order of their tickets. The heart of `ordered` stages.
//
// Every ticket 0, 1, 2, … comes once: with a result, or as skipped (filtered, failed), so that a gap never holds back
// the rest. A worker that is ahead of its turn leaves its result and goes on to other work; only one that is `window`
// ahead waits.
//
// THREADS  All members at the same time. One thread at a time releases, outside of the lock, because releasing may wait
//          for room.
// ENDING   None of its own: when a run is being stopped every ticket that was given out still comes, as soon as those who
//          have it are done, and finds the way out closed. Whoever waits here waits for those: what they need, he must not
//          hold.
// MEMORY   `window` results at most.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <optional>
#include <utility>
#include <vector>

#include <penstock/base/mutex.hpp>
#include <penstock/pipeline/hand.hpp>
#include <penstock/pipeline/worker.hpp>

namespace penstock {

template <class Item>
class reorder_gate {
 public:
  // REQUIRES: window > 0.
  explicit reorder_gate(std::size_t window) : slots_(window) {}

  // The results for neighbouring tickets, from `ticket` on; those without one are skipped. `places` are promised for them
  // where they go: none, or one for each. If it is their turn, pass(Item*, count, places) is called, on this thread; it
  // tells whether it has taken over the objects themselves, in their place, and so does put(): otherwise they have been
  // moved from. Then release(Item*, count, places) for those that come after them and are there. If it is not their turn, the
  // gate keeps the places for those who have it, or calls give_back(places) if one of those waits for some.
  // before_wait() if it has to wait. REQUIRES: made.items <= window.
  template <class Pass, class Release, class GiveBack, class BeforeWait>
  bool put(std::uint64_t ticket, const portion<Item>& made, std::size_t places, worker& self, Pass pass,
           Release release, GiveBack give_back, BeforeWait before_wait) {
    const std::size_t count = made.items;
    {
      mutex_lock lock(mutex_);
      const bool early = ticket != next_;
      if (early) {
        const std::size_t kept = wanted_ ? 0 : places;
        if (wanted_) give_back(places);
        kept_ += kept;
        if (ticket + count > next_ + slots_.size()) {
          before_wait();
          const counted_wait waiting(self, wait_kind::blocked);
          ++waiting_;
          while (ticket + count > next_ + slots_.size()) turned_.wait(lock);
          --waiting_;
        }
        if (ticket != next_) {
          // Whoever has the turn, or is releasing now, comes to them.
          Item* result = made.results;
          for (std::size_t i = 0; i < count; ++i) {
            slot& mine = slots_[(ticket + i) % slots_.size()];
            mine.present = true;
            if (!made.present || made.present[i]) mine.item.emplace(std::move(*result++));
          }
          return false;
        }
        // Its turn has come while it waited. Others may have had its places since.
        places = std::min(kept, kept_);
        kept_ -= places;
      }
    }
    const bool kept = made.count > 0 && pass(made.results, made.count, places);
    release_ready(count, release);
    return kept;
  }

  // For a worker with many results: waits for its turn, calls write(), which puts them out, and passes the turn on.
  template <class Write, class Release, class BeforeWait>
  void in_turn(std::uint64_t ticket, worker& self, Write write, Release release, BeforeWait before_wait) {
    {
      mutex_lock lock(mutex_);
      if (ticket != next_) {
        before_wait();
        const counted_wait waiting(self, wait_kind::blocked);
        ++waiting_;
        while (ticket != next_) turned_.wait(lock);
        --waiting_;
      }
    }
    std::exception_ptr error;
    try {
      write();
    } catch (...) {
      error = std::current_exception();
    }
    release_ready(1, release);
    if (error) std::rethrow_exception(error);
  }

  // For who releases and finds no room: places that are kept here. From the first time that there are none, until
  // has_found_room(), places that would be kept are given back.
  [[nodiscard]] std::size_t want_places() noexcept {
    const mutex_lock lock(mutex_);
    wanted_ = kept_ == 0;
    return std::exchange(kept_, 0);
  }
  void has_found_room() noexcept {
    const mutex_lock lock(mutex_);
    wanted_ = false;
  }

  // Whether every ticket that has come has left.
  [[nodiscard]] bool is_empty() const noexcept {
    const mutex_lock lock(mutex_);
    return std::none_of(slots_.begin(), slots_.end(), [](const slot& s) { return s.present; });
  }

 private:
  struct slot {
    bool present = false;
    std::optional<Item> item;
  };

  // Results on their way out; on the stack, because the heap may have no room just then.
  class handful {
   public:
    handful() noexcept = default;
    handful(const handful&) = delete;
    handful& operator=(const handful&) = delete;
    ~handful() { clear(); }
    [[nodiscard]] bool is_full() const noexcept { return count_ == most; }
    [[nodiscard]] std::size_t size() const noexcept { return count_; }
    [[nodiscard]] Item* data() noexcept { return std::launder(reinterpret_cast<Item*>(memory_)); }
    void add(Item&& item) noexcept { std::construct_at(data() + count_++, std::move(item)); }
    void clear() noexcept { std::destroy_n(data(), std::exchange(count_, 0)); }

   private:
    static constexpr std::size_t most = std::clamp<std::size_t>(8192 / sizeof(Item), 1, 64);
    std::size_t count_ = 0;
    alignas(Item) std::byte memory_[most * sizeof(Item)];
  };

  // After the results of the first `left` tickets have left. By whoever had the turn: nobody has the next one's before all
  // that are there have left.
  template <class Release>
  void release_ready(std::size_t left, Release& release) {
    handful ready;
    for (;;) {
      std::size_t places = 0;
      ready.clear();
      {
        mutex_lock lock(mutex_);
        // Only now, when they have left: the turn, unless more are there, and the room in the window, are the next one's.
        next_ += left;
        if (waiting_) turned_.notify_all();  // all: they wait for different numbers
        left = 0;
        // It ends once around at the latest: where it began nothing is present any more.
        for (; !ready.is_full() && slots_[(next_ + left) % slots_.size()].present; ++left) {
          slot& s = slots_[(next_ + left) % slots_.size()];
          s.present = false;
          if (!s.item) continue;
          ready.add(*std::move(s.item));
          s.item.reset();
        }
        if (left == 0) return;
        places = std::min(kept_, ready.size());
        kept_ -= places;
      }
      if (ready.size()) release(ready.data(), ready.size(), places);
    }
  }

  mutable mutex mutex_;  // guards what follows
  std::vector<slot> slots_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t next_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // the ticket whose turn it is
  std::size_t waiting_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::size_t kept_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // places
  bool wanted_ PENSTOCK_GUARDED_BY(mutex_) = false;
  condition turned_;
};

}  // namespace penstock
