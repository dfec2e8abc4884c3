// How a queue ends, whoever is where at that moment.
//
// Cases that the suites of other channels check, and where they are here:
//   Go TestChan: values, then the end, after close                 after_the_end_every_form_of_pop_drains_then_says_closed
//   Go closedchan: each form of send and receive                   the same, and every_form_of_push_is_refused_after_the_end
//   Go: close of a closed channel panics                           closing_twice_is_once: here it is allowed, as in CPython
//   crossbeam send_/recv_after_disconnect, mpsc smoke_*_gone       the two above
//   crossbeam disconnect_wakes_sender/receiver, mpsc recv_then_close,
//     CPython test_shutdown_pending_get/put                        the_end_wakes_every_form_of_wait
//   mpsc chan_gone_concurrent, port_gone_concurrent                one_side_runs_until_the_other_closes
//   mpsc oneshot_multi_thread_{,send_,recv_}close_stress           closing_races_with_push_and_pop_but_loses_nothing
//   mpsc oneshot_single_thread_peek_*, try_recv_states             what_a_try_says_in_each_state
//   CPython test_shutdown_empty, _nonempty, _immediate             an_end_is_told_in_one_thread (close), (cancel)
//   CPython test_shutdown_allowed_transitions                      close_then_cancel_then_close
//   CPython test_shutdown_(immediate_)all_methods_in_one_thread    an_end_is_told_in_one_thread
//   CPython test_shutdown_(immediate_)all_methods_in_many_threads  an_end_under_load_lets_everybody_go
//   CPython test_shutdown_(immediate_)get, _put                    the_end_divides_what_is_left_among_those_who_ask
//   CPython test_shutdown_(immediate_)join, _put_join,
//     _get_task_done_join                                          joiners_return_at_the_end
// Not applicable: an end that comes because one side's handles are gone (a queue has no sides to drop), task_done called
// too often (leases end once).
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/items.hpp"
#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;
using status = conqueue_status;

#ifdef __SANITIZE_THREAD__
constexpr int rounds = 300;
#else
constexpr int rounds = 2000;
#endif

template <class Kind>
class closing : public ::testing::Test {};
TYPED_TEST_SUITE(closing, queue_kinds, kind_names);

template <class Queue>
void expect_drained(Queue& queue) {
  for (int again = 0; again < 3; ++again) {
    std::vector<int> some;
    EXPECT_FALSE(queue.pop());
    EXPECT_EQ(queue.pop(1h).error(), status::closed);
    EXPECT_EQ(queue.try_pop().error(), status::closed);
    EXPECT_FALSE(queue.take());
    EXPECT_EQ(queue.take(1h).error(), status::closed);
    EXPECT_EQ(queue.try_take().error(), status::closed);
    EXPECT_EQ(queue.pop_some(some, 5), 0u);
    for (int item : queue.items()) ADD_FAILURE() << item;
  }
}

TYPED_TEST(closing, after_the_end_every_form_of_pop_drains_then_says_closed) {
  for (const std::size_t capacity : {7u, 8u, 64u}) {
    queue_of<TypeParam, int> queue(capacity);
    for (int i = 0; i < 7; ++i) queue.push(i);
    queue.close();
    EXPECT_EQ(queue.pop(), 0);
    EXPECT_EQ(*queue.pop(0ms), 1);
    EXPECT_EQ(*queue.try_pop(), 2);
    EXPECT_EQ(**queue.take(), 3);
    EXPECT_EQ(**queue.try_take(), 4);
    std::vector<int> some;
    EXPECT_EQ(queue.pop_some(some, 1), 1u);
    EXPECT_EQ(some.front(), 5);
    for (int item : queue.items()) EXPECT_EQ(item, 6);
    expect_drained(queue);
  }
}

TYPED_TEST(closing, every_form_of_push_is_refused_after_the_end) {
  for (const bool with_room : {true, false}) {
    queue_of<TypeParam, boxed> queue(with_room ? 4 : 1);
    queue.push(make_item<boxed>(1));
    queue.close();
    boxed item = make_item<boxed>(2);
    EXPECT_FALSE(queue.push(std::move(item)));
    EXPECT_FALSE(queue.emplace(std::move(item)));
    EXPECT_EQ(queue.push(std::move(item), 1h), status::closed);
    EXPECT_EQ(queue.try_push(std::move(item)), status::closed);
    EXPECT_EQ(queue.try_emplace(std::move(item)), status::closed);
    EXPECT_EQ(queue.push_range(std::span(&item, 1)), 0u);
    EXPECT_EQ(number_of(item), 2u);
    EXPECT_EQ(queue.size_approx(), 1u);
    EXPECT_EQ(number_of(*queue.pop()), 1u);
    EXPECT_FALSE(queue.pop());
  }
}

