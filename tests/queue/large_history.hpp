// problems_in(history, capacity): what is wrong with a long history, as sentences; none if nothing can be told.
//
// The exact search (linearizable.hpp) takes too long for millions of calls. These rules find less, but each one that
// speaks is a proof: *no* bounded first-in-first-out queue with close answers like that. They hold whatever moment
// within its call each call took effect at, because they only use what must lie before what: at any moment, the pushes
// that have ended less the pops that have begun are inside for certain, and the pushes that have begun less the pops
// that have ended are the most that may be.
//
// REQUIRES: each item is pushed (or offered) by one call with success at most; the queue was drained at the end.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <unordered_map>
#include <vector>

#include "tests/queue/history.hpp"

namespace penstock::testing {

// Answers "the largest value in [first, last]" in logarithmic time.
class largest_in_range {
 public:
  explicit largest_in_range(const std::vector<std::int64_t>& values) : leaves_(values.size()), tree_(2 * leaves_) {
    std::copy(values.begin(), values.end(), tree_.begin() + static_cast<std::ptrdiff_t>(leaves_));
    for (std::size_t i = leaves_ - 1; i > 0; --i) tree_[i] = std::max(tree_[2 * i], tree_[2 * i + 1]);
  }
  [[nodiscard]] std::int64_t operator()(std::size_t first, std::size_t last) const {
    std::int64_t best = std::numeric_limits<std::int64_t>::min();
    for (std::size_t l = first + leaves_, r = last + leaves_ + 1; l < r; l /= 2, r /= 2) {
      if (l % 2) best = std::max(best, tree_[l++]);
      if (r % 2) best = std::max(best, tree_[--r]);
    }
    return best;
  }

 private:
  std::size_t leaves_;
  std::vector<std::int64_t> tree_;
};

class large_history_rules {
 public:
  large_history_rules(const history& h, std::size_t capacity)
      : history_(h), capacity_(static_cast<std::int64_t>(capacity)) {}

  std::vector<std::string> problems() {
    gather();
    each_item_leaves_once();
    order_between_calls();
    order_of_each_producer();
    order_of_each_consumer();
    never_over_capacity();
    answers_are_possible();
    return std::move(problems_);
  }

 private:
  static constexpr moment never = ~moment{0};
  struct life {
    const call* push = nullptr;
    const call* pop = nullptr;
    std::size_t producer = 0;
    std::size_t position = 0;  // among the pushes of its producer
    [[nodiscard]] moment pop_begun() const { return pop ? pop->begun : never; }
    [[nodiscard]] moment pop_ended() const { return pop ? pop->ended : never; }
  };

  void complain(const char* rule, const call& c) {
    if (problems_.size() < 10) problems_.push_back(std::string(rule) + ": " + text_of(c));
  }

