// Tasks and threads at the ends of one queue, both engines: nothing lost or doubled, whoever is late, stopped or destroyed.
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/group.hpp>
#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/when.hpp>

#include "tests/queue/queue_kinds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::queue_of;

template <class Kind>
class async_ends : public ::testing::Test {};
TYPED_TEST_SUITE(async_ends, testing::queue_kinds, testing::kind_names);

template <class Queue>
task<> produce(Queue& q, int from, int count) {
  bool open = true;
  for (int i = 0; i < count && open; ++i) open = co_await async_push(q, from + i);
}
template <class Queue>
task<> consume(Queue& q, std::vector<int>& out) {
  while (auto i = co_await async_pop(q)) out.push_back(*i);
}
void expect_each_once(std::vector<int> got, int count) {
  ASSERT_EQ(got.size(), static_cast<std::size_t>(count));
  std::sort(got.begin(), got.end());
  for (int i = 0; i < count; ++i) ASSERT_EQ(got[static_cast<std::size_t>(i)], i);
}

TYPED_TEST(async_ends, a_task_feeds_a_thread) {
  for (const std::size_t capacity : {1u, 3u, 100u}) {
    queue_of<TypeParam, int> q(capacity);
    std::vector<int> out;
    std::jthread consumer([&] {
      while (auto i = q.pop()) out.push_back(*i);
    });
    run(produce(q, 0, 5000));
    q.close();
    consumer.join();
    ASSERT_EQ(out.size(), 5000u);
    EXPECT_TRUE(std::is_sorted(out.begin(), out.end()));
  }
}

TYPED_TEST(async_ends, a_thread_feeds_a_task) {
  for (const std::size_t capacity : {1u, 3u, 100u}) {
    queue_of<TypeParam, int> q(capacity);
    std::vector<int> out;
    const std::jthread producer([&] {
      for (int i = 0; i < 5000; ++i) q.push(i);
      q.close();
    });
    run(consume(q, out));
    ASSERT_EQ(out.size(), 5000u);
    EXPECT_TRUE(std::is_sorted(out.begin(), out.end()));
  }
}

TYPED_TEST(async_ends, tasks_on_one_loop_and_on_two_and_threads_all_at_once) {
  queue_of<TypeParam, int> q(4);
  std::vector<int> outs[5];
  {
    std::vector<std::jthread> consumers, producers;
    for (int t = 0; t < 2; ++t)
      consumers.emplace_back([&q, &a = outs[t], &b = outs[2 + t]] {
        const auto both = [](auto& queue, auto& x, auto& y) -> task<> {
          group g;
          g.add(consume(queue, x));
          g.add(consume(queue, y));
          co_await g.wait();
        };
        run(both(q, a, b));
      });
    consumers.emplace_back([&] {
      while (auto i = q.pop()) outs[4].push_back(*i);
    });
    for (int t = 0; t < 2; ++t) producers.emplace_back([&q, t] { run(produce(q, t * 3000, 3000)); });
    producers.emplace_back([&q] {
      for (int i = 6000; i < 9000; ++i) q.push(i);
    });
    producers.clear();
    q.close();
  }
  std::vector<int> all;
  for (auto& o : outs) all.insert(all.end(), o.begin(), o.end());
  expect_each_once(std::move(all), 9000);
}

TYPED_TEST(async_ends, close_ends_both_sides) {
  queue_of<TypeParam, int> empty(1), full(1);
  full.push(0);
  std::vector<int> out;
  const std::jthread closer([&] {
    testing::until_waits(empty, 0, 1);
    testing::until_waits(full, 1, 0);
    empty.close();
    full.close();
  });
  const auto both = [&]() -> task<> {
    group g;
    g.add(consume(empty, out));
    g.add(produce(full, 1, 1));
    co_await g.wait();
  };
  run(both());
  EXPECT_TRUE(out.empty());
}

TYPED_TEST(async_ends, a_limit_ends_the_wait_and_nothing_else) {
  queue_of<TypeParam, int> q(1);
  std::stop_source stopped;
  stopped.request_stop();
  const auto all = [&]() -> task<> {
    auto item = co_await async_pop(q, 1ms);
    EXPECT_EQ(item.error(), conqueue_status::empty);
    item = co_await async_pop(q, stopped.get_token());
    EXPECT_EQ(item.error(), conqueue_status::empty);
    EXPECT_EQ(co_await async_push(q, 1, stopped.get_token()), conqueue_status::success);
    EXPECT_EQ(co_await async_push(q, 2, stopped.get_token()), conqueue_status::full);
    EXPECT_EQ(co_await async_push(q, 2, 1ms), conqueue_status::full);
    const auto got = co_await async_pop(q, stopped.get_token());
    EXPECT_EQ(*got, 1);
    q.close();
    item = co_await async_pop(q, 1h);
    EXPECT_EQ(item.error(), conqueue_status::closed);
    EXPECT_EQ(co_await async_push(q, 2, 1h), conqueue_status::closed);
  };
  run(all());
}

