// Every answer of a queue is one that a queue which does one thing at a time could have given: random programs of three
// and four threads, thousands of them, each judged exactly.
//
// The first thread of each round never waits without a deadline and closes (or cancels) the queue at some point; so
// every other one ends, whatever it waits for.
#include "tests/queue/linearizable.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;

#ifdef __SANITIZE_THREAD__
constexpr int rounds = 1000;
#else
constexpr int rounds = 4000;
#endif

template <class Queue>
class random_program {
 public:
  random_program(witness<Queue>& does, dice& d, std::size_t self, std::stop_source& stop)
      : does_(does), dice_(d), self_(self), stop_(stop) {}

  void run() {
    const auto calls = 4 + below(dice_, 3);
    const auto closes_at = self_ == 0 ? below(dice_, calls + 1) : calls + 1;
    for (std::uint64_t i = 0; i <= calls; ++i) {
      shake(dice_);
      if (i == closes_at) {
        if (below(dice_, 3) == 0)
          does_.cancel();
        else
          does_.close();
      }
      if (i < calls) step();
    }
  }

 private:
  // A number that nobody else pushes; a range takes up to three.
  number fresh() { return (self_ + 1) * 100 + (next_ += 3); }
  wait_limit some_patience() {
    switch (below(dice_, 4)) {
      case 0:
        return 0ms;
      case 1:
        return self_ == 0 ? wait_limit(1us) : wait_limit(stop_.get_token());
      default:
        return std::chrono::microseconds(below(dice_, 40));
    }
  }
  void step() {
    const bool may_wait = self_ != 0;
    switch (below(dice_, may_wait ? 16 : 10)) {
      case 0:
      case 1:
        does_.try_push(fresh());
        return;
      case 2:
      case 3:
        does_.try_pop();
        return;
      case 4:
        does_.push(fresh(), some_patience());
        return;
      case 5:
        does_.pop(some_patience());
        return;
      case 6:
        does_.push_range(fresh(), 1 + below(dice_, 3), some_patience());
        return;
      case 7:
        does_.pop_some(1 + below(dice_, 3), some_patience());
        return;
      case 8:
        does_.take(some_patience());
        return;
      case 9:
        if (below(dice_, 2) == 0)
          does_.is_closed();
        else
          stop_.request_stop();
        return;
      case 10:
        does_.push(fresh());
        return;
      case 11:
        does_.emplace(fresh());
        return;
      case 12:
        does_.pop();
        return;
      case 13:
        does_.take();
        return;
      case 14:
        does_.push_range(fresh(), 1 + below(dice_, 3));
        return;
      case 15:
        does_.pop_some(1 + below(dice_, 3));
        return;
      default:
        return;
    }
  }

  witness<Queue>& does_;
  dice& dice_;
  const std::size_t self_;
  std::stop_source& stop_;
  number next_ = 0;
};

// The seed is the same in every run, the interleavings are not; a failure prints the round and the history itself.
template <class Queue>
void every_history_is_linearizable(std::size_t threads) {
  constexpr std::uint64_t seed = 20;
  team everyone(threads);
  for (int round = 0; round < rounds; ++round) {
    const std::size_t capacity = 1 + static_cast<std::size_t>(round) % 3;
    Queue queue(capacity);
    history_clock clock;
    std::stop_source stop;
    std::vector<witness<Queue>> witnesses(threads, witness<Queue>(queue, clock));
    everyone.run([&](std::size_t self) {
      dice d = dice_of(seed, static_cast<std::uint64_t>(round), self);
      random_program<Queue>(witnesses[self], d, self, stop).run();
    });
    history h;
    for (const auto& w : witnesses) h.threads.push_back(w.calls());
    ASSERT_TRUE(is_linearizable(h, capacity)) << "round " << round << " of seed " << seed << ", capacity " << capacity
                                              << ": no order of these calls explains the answers\n"
                                              << h;
  }
}

template <class Kind>
class any_queue_recorded : public ::testing::Test {};
TYPED_TEST_SUITE(any_queue_recorded, queue_kinds, kind_names);

TYPED_TEST(any_queue_recorded, is_linearizable_with_three_threads) {
  every_history_is_linearizable<queue_of<TypeParam, number>>(3);
}
TYPED_TEST(any_queue_recorded, is_linearizable_with_four_threads) {
  every_history_is_linearizable<queue_of<TypeParam, boxed>>(4);
}

TYPED_TEST(any_queue_recorded, is_linearizable_while_items_are_on_the_move) {
  every_history_is_linearizable<queue_of<TypeParam, dawdling>>(3);
  every_history_is_linearizable<queue_of<TypeParam, dawdling>>(4);
}

}  // namespace
}  // namespace penstock::testing