  // What was pushed, and when what is over.
  void gather() {
    for (std::size_t t = 0; t < history_.threads.size(); ++t) {
      std::size_t position = 0;
      for (const call& c : history_.threads[t]) {
        last_moment_ = std::max(last_moment_, c.ended);
        if (c.what == call::verb::push && c.said == call::answer::success) {
          life& l = lives_[c.item];
          if (l.push) complain("pushed twice (a mistake of the test)", c);
          l = {&c, nullptr, t, position++};
        } else if (c.what == call::verb::close) {
          first_close_begun_ = std::min(first_close_begun_, c.begun);
          first_close_ended_ = std::min(first_close_ended_, c.ended);
        }
      }
    }
  }
  void each_item_leaves_once() {
    for (const auto& calls : history_.threads)
      for (const call& c : calls) {
        if (c.what != call::verb::pop || c.said != call::answer::success) continue;
        const auto found = lives_.find(c.item);
        if (found == lives_.end()) {
          complain("popped but never taken in", c);
          continue;
        }
        life& l = found->second;
        if (l.pop) complain("doubled", c);
        l.pop = &c;
        if (c.ended < l.push->begun) complain("popped before it was pushed", c);
      }
    for (const auto& [item, l] : lives_)
      if (!l.pop) complain("lost", *l.push);
  }
  // An item whose push ended before another's began must not be popped wholly after it.
  void order_between_calls() {
    std::vector<const life*> by_end, by_begin;
    for (const auto& [item, l] : lives_) by_end.push_back(&l);
    by_begin = by_end;
    std::sort(by_end.begin(), by_end.end(), [](auto a, auto b) { return a->push->ended < b->push->ended; });
    std::sort(by_begin.begin(), by_begin.end(), [](auto a, auto b) { return a->push->begun < b->push->begun; });
    moment latest_pop = 0;
    auto earlier = by_end.begin();
    for (const life* l : by_begin) {
      for (; earlier != by_end.end() && (*earlier)->push->ended < l->push->begun; ++earlier)
        latest_pop = std::max(latest_pop, (*earlier)->pop_begun());
      if (l->pop && l->pop_ended() < latest_pop) complain("overtook an item that was pushed before it", *l->pop);
    }
  }
  // Within one call of push_range, too.
  void order_of_each_producer() {
    for (const auto& calls : history_.threads) {
      moment latest_pop = 0;
      for (const call& c : calls) {
        if (c.what != call::verb::push || c.said != call::answer::success) continue;
        const life& l = lives_.at(c.item);
        if (l.pop && l.pop_ended() < latest_pop) complain("overtook an item of its own producer", *l.pop);
        latest_pop = std::max(latest_pop, l.pop_begun());
      }
    }
  }
  // Within one call of pop_some, too.
  void order_of_each_consumer() {
    for (const auto& calls : history_.threads) {
      moment latest_push = 0;
      std::unordered_map<std::size_t, std::size_t> last_of;  // producer -> position, plus one
      for (const call& c : calls) {
        if (c.what != call::verb::pop || c.said != call::answer::success) continue;
        const auto found = lives_.find(c.item);
        if (found == lives_.end()) continue;
        const life& l = found->second;
        std::size_t& last = last_of[l.producer];
        if (l.position < last) complain("reached its consumer after a later item of its producer", c);
        last = std::max(last, l.position + 1);
        if (l.push->ended < latest_push) complain("reached its consumer after an item that was pushed later", c);
        latest_push = std::max(latest_push, l.push->begun);
      }
    }
  }
  void never_over_capacity() {
    const std::size_t moments = last_moment_ + 1;
    std::vector<std::int64_t> surely(moments, 0), possibly(moments, 0);
    for (const auto& calls : history_.threads)
      for (const call& c : calls) {
        if (c.said != call::answer::success) continue;
        if (c.what == call::verb::push) {
          ++surely[c.ended];
          ++possibly[c.begun];
        } else if (c.what == call::verb::pop) {
          --surely[c.begun];
          --possibly[c.ended];
        }
      }
    for (std::size_t m = 1; m < moments; ++m) {
      surely[m] += surely[m - 1];
      possibly[m] += possibly[m - 1];
      if (surely[m] > capacity_ && problems_.size() < 10)
        problems_.push_back("over capacity: " + std::to_string(surely[m]) + " items at moment " + std::to_string(m));
    }
    surely_inside_ = std::move(surely);
    possibly_inside_ = std::move(possibly);
  }
  void answers_are_possible() {
    std::vector<std::int64_t> absent(surely_inside_.size());
    std::transform(surely_inside_.begin(), surely_inside_.end(), absent.begin(), std::negate<>());
    const largest_in_range most_inside(possibly_inside_), most_absent(absent);
    for (const auto& calls : history_.threads)
      for (const call& c : calls) {
        const bool closed_possible = c.ended > first_close_begun_;
        const bool open_possible = c.begun < first_close_ended_;
        const bool full_possible = most_inside(c.begun, c.ended) >= capacity_;
        const bool empty_possible = most_absent(c.begun, c.ended) >= 0;
        switch (c.said) {
          case call::answer::success:
            if (c.what == call::verb::push && !open_possible) complain("taken in after the end", c);
            break;
          case call::answer::full:
            if (!full_possible) complain("told full, but there was room all the time", c);
            if (!open_possible) complain("told full after the end", c);
            break;
          case call::answer::empty:
            if (!empty_possible) complain("told empty, but there was an item all the time", c);
            if (!open_possible) complain("told empty after the end", c);
            break;
          case call::answer::closed:
            if (!closed_possible) complain("told closed too early", c);
            if (c.what == call::verb::pop && !empty_possible) complain("told closed, but an item was left", c);
            break;
          case call::answer::refused:
            if (!full_possible && !closed_possible) complain("refused, but there was room all the time", c);
            break;
          case call::answer::nothing:
            if (!empty_possible) complain("told nothing is there, but there was an item all the time", c);
            break;
          case call::answer::open:
            if (!open_possible) complain("told open after the end", c);
            break;
        }
      }
  }

  const history& history_;
  const std::int64_t capacity_;
  std::unordered_map<number, life> lives_;
  std::vector<std::int64_t> surely_inside_, possibly_inside_;  // at each moment
  moment last_moment_ = 0;
  moment first_close_begun_ = never, first_close_ended_ = never;
  std::vector<std::string> problems_;
};

[[nodiscard]] inline std::vector<std::string> problems_in(const history& h, std::size_t capacity) {
  return large_history_rules(h, capacity).problems();
}

}  // namespace penstock::testing
