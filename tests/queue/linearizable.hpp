// is_linearizable(history, capacity): could a bounded first-in-first-out queue that does one thing at a time have given
// these answers, each at some moment of its call?
//
// The search of Wing and Gong ("Testing and verifying concurrent objects", 1993): take any call that no other call
// ended before, let the queue do it, go on with the rest; step back when an answer does not fit. With the memory of
// Lowe ("Testing for linearizability", 2017): a state, which is what has been done and what the queue then holds, is
// tried once. For histories of a few threads and a few dozen calls; large_history.hpp has rules for long ones.
//
// REQUIRES: at most 255 different items, each pushed once.
#pragma once

#include <cstddef>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "tests/queue/history.hpp"

namespace penstock::testing {

class linearization_search {
 public:
  linearization_search(const history& h, std::size_t capacity)
      : history_(h), capacity_(capacity), done_(h.threads.size(), 0) {}

  bool succeeds() {
    if (!tried_.insert(state()).second) return false;
    bool all_done = true;
    moment first_end = ~moment{0};
    for (std::size_t t = 0; t < done_.size(); ++t)
      if (const call* c = next(t)) {
        all_done = false;
        first_end = std::min(first_end, c->ended);
      }
    if (all_done) return true;
    for (std::size_t t = 0; t < done_.size(); ++t) {
      const call* c = next(t);
      if (!c || c->begun > first_end) continue;  // another call was over before this one began
      const std::string before = inside_;
      const bool was_closed = closed_;
      if (!fits(*c)) continue;
      ++done_[t];
      if (succeeds()) return true;
      --done_[t];
      inside_ = before;
      closed_ = was_closed;
    }
    return false;
  }

 private:
  const call* next(std::size_t thread) const {
    const auto& calls = history_.threads[thread];
    return done_[thread] < calls.size() ? &calls[done_[thread]] : nullptr;
  }
  // Does it if the queue, as it is now, would answer so.
  bool fits(const call& c) {
    const bool full = inside_.size() == capacity_;
    switch (c.what) {
      case call::verb::push:
        switch (c.said) {
          case call::answer::success:
            if (closed_ || full) return false;
            inside_.push_back(name_of(c.item));
            return true;
          case call::answer::full:
            return full && !closed_;
          case call::answer::closed:
            return closed_;
          case call::answer::refused:
            return full || closed_;
          case call::answer::empty:
          case call::answer::nothing:
          case call::answer::open:
            return false;
        }
        return false;
      case call::verb::pop:
        switch (c.said) {
          case call::answer::success:
            if (inside_.empty() || inside_.front() != name_of(c.item)) return false;
            inside_.erase(0, 1);
            return true;
          case call::answer::empty:
            return inside_.empty() && !closed_;
          case call::answer::closed:
            return inside_.empty() && closed_;
          case call::answer::nothing:
            return inside_.empty();
          case call::answer::full:
          case call::answer::refused:
          case call::answer::open:
            return false;
        }
        return false;
      case call::verb::close:
        closed_ = true;
        return true;
      case call::verb::look:
        return closed_ == (c.said == call::answer::closed);
    }
    return false;
  }
  // What has been done, whether it is closed, and what it holds; the lengths need no telling apart, because the first
  // part has one length.
  std::string state() const {
    std::string s;
    for (const std::size_t d : done_) s.push_back(static_cast<char>(d));
    s.push_back(closed_ ? 'c' : 'o');
    return s + inside_;
  }
  char name_of(number item) { return static_cast<char>(names_.try_emplace(item, names_.size()).first->second); }

  const history& history_;
  const std::size_t capacity_;
  std::vector<std::size_t> done_;  // calls of each thread
  std::string inside_;             // items, by their short names, oldest first
  bool closed_ = false;
  std::unordered_map<number, std::size_t> names_;
  std::unordered_set<std::string> tried_;
};

[[nodiscard]] inline bool is_linearizable(const history& h, std::size_t capacity) {
  return linearization_search(h, capacity).succeeds();
}

}  // namespace penstock::testing
