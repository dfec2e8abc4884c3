// wait_line: the threads that wait on one side of a queue, first come, first called, one call outstanding at a time.
//
// A queue keeps one line for those who wait for room and one for those who wait for an item, and one rule: *whenever
// its mutex is given up at the end of an operation, the head of a line that could go on has been called.* The one who
// was called repeats the rule when it is done, so wakes travel down the line one by one: one wake per need, none for
// nothing, and none lost when the one who was called gives up at its deadline, because giving up is the end of an
// operation too.
//
// Not one condition variable for all: notify_one() cannot choose whom it wakes, and with items of different weight the
// one it picks may be one that cannot go on.
//
// Not everybody who waits sleeps: one who gives `told` is told so instead of being woken, does other things meanwhile, and
// tries again when it gets to it. For that long the call is its own, and those behind it wait.
//
// THREADS  Everything here is guarded by the mutex of the queue that owns the line, except pending_wakes, which is the
//          caller's, and the word on which a thread sleeps.
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <penstock/base/links.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>

namespace penstock {

// The wakes that an operation owes. Declared before the lock, so that they are sent after it is given up: a wake is a
// system call (6.6 µs where the other processor is idle), and the thread it wakes wants the lock.
class pending_wakes {
 public:
  pending_wakes() = default;
  pending_wakes(const pending_wakes&) = delete;
  pending_wakes& operator=(const pending_wakes&) = delete;
  // The thread may be gone by then, because it gave up at its deadline; the address alone is what a wake needs.
  ~pending_wakes() {
    for (std::size_t i = 0; i < count_; ++i) system::futex_wake(*words_[i], 1);
  }
  void add(const system::atomic<std::uint32_t>& word) noexcept {
    assert(count_ < words_.size());
    words_[count_++] = &word;
  }

 private:
  std::array<const system::atomic<std::uint32_t>*, 2> words_{};  // one per side of the queue
  std::size_t count_ = 0;
};

class wait_line {
 public:
  // One who waits: a thread, on whose stack it lives for the time of one operation, or somebody with `told`.
  struct place : link {
    // Constant. Instead of a wake; once at most between two get_ready(), and under the mutex, so whoever has left the
    // line is not told any more.
    void (*told)(place& self) noexcept = nullptr;
    system::atomic<std::uint32_t> awake = 0;  // 1: called or stopped, and has not yet looked
    std::size_t need = 0;                     // room it waits for, in bytes; 0 where only the count matters
    bool called = false;
    bool stopped = false;  // a stop was requested for it
    bool patient = false;  // content to be called when there is a good deal of room
    bool in_line = false;  // only its owner joins and leaves, so he may look without the mutex

    // Before it looks a last time.
    void get_ready() noexcept {
      called = false;
      awake.store(0, std::memory_order_relaxed);  // everyone who writes it holds the mutex
    }
    // Sleeps until it is called or stopped, or the deadline has passed. The lock is open meanwhile.
    void sleep(mutex_lock& lock, system::clock::time_point deadline) PENSTOCK_NO_THREAD_SAFETY_ANALYSIS {
      lock.unlock();
      system::futex_wait(awake, 0, deadline);
      lock.lock();
    }
    // `wakes`: where to leave the wake; null: send it now.
    void wake(pending_wakes* wakes) noexcept {
      if (told) {
        if (awake.load(std::memory_order_relaxed) != 0) return;
        awake.store(1, std::memory_order_relaxed);
        return told(*this);
      }
      awake.store(1, std::memory_order_relaxed);
      if (wakes)
        wakes->add(awake);
      else
        system::futex_wake(awake, 1);
    }
  };

  ~wait_line() { assert(empty() && "a queue was destroyed while a thread waits on it"); }

  [[nodiscard]] bool empty() const noexcept { return places_.empty(); }
  [[nodiscard]] const place* head() const noexcept { return places_.front(); }
  void join(place& p) noexcept {
    if (std::exchange(p.in_line, true)) return;
    places_.push_back(p);
  }
  void leave(place& p) noexcept {
    p.in_line = false;
    p.unlink();
  }
  // Return how many were woken.
  std::size_t call_head(pending_wakes& wakes) noexcept {
    place* const first = places_.front();
    if (!first || first->called) return 0;
    first->called = true;
    first->wake(&wakes);
    return 1;
  }
  std::size_t call_all() noexcept {
    std::size_t count = 0;
    for (place* p = places_.front(); p; p = places_.after(*p), ++count) {
      p->called = true;
      p->wake(nullptr);
    }
    return count;
  }

 private:
  links<place> places_;
};

}  // namespace penstock
