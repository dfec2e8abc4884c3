// line: those who stand in line, first come, first. It owns nothing and asks for no memory, so whoever waits for want of
// something can always stand in it: the links are in those who stand there.
//
//   struct place { bool in_line = false; place* previous = nullptr; place* next = nullptr; };
//
// THREADS  None: its owner's mutex guards it, and the links.
#pragma once

#include <cassert>

namespace penstock {

template <class Place>
class line {
 public:
  line() = default;
  line(const line&) = delete;
  line& operator=(const line&) = delete;
  ~line() { assert(empty() && "a line was left by its owner before those who stand in it"); }

  [[nodiscard]] bool empty() const noexcept { return head_ == nullptr; }
  // Who came first; null: nobody is there. The others follow by `next`.
  [[nodiscard]] Place* head() const noexcept { return head_; }

  // Who is there already keeps his place.
  void join(Place& p) noexcept {
    if (p.in_line) return;
    p.in_line = true;
    p.next = nullptr;
    p.previous = tail_;
    (tail_ ? tail_->next : head_) = &p;
    tail_ = &p;
  }
  void leave(Place& p) noexcept {
    if (!p.in_line) return;
    p.in_line = false;
    (p.previous ? p.previous->next : head_) = p.next;
    (p.next ? p.next->previous : tail_) = p.previous;
  }

 private:
  Place* head_ = nullptr;
  Place* tail_ = nullptr;
};

}  // namespace penstock