TYPED_TEST(closing, closing_twice_is_once) {
  queue_of<TypeParam, int> queue(1);
  EXPECT_FALSE(queue.is_closed());
  queue.push(1);
  for (int i = 0; i < 3; ++i) {
    queue.close();
    EXPECT_TRUE(queue.is_closed());
  }
  EXPECT_EQ(queue.pop(), 1);
  expect_drained(queue);
}

TYPED_TEST(closing, close_then_cancel_then_close) {
  queue_of<TypeParam, int> queue(3);
  queue.push(1);
  queue.push(2);
  queue.close();
  EXPECT_EQ(queue.pop(), 1);
  auto rest = queue.cancel();
  ASSERT_EQ(rest.size(), 1u);
  EXPECT_EQ(*rest.begin(), 2);
  queue.close();
  const auto again = queue.cancel();
  EXPECT_TRUE(again.empty());
  EXPECT_EQ(again.capacity(), 0u) << "there is only one memory to hand over";
  expect_drained(queue);
}

TYPED_TEST(closing, what_a_try_says_in_each_state) {
  queue_of<TypeParam, int> queue(1);
  EXPECT_EQ(queue.try_pop().error(), status::empty);
  EXPECT_EQ(queue.try_push(1), status::success);
  EXPECT_EQ(queue.try_push(2), status::full);
  EXPECT_EQ(*queue.try_pop(), 1);
  EXPECT_EQ(queue.try_pop().error(), status::empty);
  EXPECT_EQ(queue.try_push(3), status::success);
  queue.close();
  EXPECT_EQ(queue.try_push(4), status::closed);  // and not full
  EXPECT_EQ(*queue.try_pop(), 3);
  EXPECT_EQ(queue.try_push(5), status::closed);
  EXPECT_EQ(queue.try_pop().error(), status::closed);
}

TYPED_TEST(closing, an_end_is_told_in_one_thread) {
  for (const bool cancels : {false, true}) {
    queue_of<TypeParam, int> queue(2);
    queue.push(1);
    queue.push(2);
    if (cancels) {
      EXPECT_EQ(queue.cancel().size(), 2u);
    } else {
      queue.close();
      EXPECT_EQ(queue.join(0ms).error(), status::busy);
      EXPECT_EQ(queue.pop(), 1);
      EXPECT_EQ(**queue.take(), 2);
    }
    EXPECT_FALSE(queue.push(3));
    expect_drained(queue);
    const auto result = queue.join();
    EXPECT_EQ(result.done, cancels ? 0u : 2u);
    EXPECT_EQ(result.returned, cancels ? 2u : 0u);
  }
}

TYPED_TEST(closing, the_end_wakes_every_form_of_wait) {
  for (const bool cancels : {false, true}) {
    queue_of<TypeParam, int> full(1), empty(1);
    full.push(0);
    std::atomic<int> ended = 0;
    {
      std::vector<std::jthread> threads;
      threads.emplace_back([&] { ended += !empty.pop(); });
      threads.emplace_back([&] { ended += empty.pop(1h).error() == status::closed; });
      threads.emplace_back([&] { ended += !empty.take(); });
      threads.emplace_back([&] { ended += empty.take(1h).error() == status::closed; });
      threads.emplace_back([&] {
        for (int item : empty.items()) ADD_FAILURE() << item;
        ++ended;
      });
      threads.emplace_back([&] {
        std::vector<int> some;
        ended += empty.pop_some(some, 3) == 0;
      });
      threads.emplace_back([&] { ended += !full.push(1); });
      threads.emplace_back([&] { ended += !full.emplace(1); });
      threads.emplace_back([&] { ended += full.push(1, 1h) == status::closed; });
      threads.emplace_back([&] {
        std::vector<int> some{1, 2};
        ended += full.push_range(some) == 0;
      });
      until_waits(empty, 0, 6);
      until_waits(full, 4, 0);
      EXPECT_EQ(ended, 0);
      if (cancels) {
        EXPECT_EQ(full.cancel().size(), 1u);
        EXPECT_EQ(empty.cancel().size(), 0u);
      } else {
        full.close();
        empty.close();
      }
    }
    EXPECT_EQ(ended, 10);
  }
}

