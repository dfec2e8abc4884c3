// reorder_gate<Item>: results come in any order and leave in the order of their tickets. The heart of `ordered` stages.
//
// Every ticket 0, 1, 2, … comes once: with a result, or as skipped (filtered, failed), so that a gap never holds back the
// rest. A worker reserves tickets before it takes items: at most `window` tickets are out that have not left. So a result
// that comes early always finds a slot here, and its worker goes on to other work.
//
// THREADS  All members at the same time. One thread at a time releases results, outside of the lock, because releasing may wait
//          for room. The supervisor's members (try_put, try_release) never wait: results that find no room stay, and whichever thread
//          puts next, or the supervisor later, releases them.
// ENDING   None of its own: when a run is being stopped every ticket that was given out still comes, as soon as the threads that
//          have it are done, and finds the way out closed.
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
#include <penstock/base/system.hpp>
#include <penstock/pipeline/claimed_batch.hpp>
#include <penstock/pipeline/worker.hpp>

namespace penstock {

template <class Item>
class reorder_gate {
 public:
  // REQUIRES: window > 0.
  explicit reorder_gate(std::size_t window) : window_(window), free_(window), slots_(window) {}

  // --- the window ---
  // Reserves up to `max` tickets without waiting; returns how many. A ticket is free again when its result has left.
  [[nodiscard]] std::size_t reserve(std::size_t max) noexcept {
    std::size_t free = free_.load(std::memory_order_relaxed);
    while (free > 0) {
      const std::size_t taken = std::min(free, max);
      if (free_.compare_exchange_weak(free, free - taken)) return taken;
    }
    return 0;
  }
  // Those that were not used.
  void give_back(std::size_t tickets) noexcept {
    if (tickets == 0) return;
    free_.fetch_add(tickets);
    const mutex_lock lock(mutex_);
    changed();
  }
  [[nodiscard]] std::size_t free() const noexcept { return free_.load(); }
  // Whether no ticket is out: every result has left.
  [[nodiscard]] bool is_idle() const noexcept { return free_.load() == window_; }
  // For a worker with a thread of its own. Waits until a ticket is free, or done().
  template <class Done>
  void wait_for_ticket(worker& self, Done done) {
    mutex_lock lock(mutex_);
    if (free_.load() > 0 || done()) return;
    const counted_wait waiting(self, wait_kind::blocked);
    ++waiting_;
    while (free_.load() == 0 && !done()) changed_.wait(lock);
    --waiting_;
  }
  // The answer of done() may have changed.
  void notify() noexcept {
    const mutex_lock lock(mutex_);
    changed();
  }

  // --- results ---
  // The results for neighbouring tickets, from `ticket` on; those without one are skipped. `places` are promised for them
  // where they go: none, or one for each. If it is their turn, pass(Item*, count, places) is called, on this thread; it
  // tells whether it has taken over the objects themselves, in their place, and so does put(): otherwise they have been
  // moved from. Then release(Item*, count, places) for those that come after them and are there. If it is not their turn, the
  // gate keeps the places for the thread that has it, or calls give_back(places) if that one waits for some.
  template <class Pass, class Release, class GiveBack>
  bool put(std::uint64_t ticket, const batch_view<Item>& made, std::size_t places, Pass pass, Release release,
           GiveBack give_back) {
    bool kept = false;
    {
      mutex_lock lock(mutex_);
      if (ticket != next_) {
        keep(ticket, made, places, give_back);
        if (!is_releasable()) return false;
        releasing_ = true;  // what the supervisor had to leave here
      } else {
        releasing_ = true;
        lock.unlock();
        kept = made.count > 0 && pass(made.results, made.count, places);
        release_ready(made.items, release);
        return kept;
      }
    }
    release_ready(0, release);
    return kept;
  }

