// When a queue makes one wait, for how long, and that no one who should go on is left behind.
//
// Cases that the suites of other channels check, and where they are here:
//   Go chan_test TestChan: empty blocks, full blocks, non-blocking does not   a_pop_from_an_empty..., a_push_to_a_full...
//   Go TestNonblockRecvRace                                                    a_try_pop_finds_what_was_pushed_before...
//   crossbeam array recv, send; mpsc oneshot_multi_task_recv_then_send;
//     CPython do_blocking_test                                                 whoever_comes_first_...
//   crossbeam recv_timeout, send_timeout, shared_recv_timeout                  limited_calls_run_out_then_succeed_...
//   CPython put/get with a time-out of 10 s                                    a_far_deadline_changes_nothing
//   crossbeam stress_timeout_two_threads, stress_recv_timeout_shared           with_short_deadlines_everything_arrives
//   crossbeam linearizable                                                     after_an_own_push_..., after_an_own_pop_...
//   crossbeam stress_oneshot, mpsc oneshot_*_stress                            one_item_through_a_fresh_queue
//   CPython test_negative_timeout_raises_exception                             a_negative_patience_is_none: there an
//     error, here a deadline that has passed, as everywhere in <chrono>
// Not applicable: unbuffered channels (capacity 0 is refused), nil channels, select and ready, after, tick and never,
// changing a capacity (CPython test_shrinking_queue), the stacks of goroutines (TestShrinkStackDuringBlockedSend).
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/items.hpp"
#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;
using status = conqueue_status;

constexpr std::size_t capacities[] = {1, 2, 3, 7, 16, 63, 64, 65};
#ifdef __SANITIZE_THREAD__
constexpr int rounds = 400;
#else
constexpr int rounds = 3000;
#endif

template <class Kind>
class waiting : public ::testing::Test {};
TYPED_TEST_SUITE(waiting, queue_kinds, kind_names);

TYPED_TEST(waiting, a_pop_from_an_empty_queue_waits_and_a_try_does_not) {
  for (const std::size_t capacity : capacities) {
    queue_of<TypeParam, int> queue(capacity);
    std::atomic<int> got = 0;
    {
      std::jthread one([&] { got += queue.pop().has_value(); });
      std::jthread other([&] { got += queue.take().has_value(); });
      until_waits(queue, 0, 2);
      ASSERT_EQ(got, 0);
      ASSERT_EQ(queue.try_pop().error(), status::empty);
      ASSERT_EQ(queue.try_take().error(), status::empty);
      queue.push(1);
      queue.push(2);
    }
    ASSERT_EQ(got, 2) << "capacity " << capacity;
  }
}

TYPED_TEST(waiting, a_push_to_a_full_queue_waits_and_a_try_does_not) {
  for (const std::size_t capacity : capacities) {
    queue_of<TypeParam, int> queue(capacity);
    for (std::size_t i = 0; i < capacity; ++i) ASSERT_EQ(queue.try_push(static_cast<int>(i)), status::success);
    ASSERT_EQ(queue.size_approx(), capacity);
    std::atomic<bool> sent = false;
    {
      std::jthread producer([&] { sent = queue.push(-1); });
      until_waits(queue, 1, 0);
      ASSERT_FALSE(sent);
      ASSERT_EQ(queue.try_push(-2), status::full);
      ASSERT_EQ(queue.try_emplace(-2), status::full);
      ASSERT_EQ(queue.pop(), 0);
    }
    ASSERT_TRUE(sent);
    for (std::size_t i = 1; i < capacity; ++i) ASSERT_EQ(*queue.try_pop(), static_cast<int>(i));
    ASSERT_EQ(*queue.try_pop(), -1) << "capacity " << capacity;
  }
}

TYPED_TEST(waiting, whoever_comes_first_is_served_when_the_other_side_comes) {
  queue_of<TypeParam, int> queue(1);
  for (std::uint64_t round = 1; round <= 20; ++round) {
    {
      std::jthread consumer([&] { EXPECT_EQ(queue.pop(), 1); });
      until_waits(queue, round - 1, round);
      ASSERT_TRUE(queue.push(1));
    }
    ASSERT_TRUE(queue.push(2));
    {
      std::jthread producer([&] { EXPECT_TRUE(queue.push(3)); });
      until_waits(queue, round, round);
      ASSERT_EQ(queue.pop(), 2);
    }
    ASSERT_EQ(queue.pop(), 3);
  }
}

TYPED_TEST(waiting, limited_calls_run_out_then_succeed_then_end) {
  queue_of<TypeParam, int> queue(1);
  EXPECT_EQ(queue.pop(1ms).error(), status::empty);
  EXPECT_EQ(queue.push(1, 1ms), status::success);
  EXPECT_EQ(queue.push(2, 1ms), status::full);
  EXPECT_EQ(*queue.pop(1ms), 1);
  EXPECT_EQ(queue.push(3, 1ms), status::success);
  queue.close();
  EXPECT_EQ(queue.push(4, 1ms), status::closed);
  EXPECT_EQ(*queue.pop(1ms), 3);
  EXPECT_EQ(queue.pop(1h).error(), status::closed);
  EXPECT_EQ(queue.take(1h).error(), status::closed);
}