TYPED_TEST(closing, one_side_runs_until_the_other_closes) {
  team both(2);
  for (int round = 0; round < rounds / 20; ++round) {
    queue_of<TypeParam, int> queue(1 + static_cast<std::size_t>(round) % 3);
    int pushed = 0, popped = 0;
    both.run([&](std::size_t self) {  // the consumer leaves
      if (self == 0) {
        while (queue.push(1)) ++pushed;
      } else {
        for (; popped < round; ++popped) (void)queue.pop();
        popped += static_cast<int>(queue.cancel().size());
      }
    });
    ASSERT_EQ(pushed, popped);
    queue_of<TypeParam, int> other(1 + static_cast<std::size_t>(round) % 3);
    pushed = popped = 0;
    both.run([&](std::size_t self) {  // the producer leaves
      if (self == 0) {
        for (; pushed < round; ++pushed) other.push(1);
        other.close();
      } else {
        while (other.pop()) ++popped;
      }
    });
    ASSERT_EQ(pushed, popped);
  }
}

TYPED_TEST(closing, closing_races_with_push_and_pop_but_loses_nothing) {
  team three(3);
  for (int round = 0; round < rounds; ++round) {
    queue_of<TypeParam, boxed> queue(1);
    bool taken_in = false, came_out = false;
    std::size_t returned = 0;
    three.run([&](std::size_t self) {
      dice d = dice_of(3, static_cast<std::uint64_t>(round), self);
      shake(d);
      if (self == 0) {
        taken_in = queue.push(make_item<boxed>(1));
      } else if (self == 1) {
        came_out = queue.pop().has_value();
      } else if (round % 2 == 0) {
        queue.close();
      } else {
        returned = queue.cancel().size();
      }
    });
    ASSERT_EQ(taken_in, came_out || returned == 1) << "round " << round;
    ASSERT_FALSE(came_out && returned == 1) << "round " << round;
  }
}

TYPED_TEST(closing, the_end_divides_what_is_left_among_those_who_ask) {
  for (const bool cancels : {false, true}) {
    team five(5);
    for (int round = 0; round < rounds / 10; ++round) {
      queue_of<TypeParam, int> queue(2);
      queue.push(1);
      queue.push(2);
      std::atomic<std::size_t> got = 0, refused = 0, returned = 0;
      five.run([&](std::size_t self) {
        if (self == 0) {
          if (cancels)
            returned = queue.cancel().size();
          else
            queue.close();
        } else if (self < 4) {
          got += queue.pop().has_value();
        } else {
          refused += !queue.push(3);
        }
      });
      ASSERT_EQ(got + returned, 3 - refused) << "round " << round;
      ASSERT_FALSE(queue.pop());
    }
  }
}

TYPED_TEST(closing, an_end_under_load_lets_everybody_go) {
  for (const bool cancels : {false, true}) {
    constexpr std::size_t writers = 4, readers = 4, joiners = 2;
    queue_of<TypeParam, int> queue(16);
    std::atomic<std::uint64_t> accepted = 0, done = 0, returned = 0;
    team everyone(writers + readers + joiners + 1);
    everyone.run([&](std::size_t self) {
      if (self < writers) {
        while (queue.push(1)) ++accepted;
      } else if (self < writers + readers) {
        for (;;) {
          if (auto item = queue.try_take()) {
            ++done;
          } else if (item.error() == status::closed) {
            return;
          } else {
            std::this_thread::yield();
          }
        }
      } else if (self < writers + readers + joiners) {
        while (!queue.is_closed()) std::this_thread::yield();
        (void)queue.join();
      } else {
        while (queue.statistics().popped < 500) std::this_thread::yield();
        if (cancels)
          returned = queue.cancel().size();
        else
          queue.close();
      }
    });
    EXPECT_EQ(accepted, done + returned);
    const auto result = queue.join();
    EXPECT_EQ(result.done, done.load());
    EXPECT_EQ(result.returned, returned.load());
  }
}

TYPED_TEST(closing, joiners_return_at_the_end) {
  for (const bool cancels : {false, true}) {
    for (int round = 0; round < 50; ++round) {
      queue_of<TypeParam, int> queue(2);
      queue.push(1);
      queue.push(2);
      std::atomic<int> joined = 0, refused = 0, worked = 0;
      {
        std::vector<std::jthread> threads;
        for (int i = 0; i < 2; ++i) threads.emplace_back([&] { joined += queue.join().failed == 0; });
        threads.emplace_back([&] { refused += !queue.push(3); });
        until_waits(queue, 1, 0);
        if (cancels) {
          EXPECT_EQ(queue.cancel().size(), 2u);
        } else {
          queue.close();
          for (int i = 0; i < 2; ++i) threads.emplace_back([&] { worked += queue.take().has_value(); });
        }
      }
      ASSERT_EQ(joined, 2);
      ASSERT_EQ(refused, 1);
      ASSERT_EQ(worked, cancels ? 0 : 2);
    }
  }
}

}  // namespace
}  // namespace penstock::testing
