// Groups: all end, the first failure cancels, bounds hold, nothing is left, wherever and however it ends.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <iostream>
#include <memory>
#include <random>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/task.hpp>
#include <penstock/base/exception_text.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

// Counts those that are alive.
struct counted {
  explicit counted(int& n) : alive(n) { ++alive; }
  counted(counted&& other) noexcept : alive(other.alive) { ++alive; }
  counted(const counted& other) : alive(other.alive) { ++alive; }
  counted& operator=(const counted&) = delete;
  ~counted() { --alive; }
  int& alive;
};

task<> sleeps(std::chrono::nanoseconds how_long, int& ended) {
  co_await sleep_for(how_long);
  ++ended;
}
task<> holds(counted, std::chrono::nanoseconds how_long) { co_await sleep_for(how_long); }
task<> fails(std::chrono::nanoseconds after, std::string what) {
  co_await sleep_for(after);
  throw std::runtime_error(what);
}
task<> fails_at_once(std::string what) {
  throw std::runtime_error(what);
  co_return;
}

TEST(group, waits_for_all) {
  int ended = 0;
  const auto all = [&]() -> task<bool> {
    group g;
    for (int i = 0; i < 1000; ++i) g.add(sleeps(std::chrono::microseconds(i % 7), ended));
    co_return co_await g.wait();
  };
  EXPECT_TRUE(run(all()));
  EXPECT_EQ(ended, 1000);
}

TEST(group, an_empty_one_has_ended) {
  const auto all = []() -> task<bool> {
    group g;
    co_return co_await g.wait();
  };
  EXPECT_TRUE(run(all()));
}

TEST(group, the_first_failure_cancels_the_rest_and_tells_who_and_why) {
  int alive = 0;
  const auto all = [&]() -> task<> {
    group g;
    g.add(holds(counted(alive), 1h));
    g.add("the bad one", fails(1us, "no route"));
    g.add(holds(counted(alive), 1h));
    co_await g.wait();
  };
  try {
    run(all());
    FAIL();
  } catch (const task_error& e) {
    EXPECT_EQ(e.number(), 2u);
    EXPECT_EQ(e.label(), "the bad one");
    EXPECT_EQ(exception_text(std::current_exception()), "task 2 (the bad one): no route");
    EXPECT_THROW(e.rethrow_nested(), std::runtime_error);
  }
  EXPECT_EQ(alive, 0);
}

TEST(group, one_that_fails_before_its_first_wait_cancels_too) {
  int alive = 0;
  const auto all = [&]() -> task<> {
    group g;
    g.add(holds(counted(alive), 1h));
    g.add(fails_at_once("at once"));
    g.add(holds(counted(alive), 1h));
    co_await g.wait();
  };
  EXPECT_THROW(run(all()), task_error);
  EXPECT_EQ(alive, 0);
}

TEST(group, an_exception_that_passes_through_leaves_nothing) {
  int alive = 0;
  const auto all = [&]() -> task<> {
    group g;
    for (int i = 0; i < 10; ++i) g.add(holds(counted(alive), 1h));
    EXPECT_EQ(alive, 10);
    co_await yield_to_others();
    throw std::logic_error("out");
  };
  EXPECT_THROW(run(all()), std::logic_error);
  EXPECT_EQ(alive, 0);
}

task<> cancels(group& g) {
  co_await sleep_for(1us);
  g.cancel();
  co_await sleep_for(1h);
}

TEST(group, may_be_cancelled_by_one_of_its_own) {
  int alive = 0;
  const auto all = [&]() -> task<bool> {
    group g;
    for (int i = 0; i < 10; ++i) g.add(holds(counted(alive), 1h));
    g.add(cancels(g));
    co_return co_await g.wait();
  };
  EXPECT_FALSE(run(all()));
  EXPECT_EQ(alive, 0);
}

// Its own parent is destroyed while the inner one runs: not before it has let go of the stack.
task<> cancels_at_once(group& g, int& alive) {
  const counted here(alive);
  g.cancel();
  co_await sleep_for(0ns);
  co_await sleep_for(1h);
}
task<> adds_one_that_cancels(group& outer, int& alive) {
  const counted here(alive);
  group inner;
  inner.add(cancels_at_once(outer, alive));
  EXPECT_EQ(alive, 2);
  co_await inner.wait();
}

TEST(group, may_be_cancelled_from_below_while_its_task_runs) {
  int alive = 0;
  const auto all = [&]() -> task<bool> {
    group g;
    g.add(adds_one_that_cancels(g, alive));
    co_return co_await g.wait();
  };
  EXPECT_FALSE(run(all()));
  EXPECT_EQ(alive, 0);
}

TEST(group, no_more_in_flight_than_allowed) {
  int now = 0, most = 0, done = 0;
  const auto one = [](int& n, int& m, int& d) -> task<> {
    m = std::max(m, ++n);
    co_await sleep_for(10us);
    --n;
    ++d;
  };
  const auto all = [&](bool asks_for_room) -> task<> {
    group g({.in_flight = 7});
    for (int i = 0; i < 200; ++i) {
      if (asks_for_room) {
        co_await g.room();
        EXPECT_LT(g.under_way(), 7u);
      }
      g.add(one(now, most, done));
    }
    co_await g.wait();
  };
  for (const bool asks : {false, true}) {
    most = done = 0;
    run(all(asks));
    EXPECT_EQ(most, 7);
    EXPECT_EQ(done, 200);
  }
}

