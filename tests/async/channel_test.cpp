// A channel keeps the queue's contract among tasks: order, bounds, close, and no item lost to a cancelled task.
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/channel.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

task<> produce(channel<int>& c, int from, int count) {
  bool open = true;
  for (int i = 0; i < count && open; ++i) open = co_await c.push(from + i);
}
task<> consume(channel<int>& c, std::vector<int>& out) {
  while (auto i = co_await c.pop()) {
    EXPECT_LE(c.size(), c.capacity());
    out.push_back(*i);
  }
}
task<> close_after(channel<int>& c, group& producers) {
  co_await producers.wait();
  c.close();
}

TEST(channel, one_to_one_in_order_to_the_end_at_every_capacity) {
  for (const std::size_t capacity : {1u, 2u, 7u, 1000u}) {
    std::vector<int> out;
    const auto all = [&]() -> task<> {
      channel<int> c(capacity);
      group producers, rest;
      rest.add(consume(c, out));
      producers.add(produce(c, 0, 500));
      rest.add(close_after(c, producers));
      co_await rest.wait();
    };
    run(all());
    ASSERT_EQ(out.size(), 500u);
    for (int i = 0; i < 500; ++i) EXPECT_EQ(out[static_cast<std::size_t>(i)], i);
  }
}

TEST(channel, many_to_many_conserve) {
  std::vector<int> out[3];
  const auto all = [&]() -> task<> {
    channel<int> c(3);
    group producers, rest;
    for (auto& o : out) rest.add(consume(c, o));
    for (int p = 0; p < 4; ++p) producers.add(produce(c, p * 1000, 1000));
    rest.add(close_after(c, producers));
    co_await rest.wait();
  };
  run(all());
  std::multiset<int> got;
  for (auto& o : out) got.insert(o.begin(), o.end());
  ASSERT_EQ(got.size(), 4000u);
  for (int i = 0; i < 4000; ++i) EXPECT_EQ(got.count(i), 1u);
}

TEST(channel, close_lets_waiting_items_through_and_refuses_new_ones) {
  const auto all = []() -> task<> {
    channel<std::unique_ptr<int>> c(2);
    auto first = std::make_unique<int>(1);
    EXPECT_TRUE(co_await c.push(std::move(first)));
    c.close();
    auto refused = std::make_unique<int>(2);
    EXPECT_FALSE(co_await c.push(std::move(refused)));
    EXPECT_NE(refused, nullptr);
    EXPECT_EQ(c.try_push(std::move(refused)), conqueue_status::closed);
    const auto got = co_await c.pop();
    EXPECT_EQ(**got, 1);
    EXPECT_FALSE((co_await c.pop()).has_value());
    EXPECT_EQ(c.try_pop().error(), conqueue_status::closed);
  };
  run(all());
}

TEST(channel, close_wakes_those_who_wait) {
  std::vector<int> out;
  const auto all = [&]() -> task<> {
    channel<int> empty(1), full(1);
    EXPECT_EQ(full.try_push(0), conqueue_status::success);
    EXPECT_EQ(full.try_push(1), conqueue_status::full);
    EXPECT_EQ(empty.try_pop().error(), conqueue_status::empty);
    group g;
    g.add(consume(empty, out));
    g.add(produce(full, 0, 3));
    empty.close();
    full.close();
    co_await g.wait();
  };
  run(all());
  EXPECT_TRUE(out.empty());
}

TEST(channel, needs_a_capacity) { EXPECT_THROW(channel<int>(0), std::invalid_argument); }

TEST(channel, one_that_is_destroyed_after_its_call_hands_it_on) {
  std::vector<int> first, second;
  const auto all = [&]() -> task<> {
    channel<int> c(1);
    group behind;
    {
      group before;
      before.add(consume(c, first));
      behind.add(consume(c, second));
      EXPECT_EQ(c.try_push(1),
                conqueue_status::success);  // calls the first, who cannot come to it while this task runs
    }
    co_await yield_to_others();
    EXPECT_EQ(second, std::vector<int>{1});
    EXPECT_EQ(c.try_push(2), conqueue_status::success);
    co_await yield_to_others();
    behind.cancel();
    co_await behind.wait();

    EXPECT_EQ(c.try_push(3), conqueue_status::success);
    group waiting;
    {
      group before;
      before.add(produce(c, 10, 1));
      waiting.add(produce(c, 20, 1));
      EXPECT_EQ(*c.try_pop(), 3);
    }
    co_await waiting.wait();
    EXPECT_EQ(*c.try_pop(), 20);
  };
  run(all());
  EXPECT_TRUE(first.empty());
}

