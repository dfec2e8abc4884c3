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
// THREADS  Everything here is guarded by the mutex of the queue that owns the line.
#pragma once

#include <cassert>
#include <cstddef>

#include <penstock/base/mutex.hpp>

namespace penstock {

class wait_line {
 public:
  // One waiting thread; lives on its stack for the time of one operation.
  struct place {
    condition ready;
    std::size_t need = 0;  // room it waits for, in bytes; 0 where only the count matters
    bool called = false;   // it has been woken and has not yet looked
    bool stopped = false;  // a stop was requested for it
    bool in_line = false;
    place* previous = nullptr;
    place* next = nullptr;
  };

  wait_line() = default;
  wait_line(const wait_line&) = delete;
  wait_line& operator=(const wait_line&) = delete;
  ~wait_line() { assert(empty() && "a queue was destroyed while a thread waits on it"); }

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  [[nodiscard]] const place* head() const noexcept { return head_; }

  void join(place& p) noexcept {
    assert(!p.in_line);
    p.in_line = true;
    p.next = nullptr;
    p.previous = tail_;
    (tail_ ? tail_->next : head_) = &p;
    tail_ = &p;
  }
  void leave(place& p) noexcept {
    if (!p.in_line) return;
    p.in_line = false;
    (p.previous ? p.previous->next : head_) = p.next;
    (p.next ? p.next->previous : tail_) = p.previous;
  }
  // Returns how many were woken.
  std::size_t call_head() noexcept {
    if (!head_ || head_->called) return 0;
    head_->called = true;
    // While the mutex is held: afterwards the place may be gone, because its owner gave up at its deadline.
    head_->ready.notify_one();
    return 1;
  }
  std::size_t call_all() noexcept {
    std::size_t count = 0;
    for (place* p = head_; p; p = p->next, ++count) {
      p->called = true;
      p->ready.notify_one();
    }
    return count;
  }

 private:
  place* head_ = nullptr;
  place* tail_ = nullptr;
};

}  // namespace penstock
