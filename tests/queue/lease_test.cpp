// Leases and join: what "done" means, however an item ends.
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/queue_kinds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::queue_of;

template <class Kind>
class any_lease : public ::testing::Test {};
TYPED_TEST_SUITE(any_lease, testing::queue_kinds, testing::kind_names);

TYPED_TEST(any_lease, join_waits_for_the_lease_not_for_the_pop) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  auto held = queue.take();
  ASSERT_TRUE(held);
  EXPECT_EQ(queue.join(0ms).error(), conqueue_status::busy);
  held->done();
  EXPECT_EQ(queue.join().done, 1u);
  held.reset();  // a second ending is ignored
  EXPECT_EQ(queue.join().done, 1u);
}

TYPED_TEST(any_lease, a_plain_pop_is_done_at_once) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  EXPECT_EQ(queue.join(0ms).error(), conqueue_status::busy);
  (void)queue.pop();
  EXPECT_EQ(queue.join().done, 1u);
}

TYPED_TEST(any_lease, join_of_a_queue_that_never_held_anything_returns_at_once) {
  queue_of<TypeParam, int> queue(4);
  EXPECT_EQ(queue.join().done, 0u);
}

TYPED_TEST(any_lease, a_consumer_that_throws_fails_its_lease_and_join_returns) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  queue.push(2);
  EXPECT_THROW(
      {
        for (int& item : queue.items()) {
          if (item == 2) throw std::runtime_error("bad item");
          if (item == 1) queue.close();
        }
      },
      std::runtime_error);
  const join_result result = queue.join();
  EXPECT_EQ(result.done, 1u);
  EXPECT_EQ(result.failed, 1u);
}

TYPED_TEST(any_lease, a_lease_that_outlives_a_caught_exception_is_not_failed) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  {
    auto held = queue.take();
    try {
      throw 1;
    } catch (int) {
    }
  }
  EXPECT_EQ(queue.join().failed, 0u);
}

TYPED_TEST(any_lease, a_lease_made_and_ended_during_unwinding_is_done) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  struct drains_at_the_end {
    queue_of<TypeParam, int>& queue;
    ~drains_at_the_end() { (void)queue.take(); }
  };
  try {
    const drains_at_the_end guard{queue};
    throw 1;
  } catch (int) {
  }
  EXPECT_EQ(queue.join().done, 1u);
}

TYPED_TEST(any_lease, failing_is_visible_with_its_first_reason) {
  queue_of<TypeParam, int> queue(4);
  for (int i = 0; i < 3; ++i) queue.push(i);
  queue.take()->done();
  try {
    throw std::runtime_error("first");
  } catch (...) {
    queue.take()->fail();
  }
  queue.take()->fail(std::make_exception_ptr(std::runtime_error("second")));
  const auto result = queue.join();
  EXPECT_EQ(result.done, 1u);
  EXPECT_EQ(result.failed, 2u);
  try {
    std::rethrow_exception(result.first_failure);
  } catch (const std::runtime_error& e) {
    EXPECT_STREQ(e.what(), "first");
  }
}

TYPED_TEST(any_lease, tickets_count_in_the_order_of_leaving) {
  queue_of<TypeParam, int> queue(4);
  for (int i = 0; i < 4; ++i) queue.push(i);
  EXPECT_EQ(queue.take()->ticket(), 0u);
  (void)queue.pop();
  EXPECT_EQ(queue.take()->ticket(), 2u);
  EXPECT_EQ(queue.take()->ticket(), 3u);
}

TYPED_TEST(any_lease, join_after_close_returns_when_the_rest_is_taken_and_ended) {
  queue_of<TypeParam, int> queue(8);
  for (int i = 0; i < 5; ++i) queue.push(i);
  queue.close();
  std::jthread worker([&] {
    for (int item : queue.items()) (void)item;
  });
  EXPECT_EQ(queue.join().done, 5u);
}

TYPED_TEST(any_lease, join_after_cancel_waits_only_for_the_leases_that_are_out) {
  queue_of<TypeParam, int> queue(8);
  for (int i = 0; i < 5; ++i) queue.push(i);
  auto held = queue.take();
  EXPECT_EQ(queue.cancel().size(), 4u);
  EXPECT_EQ(queue.join(0ms).error(), conqueue_status::busy);
  held.reset();
  const auto result = queue.join();
  EXPECT_EQ(result.done, 1u);
  EXPECT_EQ(result.returned, 4u);
}