// Tasks are destroyed at every moment, those that were just called included: no item is lost, no call either.
task<> pops_one(channel<int>& c, std::multiset<int>& got) {
  if (auto i = co_await c.pop()) got.insert(*i);
}
task<> pushes_one(channel<int>& c, int i, std::multiset<int>& put) {
  const bool taken = co_await c.push(i);
  if (taken) put.insert(i);
}
task<> some_at_random(channel<int>& c, std::mt19937& random, std::multiset<int>& put, std::multiset<int>& got,
                      int from) {
  group g;
  for (int i = 0; i < 8; ++i) {
    if (random() % 2)
      g.add(pops_one(c, got));
    else
      g.add(pushes_one(c, from + i, put));
    if (random() % 4 == 0) co_await yield_to_others();
  }
  if (random() % 2) co_await yield_to_others();
  // The group is destroyed with those that wait, and those that were called and have not yet run.
}

TEST(channel, cancelled_tasks_lose_nothing) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  for (int round = 0; round < 2000; ++round) {
    std::multiset<int> put, got;
    const auto all = [&]() -> task<> {
      channel<int> c(1 + random() % 3);
      {
        group g;
        for (int i = 0; i < 4; ++i) g.add(some_at_random(c, random, put, got, i * 100));
        co_await g.wait();
      }
      // Whoever comes now is served at once: no promise was left behind.
      while (c.size() > 0) {
        const auto rest = c.try_pop();
        EXPECT_TRUE(rest.has_value());
        if (!rest) co_return;
        got.insert(*rest);
      }
      for (std::size_t i = 0; i < c.capacity(); ++i) EXPECT_EQ(c.try_push(1), conqueue_status::success);
    };
    run(all());
    ASSERT_EQ(put, got) << "round " << round;
  }
}

// The first consumer was called for the last item and destroyed before it went on: it is not lost, and the second consumer
// was not told that the channel had ended.
TEST(channel, the_last_item_of_a_closed_one_goes_to_the_next_if_a_consumer_is_destroyed) {
  std::vector<int> first, second;
  const auto all = [&]() -> task<> {
    channel<int> c(1);
    group behind;
    {
      group before;
      before.add(consume(c, first));
      behind.add(consume(c, second));
      EXPECT_EQ(c.try_push(1), conqueue_status::success);
      c.close();
      for (int i = 0; i < 2; ++i) EXPECT_EQ(c.try_pop().error(), conqueue_status::empty);
    }
    co_await behind.wait();
    EXPECT_EQ(c.try_pop().error(), conqueue_status::closed);
  };
  run(all());
  EXPECT_TRUE(first.empty());
  EXPECT_EQ(second, std::vector<int>{1});
}

struct throwing {
  explicit throwing(int n) : number(n) {}
  throwing(const throwing& other) : number(other.number) {}
  throwing(throwing&& other) : number(other.number) {
    if (armed && number == 1) throw std::runtime_error("moved");
  }
  throwing& operator=(const throwing&) = delete;
  static inline bool armed = false;
  int number;
};

TEST(channel, room_for_an_item_that_cannot_be_moved_in_goes_to_the_next) {
  const auto push_one = [](channel<throwing>& c, int number) -> task<> {
    throwing item(number);
    try {
      (void)co_await c.push(std::move(item));
      EXPECT_EQ(number, 2);
    } catch (const std::runtime_error&) {
      EXPECT_EQ(number, 1);
    }
  };
  const auto all = [&]() -> task<> {
    channel<throwing> c(1);
    throwing::armed = false;
    EXPECT_EQ(c.try_push(throwing(0)), conqueue_status::success);
    group g;
    g.add(push_one(c, 1));
    g.add(push_one(c, 2));
    throwing::armed = true;
    EXPECT_EQ(c.try_pop()->number, 0);
    co_await g.wait();
    EXPECT_EQ(c.try_pop()->number, 2);
  };
  run(all());
}

}  // namespace
}  // namespace penstock