TYPED_TEST(async_ends, a_refused_item_stays_with_its_owner) {
  queue_of<TypeParam, std::unique_ptr<int>> q(1);
  const auto all = [&]() -> task<> {
    auto first = std::make_unique<int>(1);
    EXPECT_TRUE(co_await async_push(q, std::move(first)));
    EXPECT_EQ(first, nullptr);
    auto second = std::make_unique<int>(2);
    EXPECT_EQ(co_await async_push(q, std::move(second), 1ms), conqueue_status::full);
    EXPECT_NE(second, nullptr);
    q.close();
    EXPECT_FALSE(co_await async_push(q, std::move(second)));
    EXPECT_NE(second, nullptr);
  };
  run(all());
}

// A consumer that was called for an item and destroyed before it came to it hands its call on.
TYPED_TEST(async_ends, one_that_is_destroyed_after_its_call_hands_it_on) {
  queue_of<TypeParam, int> q(4);
  std::optional<int> got;
  std::jthread behind;
  const auto first_in_line = [](auto& queue) -> task<> {
    const auto item = co_await async_pop(queue);
    EXPECT_FALSE(item.has_value()) << "it was to be destroyed before";
  };
  const auto all = [&]() -> task<> {
    {
      group g;
      g.add(first_in_line(q));
      behind = std::jthread([&] { got = q.pop(); });
      testing::until_waits(q, 0, 2);
      q.push(7);  // calls the first in line, who cannot come to it while this task runs
    }
    co_return;
  };
  run(all());
  behind.join();
  EXPECT_EQ(got, 7);
}

// Stops, deadlines and destruction at every moment; every item comes out once.
TYPED_TEST(async_ends, nothing_is_lost_or_doubled_whoever_gives_up) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  for (unsigned round = 0; round < 20; ++round) {
    queue_of<TypeParam, int> q(1 + round % 3);
    constexpr int per_producer = 400;
    std::vector<int> outs[4];
    std::atomic<int> pushed = 0;
    const auto restless_consumer = [](auto& queue, std::vector<int>& out, std::mt19937 random) -> task<> {
      const auto patient = [](auto& w, std::vector<int>& o) -> task<> {
        if (auto i = co_await async_pop(w)) o.push_back(*i);
      };
      for (;;) {
        if (random() % 3 == 0) {
          group g;  // destroyed with those that wait in it
          for (int i = 0; i < 3; ++i) g.add(patient(queue, out));
          co_await yield_to_others();
        } else {
          auto i = co_await async_pop(queue, std::chrono::microseconds(random() % 30));
          if (i) out.push_back(*i);
          if (!i && i.error() == conqueue_status::closed) co_return;
        }
      }
    };
    const auto restless_producer = [](auto& queue, int from, std::atomic<int>& n, std::mt19937 random) -> task<> {
      for (int i = 0; i < per_producer;) {
        const auto status = co_await async_push(queue, from + i, std::chrono::microseconds(random() % 30));
        if (status != conqueue_status::success) continue;
        ++i;
        ++n;
      }
    };
    {
      std::vector<std::jthread> consumers, producers;
      for (unsigned t = 0; t < 2; ++t)
        consumers.emplace_back([&, t] {
          const auto both = [&](unsigned s) -> task<> {
            group g;
            g.add(restless_consumer(q, outs[t], std::mt19937(s)));
            g.add(restless_consumer(q, outs[2 + t], std::mt19937(s + 1)));
            co_await g.wait();
          };
          run(both(seed + round * 10 + t * 2));
        });
      for (unsigned t = 0; t < 2; ++t)
        producers.emplace_back([&, t] {
          run(restless_producer(q, static_cast<int>(t) * per_producer, pushed,
                                std::mt19937(seed + round * 10 + 5 + t)));
        });
      producers.clear();
      q.close();
    }
    EXPECT_EQ(pushed, 2 * per_producer);
    std::vector<int> all;
    for (auto& o : outs) all.insert(all.end(), o.begin(), o.end());
    expect_each_once(std::move(all), 2 * per_producer);
  }
}

// --- many at once ---

template <class Queue>
task<> produce_ranges(Queue& q, int from, int count, std::mt19937 random) {
  std::vector<int> some;
  for (int i = 0; i < count;) {
    some.clear();
    for (auto size = 1 + random() % 40; size > 0 && i < count; --size) some.push_back(from + i++);
    const std::size_t pushed = co_await async_push_range(q, some);
    EXPECT_EQ(pushed, some.size());
    if (random() % 8 == 0) co_await yield_to_others();
  }
}
template <class Queue>
task<> consume_some(Queue& q, std::vector<int>& out, std::mt19937 random) {
  for (;;) {
    const std::size_t before = out.size(), most = 1 + random() % 30;
    const std::size_t popped = co_await async_pop_some(q, out, most);
    EXPECT_EQ(out.size(), before + popped);
    EXPECT_LE(popped, most);
    if (popped == 0) break;
  }
}

