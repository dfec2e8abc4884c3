// reorder_gate<Item>: results come in any order and leave in the order of their tickets. The heart of `ordered` stages.
//
// Every ticket 0, 1, 2, … comes once: with a result, or as skipped (filtered, failed), so that a gap never holds back
// the rest. A worker that is ahead of its turn leaves its result and goes on to other work; only one that is `window`
// ahead waits.
//
// THREADS  All members at the same time. One thread at a time releases, outside of the lock, because releasing may wait
//          for room.
// ENDING   After stop() nobody waits here and results pass in whatever order they come. leftovers() gives what nobody
//          released.
// MEMORY   `window` results at most.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>
#include <optional>
#include <utility>
#include <vector>

#include <penstock/base/mutex.hpp>
#include <penstock/pipeline/worker.hpp>

namespace penstock {

template <class Item>
class reorder_gate {
 public:
  // REQUIRES: window > 0.
  explicit reorder_gate(std::size_t window) : slots_(window) {}

  // The worker's result for `ticket`; nothing for skipped. release(Item&&) is called for each result whose turn has
  // come, on this thread.
  template <class Release>
  void put(std::uint64_t ticket, std::optional<Item> item, worker& self, Release release) {
    {
      mutex_lock lock(mutex_);
      if (ticket >= next_ + slots_.size() && !stopped_) {
        const counted_wait waiting(self, wait_kind::blocked);
        while (ticket >= next_ + slots_.size() && !stopped_) turned_.wait(lock);
      }
      if (!stopped_) {
        slot& mine = slots_[ticket % slots_.size()];
        mine.present = true;
        mine.item = std::exchange(item, std::nullopt);
        if (std::exchange(releasing_, true)) return;  // whoever releases now comes to it
      }
    }
    if (item)
      release(*std::move(item));  // stopped: in whatever order
    else
      release_ready(release);
  }

  // For a worker with many results: waits for its turn, calls write(), which puts them out, and passes the turn on.
  template <class Write, class Release>
  void in_turn(std::uint64_t ticket, worker& self, Write write, Release release) {
    bool in_order = false;
    {
      mutex_lock lock(mutex_);
      if ((ticket != next_ || releasing_) && !stopped_) {
        const counted_wait waiting(self, wait_kind::blocked);
        while ((ticket != next_ || releasing_) && !stopped_) turned_.wait(lock);
      }
      in_order = !stopped_;
      if (in_order) releasing_ = true;
    }
    std::exception_ptr error;
    try {
      write();
    } catch (...) {
      error = std::current_exception();
    }
    if (in_order) {
      {
        mutex_lock lock(mutex_);
        slots_[ticket % slots_.size()].present = true;  // as skipped: what there was has been written
      }
      release_ready(release);
    }
    if (error) std::rethrow_exception(error);
  }

  void stop() noexcept {
    mutex_lock lock(mutex_);
    stopped_ = true;
    turned_.notify_all();
  }

  // What was put and never released because the run was stopped. No other call may be under way.
  template <class Take>
  void leftovers(Take take) {
    mutex_lock lock(mutex_);
    for (slot& s : slots_)
      if (std::exchange(s.present, false) && s.item) take(*std::exchange(s.item, std::nullopt));
  }

 private:
  struct slot {
    bool present = false;
    std::optional<Item> item;
  };

  // REQUIRES: this thread has set releasing_ (or the gate is stopped).
  template <class Release>
  void release_ready(Release& release) {
    for (bool released_one = false;; released_one = true) {
      std::optional<Item> item;
      {
        mutex_lock lock(mutex_);
        // Only now, when it has left: the turn, and the room in the window, are the next one's.
        if (released_one) ++next_;
        turned_.notify_all();  // all: who waits for the turn and who waits for the window wait for different numbers
        slot& s = slots_[next_ % slots_.size()];
        if (!s.present) {
          releasing_ = false;
          return;
        }
        item = std::exchange(s.item, std::nullopt);
        s.present = false;
      }
      if (item) release(*std::move(item));
    }
  }

  mutable mutex mutex_;  // guards what follows
  std::vector<slot> slots_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t next_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // the ticket whose turn it is
  bool releasing_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool stopped_ PENSTOCK_GUARDED_BY(mutex_) = false;
  condition turned_;
};

}  // namespace penstock