TYPED_TEST(any_lease, join_gives_up_at_a_stop) {
  queue_of<TypeParam, int> queue(1);
  queue.push(1);
  std::stop_source stop;
  std::atomic<bool> gave_up = false;
  std::jthread joiner([&] { gave_up = !queue.join(stop.get_token()); });
  stop.request_stop();
  joiner.join();
  EXPECT_TRUE(gave_up);
}

TYPED_TEST(any_lease, join_sees_a_moment_of_rest_even_if_work_goes_on_at_once) {
  // The consumer ends one item and the producer pushes the next without a pause: join must return all the same.
  queue_of<TypeParam, int> queue(1);
  std::atomic<bool> joined = false;
  queue.push(0);
  std::jthread consumer([&] {
    for (int item : queue.items()) (void)item;
  });
  std::jthread producer([&] {
    while (!joined) queue.push(1);
    queue.close();
  });
  (void)queue.join();
  joined = true;
}

TYPED_TEST(any_lease, items_ends_at_its_limit_and_break_counts_as_done) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  queue.push(2);
  for (int item : queue.items()) {
    EXPECT_EQ(item, 1);
    break;
  }
  int seen = 0;
  for (int item : queue.items(0ms)) seen += item;
  EXPECT_EQ(seen, 2);
  EXPECT_EQ(queue.join().done, 2u);
}

TYPED_TEST(any_lease, everything_pushed_is_done_after_join_with_many_workers) {
  queue_of<TypeParam, int> queue(5);
  std::atomic<int> worked = 0;
  std::vector<std::jthread> workers;
  for (int w = 0; w < 4; ++w)
    workers.emplace_back([&] {
      for (int item : queue.items()) {
        (void)item;
        ++worked;
      }
    });
  for (int round = 1; round <= 20; ++round) {
    for (int i = 0; i < 50; ++i) queue.push(i);
    (void)queue.join();
    ASSERT_EQ(worked, 50 * round);
  }
  queue.close();
}

// What was done with the items lies behind whoever joins: in plain memory, as the thread sanitizer sees it.
TYPED_TEST(any_lease, what_was_done_with_the_items_is_there_after_join) {
  for (int round = 0; round < 20; ++round) {
    queue_of<TypeParam, int> queue(8);
    std::vector<int> results(64);
    std::vector<std::jthread> workers;
    for (int w = 0; w < 3; ++w)
      workers.emplace_back([&] {
        for (const int& item : queue.items()) results[static_cast<std::size_t>(item)] = item;
      });
    for (int i = 0; i < 64; ++i) queue.push(i);
    EXPECT_EQ(queue.join().done, 64u);
    int sum = 0;
    for (const int i : results) sum += i;
    EXPECT_EQ(sum, 63 * 32);
    queue.close();
  }
}

TYPED_TEST(any_lease, more_than_there_is_room_for_can_be_asked_for) {
  queue_of<TypeParam, int> queue(4);
  for (int i = 0; i < 4; ++i) queue.push(i);
  std::vector<int> got;
  EXPECT_EQ(queue.pop_some(got, std::vector<int>().max_size() + 1), 4u);
  EXPECT_EQ(got, (std::vector<int>{0, 1, 2, 3}));
}

TYPED_TEST(any_lease, everyone_who_joins_is_woken) {
  for (int round = 0; round < 100; ++round) {
    queue_of<TypeParam, int> queue(1);
    queue.push(1);
    auto held = queue.take();
    std::vector<std::jthread> joiners;
    for (int i = 0; i < 3; ++i) joiners.emplace_back([&] { EXPECT_EQ(queue.join().done, 1u); });
    for (int i = 0; i < round; ++i) std::this_thread::yield();
    held->done();
  }
}

TYPED_TEST(any_lease, join_gives_up_at_its_deadline_and_not_before) {
  queue_of<TypeParam, int> queue(1);
  queue.push(1);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(queue.join(5ms).error(), conqueue_status::busy);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 5ms);
}

TYPED_TEST(any_lease, join_gives_up_at_a_stop_whenever_it_comes) {
  for (int round = 0; round < 100; ++round) {
    queue_of<TypeParam, int> queue(1);
    queue.push(1);
    std::stop_source stop;
    std::jthread joiner([&] { EXPECT_FALSE(queue.join(stop.get_token())); });
    for (int i = 0; i < round; ++i) std::this_thread::yield();
    stop.request_stop();
  }
}

}  // namespace
}  // namespace penstock