TYPED_TEST(async_ends, ranges_between_loops_and_threads) {
  const unsigned seed = std::random_device{}();
  std::cout << "seed " << seed << "\n";
  for (const std::size_t capacity : {1u, 3u, 16u, 100u}) {
    queue_of<TypeParam, int> q(capacity);
    std::vector<int> outs[3];
    {
      std::vector<std::jthread> consumers, producers;
      for (unsigned t = 0; t < 2; ++t)
        consumers.emplace_back([&, t] { run(consume_some(q, outs[t], std::mt19937(seed + t))); });
      consumers.emplace_back([&] {
        while (auto i = q.pop()) outs[2].push_back(*i);
      });
      producers.emplace_back([&] { run(produce_ranges(q, 0, 5000, std::mt19937(seed + 5))); });
      producers.emplace_back([&] { run(produce_ranges(q, 5000, 5000, std::mt19937(seed + 6))); });
      producers.emplace_back([&] {
        for (int i = 10'000; i < 12'000; ++i) q.push(i);
      });
      producers.clear();
      q.close();
    }
    std::vector<int> all;
    for (auto& o : outs) {
      // Each producer's in order.
      int last[3] = {-1, -1, -1};
      for (const int i : o) {
        EXPECT_LT(last[std::min(i / 5000, 2)], i);
        last[std::min(i / 5000, 2)] = i;
      }
      all.insert(all.end(), o.begin(), o.end());
    }
    expect_each_once(std::move(all), 12'000);
  }
}

TYPED_TEST(async_ends, a_close_cuts_a_range_and_the_rest_is_its_owners) {
  queue_of<TypeParam, std::unique_ptr<int>> q(3);
  std::vector<std::unique_ptr<int>> items;
  for (int i = 0; i < 5; ++i) items.push_back(std::make_unique<int>(i));
  std::size_t pushed = 9;
  const auto pushes = [&]() -> task<> { pushed = co_await async_push_range(q, items); };
  const auto closes = [&]() -> task<> {
    q.close();
    co_return;
  };
  const auto both = [&]() -> task<> {
    group g;
    g.add(pushes());
    g.add(closes());
    co_await g.wait();
  };
  run(both());
  EXPECT_EQ(pushed, 3u);
  EXPECT_TRUE(!items[0] && !items[2] && items[3] && items[4]);
  std::vector<std::unique_ptr<int>> out;
  const auto pops = [&]() -> task<std::size_t> {
    const std::size_t some = co_await async_pop_some(q, out, 10);
    const std::size_t end = co_await async_pop_some(q, out, 10);
    co_return some * 10 + end;
  };
  EXPECT_EQ(run(pops()), 30u);
}

TYPED_TEST(async_ends, one_that_is_destroyed_while_it_waits_for_many_loses_none) {
  queue_of<TypeParam, int> q(2);
  std::vector<int> out, items{1, 2, 3, 4};
  const auto pops = [&]() -> task<> { (void)co_await async_pop_some(q, out, 10); };
  const auto pushes = [&]() -> task<> { (void)co_await async_push_range(q, items); };
  {
    const auto gave_up = run(within(1ms, pops()));
    EXPECT_FALSE(gave_up);
  }
  {
    const auto gave_up = run(within(1ms, pushes()));
    EXPECT_FALSE(gave_up);
  }
  EXPECT_TRUE(out.empty());
  EXPECT_EQ(*q.try_pop(), 1);
  EXPECT_EQ(*q.try_pop(), 2);
  EXPECT_FALSE(q.try_pop());
}

// In a queue so large that one waits until half of it is free: but not for ever, if half of it is not what the other side
// needs.
TYPED_TEST(async_ends, a_patient_task_is_not_too_patient) {
  queue_of<TypeParam, int> q(16);
  for (int i = 0; i < 16; ++i) q.push(i);
  std::atomic<bool> pushed = false;
  const auto push = [&]() -> task<> {
    co_await async_push(q, 16);
    pushed = true;
    pushed.notify_all();
  };
  const std::jthread task_thread([&] { run(push()); });
  testing::until_waits(q, 1, 0);
  EXPECT_TRUE(q.try_pop());
  pushed.wait(false);
}

TEST(async_ends_with_weights, keep_the_limit_in_bytes) {
  bounded_queue<std::string> q(10, {.limit = 10, .bytes = [](const std::string& s) { return s.size(); }});
  std::size_t most = 0, total = 0;
  std::jthread consumer([&] {
    while (auto s = q.pop()) total += s->size();
  });
  const auto feed = [&]() -> task<> {
    for (int i = 0; i < 500; ++i) {
      const std::string item(static_cast<std::size_t>(i % 9 + 1), 'x');
      EXPECT_TRUE(co_await async_push(q, item));
      most = std::max(most, q.statistics().bytes);
    }
  };
  run(feed());
  q.close();
  consumer.join();
  EXPECT_LE(most, 10u);
  std::size_t expected = 0;
  for (int i = 0; i < 500; ++i) expected += static_cast<std::size_t>(i % 9 + 1);
  EXPECT_EQ(total, expected);
}

}  // namespace
}  // namespace penstock