TYPED_TEST(waiting, a_far_deadline_changes_nothing) {
  queue_of<TypeParam, int> queue(1);
  {
    std::jthread consumer([&] { EXPECT_EQ(*queue.pop(1h), 1); });
    until_waits(queue, 0, 1);
    queue.push(1);
  }
  queue.push(2);
  {
    std::jthread producer([&] { EXPECT_EQ(queue.push(3, 1h), status::success); });
    until_waits(queue, 1, 1);
    EXPECT_EQ(queue.pop(), 2);
  }
  {
    std::jthread producer([&] { EXPECT_EQ(queue.push(4, 1h), status::closed); });
    until_waits(queue, 2, 1);
    queue.close();
  }
  EXPECT_EQ(queue.pop(), 3);
}

TYPED_TEST(waiting, a_negative_patience_is_none) {
  queue_of<TypeParam, int> queue(1);
  EXPECT_EQ(queue.pop(-1s).error(), status::empty);
  EXPECT_EQ(queue.push(1, -1s), status::success);
  EXPECT_EQ(queue.push(2, -1s), status::full);
  EXPECT_EQ(*queue.pop(-1s), 1);
}

// Deadlines that run out at the moment at which the other side comes, in every direction.
TYPED_TEST(waiting, with_short_deadlines_everything_arrives) {
  for (const std::size_t capacity : {1u, 2u, 5u}) {
    queue_of<TypeParam, int> queue(capacity);
    std::atomic<int> sum = 0, left = rounds;
    team everyone(4);
    everyone.run([&](std::size_t self) {
      dice d = dice_of(1, capacity, self);
      const auto patience = [&] { return std::chrono::microseconds(below(d, 60)); };
      if (self < 2) {
        for (int i = 0; i < rounds / 2; ++i)
          while (queue.push(1, patience()) != status::success) {
          }
      } else {
        while (left > 0)
          if (auto item = queue.pop(patience())) {
            sum += *item;
            --left;
          }
      }
    });
    ASSERT_EQ(sum, rounds / 2 * 2);
    ASSERT_EQ(queue.size_approx(), 0u);
  }
}

TYPED_TEST(waiting, after_an_own_push_a_try_pop_finds_something) {
  constexpr std::size_t threads = 4;
  queue_of<TypeParam, number> queue(threads);
  std::atomic<int> missed = 0;
  team everyone(threads);
  everyone.run([&](std::size_t self) {
    for (int i = 0; i < rounds; ++i) {
      missed += queue.try_push(self) != status::success;  // at most one of each thread is inside
      missed += !queue.try_pop();
    }
  });
  EXPECT_EQ(missed, 0);
}

TYPED_TEST(waiting, after_an_own_pop_a_try_push_finds_room) {
  constexpr std::size_t threads = 4;
  queue_of<TypeParam, number> queue(threads);
  for (number n = 0; n < threads; ++n) queue.push(n);
  std::atomic<int> missed = 0;
  team everyone(threads);
  everyone.run([&](std::size_t self) {
    for (int i = 0; i < rounds; ++i) {
      missed += !queue.try_pop();
      missed += queue.try_push(self) != status::success;
    }
  });
  EXPECT_EQ(missed, 0);
}

TYPED_TEST(waiting, a_try_pop_finds_what_was_pushed_before_even_while_the_queue_is_closed) {
  std::atomic<int> got = 0;
  team both(2);
  for (int round = 0; round < rounds; ++round) {
    queue_of<TypeParam, int> queue(1);
    queue.push(1);
    both.run([&](std::size_t self) {
      if (self == 0) {
        queue.close();
      } else {
        got += queue.try_pop().has_value();
      }
    });
  }
  EXPECT_EQ(got, rounds);
}

TYPED_TEST(waiting, one_item_through_a_fresh_queue) {
  std::atomic<int> got = 0;
  team both(2);
  for (int round = 0; round < rounds; ++round) {
    queue_of<TypeParam, boxed> queue(1);
    both.run([&](std::size_t self) {
      if (self == 0)
        queue.push(make_item<boxed>(7));
      else
        got += number_of(*queue.pop()) == 7;
    });
  }
  EXPECT_EQ(got, rounds);
}

// Everybody waits, for items in one half of the rounds and for room in the other; each event lets exactly one go on,
// so that a wake that gets lost leaves someone behind.
TYPED_TEST(waiting, as_many_go_on_as_there_are_items_and_places) {
  for (std::uint64_t round = 0; round < 20; ++round) {
    queue_of<TypeParam, int> queue(2);
    std::atomic<int> passed = 0;
    {
      std::vector<std::jthread> consumers;
      for (int i = 0; i < 5; ++i) consumers.emplace_back([&] { passed += queue.pop().has_value(); });
      until_waits(queue, 0, 5);
      std::vector<int> items{1, 2, 3, 4, 5};
      ASSERT_EQ(queue.push_range(items), 5u);
    }
    ASSERT_EQ(passed, 5);
    queue.push(0);
    queue.push(0);
    const std::uint64_t waits = queue.statistics().push_waits;
    {
      std::vector<std::jthread> producers;
      for (int i = 0; i < 4; ++i) producers.emplace_back([&] { passed += queue.push(1); });
      until_waits(queue, waits + 4, 0);
      std::vector<int> out;
      while (out.size() < 6) queue.pop_some(out, 2);
    }
    ASSERT_EQ(passed, 9);
  }
}

}  // namespace
}  // namespace penstock::testing