TEST(group, a_long_line_of_tasks_that_never_wait_does_not_grow_the_stack) {
  int done = 0;
  const auto first = [](group& g, int& d) -> task<> {
    const auto at_once = [](int& n) -> task<> {
      ++n;
      co_return;
    };
    for (int i = 0; i < 100'000; ++i) g.add(at_once(d));
    co_return;
  };
  const auto all = [&]() -> task<> {
    group g({.in_flight = 1});
    g.add(first(g, done));
    co_await g.wait();
  };
  run(all());
  EXPECT_EQ(done, 100'000);
}

task<> nests(int depth, int& done) {
  ++done;
  if (depth == 0) co_return;
  group g;
  g.add(nests(depth - 1, done));
  co_await g.wait();
}

TEST(group, groups_within_groups_do_not_grow_the_stack) {
  int done = 0;
  run(nests(20'000, done));
  EXPECT_EQ(done, 20'001);
}

TEST(group, a_stop_from_another_thread_cancels) {
  for (int round = 0; round < 200; ++round) {
    std::stop_source stop;
    int alive = 0;
    const auto all = [](std::stop_token token, int& n) -> task<bool> {
      group g({.stop = token});
      for (int i = 0; i < 10; ++i) g.add(holds(counted(n), 1h));
      co_return co_await g.wait();
    };
    const std::jthread stopper([&] { stop.request_stop(); });
    EXPECT_FALSE(run(all(stop.get_token(), alive)));
    EXPECT_EQ(alive, 0);
  }
}

// Trees of groups in which things fail, are cancelled and destroyed at random; whatever happens, nothing is left.
task<> random_tree(std::mt19937& random, int& alive, int depth) {
  const counted here(alive);
  group g({.in_flight = 1 + random() % 4});
  const auto children = depth == 0 ? 0 : random() % 4;
  for (unsigned i = 0; i < children; ++i) {
    if (random() % 4 == 0) co_await g.room();
    g.add(random_tree(random, alive, depth - 1));
    if (random() % 50 == 0) throw std::runtime_error("thrown");
    if (random() % 50 == 0) g.cancel();
  }
  if (random() % 2 == 0) co_await sleep_for(std::chrono::microseconds(random() % 50));
  if (random() % 40 == 0) throw std::runtime_error("thrown late");
  if (random() % 10 != 0) (void)co_await g.wait();
}

TEST(group, nothing_is_left_of_random_trees) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937 random(seed);
  int failed = 0;
  for (int round = 0; round < 300; ++round) {
    int alive = 0;
    try {
      run(random_tree(random, alive, 6));
    } catch (const std::runtime_error&) {
      ++failed;
    }
    ASSERT_EQ(alive, 0) << "round " << round;
  }
  EXPECT_GT(failed, 0);
}

// --- room ---

task<> takes_room(group& g, int& went_on) {
  co_await g.room();
  ++went_on;
}
task<> takes_room_and_fills_it(group& g, int& most, int& ended) {
  co_await g.room();
  EXPECT_LT(g.under_way(), 2u);
  g.add(sleeps(1us, ended));
  most = std::max(most, static_cast<int>(g.under_way()));
}

TEST(group, room_that_the_first_in_line_does_not_use_goes_to_the_next) {
  int went_on = 0, ended = 0;
  const auto all = [&]() -> task<> {
    group g({.in_flight = 1});
    g.add(sleeps(1us, ended));
    group waiting;
    for (int i = 0; i < 5; ++i) waiting.add(takes_room(g, went_on));
    co_await waiting.wait();
  };
  run(all());
  EXPECT_EQ(went_on, 5);
}

TEST(group, room_that_was_promised_to_a_task_that_is_destroyed_goes_to_the_next) {
  int first = 0, second = 0;
  const auto all = [&]() -> task<> {
    group g({.in_flight = 1});
    group behind;
    group before;
    const auto at_once = [](group& all_before) -> task<> {
      co_await yield_to_others();
      all_before.cancel();  // after the end of this task the first in line has room, and has not gone on
    };
    g.add(at_once(before));
    before.add(takes_room(g, first));
    behind.add(takes_room(g, second));
    co_await behind.wait();
  };
  run(all());
  EXPECT_EQ(first, 0);
  EXPECT_EQ(second, 1);
}

TEST(group, room_is_promised_to_as_many_as_fit_in) {
  int most = 0, ended = 0;
  const auto all = [&]() -> task<> {
    group g({.in_flight = 2});
    group waiting;
    for (int i = 0; i < 100; ++i) waiting.add(takes_room_and_fills_it(g, most, ended));
    co_await waiting.wait();
    co_await g.wait();
  };
  run(all());
  EXPECT_EQ(most, 2);
  EXPECT_EQ(ended, 100);
}

TEST(group, a_cancelled_one_lets_those_go_on_that_wait_for_room) {
  int went_on = 0;
  const auto all = [&]() -> task<> {
    group g({.in_flight = 1});
    int ended = 0;
    g.add(sleeps(1h, ended));
    group waiting;
    for (int i = 0; i < 3; ++i) waiting.add(takes_room(g, went_on));
    g.cancel();
    co_await waiting.wait();
  };
  run(all());
  EXPECT_EQ(went_on, 3);
}

}  // namespace
}  // namespace penstock