  // For a worker with many results: waits for its turn, calls write(), which puts them out, and passes the turn on.
  // before_wait() if it has to wait.
  template <class Write, class Release, class BeforeWait>
  void in_turn(std::uint64_t ticket, worker& self, Write write, Release release, BeforeWait before_wait) {
    {
      mutex_lock lock(mutex_);
      if (ticket != next_) {
        before_wait();
        const counted_wait waiting(self, wait_kind::blocked);
        while (ticket != next_) {
          if (is_releasable()) {
            releasing_ = true;
            lock.unlock();
            release_ready(0, release);
            lock.lock();
            continue;
          }
          ++waiting_;
          changed_.wait(lock);
          --waiting_;
        }
      }
      releasing_ = true;
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

  // For the thread that releases and finds no room: places that are kept here. From the first time that there are none, until
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

  // --- the supervisor's ---
  // As put(), but all results stay here, for try_release().
  template <class GiveBack>
  void try_put(std::uint64_t ticket, const batch_view<Item>& made, std::size_t places, GiveBack give_back) noexcept {
    const mutex_lock lock(mutex_);
    keep(ticket, made, places, give_back);
  }
  // Releases what has its turn, as far as there are places: reserve(1) promises one if it can, at once; send(Item*, count) takes
  // so many items with promised places, without waiting. Returns whether a result had to stay.
  template <class Reserve, class Send>
  bool try_release(Reserve reserve, Send send) noexcept {
    {
      const mutex_lock lock(mutex_);
      if (!is_releasable()) return false;
      releasing_ = true;
    }
    handful ready;
    for (std::size_t left = 0;;) {
      ready.clear();
      {
        const mutex_lock lock(mutex_);
        leaves(left);
        for (left = 0; !ready.is_full() && slot_at(next_ + left).present; ++left) {
          slot& s = slot_at(next_ + left);
          if (s.item) {
            if (kept_ > 0)
              --kept_;
            else if (reserve(1) == 0)
              break;
            ready.add(*std::move(s.item));
            s.item.reset();
          }
          s.present = false;
        }
        if (left == 0) {
          releasing_ = false;
          changed();
          return slot_at(next_).present;
        }
      }
      if (ready.size()) send(ready.data(), ready.size());
    }
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

  [[nodiscard]] slot& slot_at(std::uint64_t ticket) noexcept PENSTOCK_REQUIRES(mutex_) {
    return slots_[ticket % slots_.size()];
  }
  // The next result is here, and no thread is about to release it.
  [[nodiscard]] bool is_releasable() noexcept PENSTOCK_REQUIRES(mutex_) {
    return !releasing_ && slot_at(next_).present;
  }
  void changed() noexcept PENSTOCK_REQUIRES(mutex_) {
    if (waiting_) changed_.notify_all();  // all: they wait for different things
  }
  template <class GiveBack>
  void keep(std::uint64_t ticket, const batch_view<Item>& made, std::size_t places, GiveBack& give_back) noexcept
      PENSTOCK_REQUIRES(mutex_) {
    if (wanted_)
      give_back(places);
    else
      kept_ += places;
    Item* result = made.results;
    for (std::size_t i = 0; i < made.items; ++i) {
      slot& mine = slot_at(ticket + i);
      mine.present = true;
      if (!made.present || made.present[i]) mine.item.emplace(std::move(*result++));
    }
  }
  // The results of so many tickets have left. Only now the turn, unless more are there, and the tickets are free for others.
  void leaves(std::size_t tickets) noexcept PENSTOCK_REQUIRES(mutex_) {
    if (tickets == 0) return;
    next_ += tickets;
    free_.fetch_add(tickets);
    changed();
  }

  // After the results of the first `left` tickets have left. REQUIRES: releasing_ was set by the calling thread.
  template <class Release>
  void release_ready(std::size_t left, Release& release) {
    handful ready;
    for (;;) {
      std::size_t places = 0;
      ready.clear();
      {
        mutex_lock lock(mutex_);
        leaves(left);
        left = 0;
        // It ends once around at the latest: where it began nothing is present any more.
        for (; !ready.is_full() && slot_at(next_ + left).present; ++left) {
          slot& s = slot_at(next_ + left);
          s.present = false;
          if (!s.item) continue;
          ready.add(*std::move(s.item));
          s.item.reset();
        }
        if (left == 0) {
          releasing_ = false;
          return;
        }
        places = std::min(kept_, ready.size());
        kept_ -= places;
      }
      if (ready.size()) release(ready.data(), ready.size(), places);
    }
  }

  const std::size_t window_;
  system::atomic<std::size_t> free_;  // tickets that can be reserved

  mutable mutex mutex_;  // guards what follows
  std::vector<slot> slots_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t next_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // the ticket whose turn it is
  std::size_t waiting_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::size_t kept_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // places
  bool wanted_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool releasing_ PENSTOCK_GUARDED_BY(mutex_) = false;  // a thread releases, or has its turn
  condition changed_;
};

}  // namespace penstock
