// Tasks on one loop: results, errors, order, time, and that a task destroyed anywhere leaves nothing behind.
#include <chrono>
#include <limits>
#include <memory>
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
#include <penstock/async/when.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;
using clock = system::clock;

task<int> value(int v) { co_return v; }
task<int> sum(int depth) {
  if (depth == 0) co_return 0;
  co_return 1 + co_await sum(depth - 1);
}
task<std::unique_ptr<int>> only_movable() { co_return std::make_unique<int>(7); }
task<int&> reference(int& to) { co_return to; }
task<> throws(std::string what) {
  co_await yield_to_others();
  throw std::runtime_error(what);
}

TEST(task, gives_values_of_every_kind) {
  EXPECT_EQ(run(value(3)), 3);
  EXPECT_EQ(*run(only_movable()), 7);
  int x = 5;
  EXPECT_EQ(&run(reference(x)), &x);
}

TEST(task, an_exception_arrives_where_the_task_is_awaited) {
  const auto parent = []() -> task<std::string> {
    try {
      co_await throws("broken");
    } catch (const std::runtime_error& e) {
      co_return e.what();
    }
    co_return "nothing";
  };
  EXPECT_EQ(run(parent()), "broken");
  EXPECT_THROW(run(throws("out of run")), std::runtime_error);
}

TEST(task, chains_of_any_length_do_not_grow_the_stack) {
  const auto many = []() -> task<int> {
    int done = 0;
    for (int i = 0; i < 300'000; ++i) done += co_await value(1);
    co_return done;
  };
  EXPECT_EQ(run(many()), 300'000);
  EXPECT_EQ(run(sum(100'000)), 100'000);
}

TEST(task, one_that_was_never_started_is_only_destroyed) {
  auto held = std::make_shared<int>(1);
  const auto holds = [](std::shared_ptr<int> p) -> task<int> { co_return *p; };
  {
    const task<int> t = holds(held);
    EXPECT_EQ(held.use_count(), 2);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(sleeping, is_never_early) {
  const auto sleeper = [](clock::duration how_long) -> task<clock::duration> {
    const auto from = clock::now();
    co_await sleep_for(how_long);
    co_return clock::now() - from;
  };
  for (const auto how_long : {clock::duration(0), clock::duration(1), clock::duration(100us), clock::duration(3ms)})
    EXPECT_GE(run(sleeper(how_long)), how_long);
}

TEST(sleeping, wakes_in_the_order_of_times) {
  std::vector<int> order;
  const auto sleeper = [](std::vector<int>& o, int number, clock::time_point when) -> task<> {
    co_await sleep_until(when);
    o.push_back(number);
  };
  const auto all = [&]() -> task<> {
    group g;
    const auto now = clock::now();
    for (int i = 20; i-- > 0;) g.add(sleeper(order, i, now + i * 10us));
    co_await g.wait();
  };
  run(all());
  EXPECT_EQ(order.size(), 20u);
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
}

TEST(sleeping, ends_at_a_stop_from_another_thread_or_at_its_time) {
  std::stop_source stop;
  const auto sleeper = [](std::stop_token token, clock::duration how_long) -> task<bool> {
    co_return co_await sleep_until({token, how_long});
  };
  EXPECT_TRUE(run(sleeper(stop.get_token(), 1ms)));
  {
    const std::jthread stopper([&] { stop.request_stop(); });
    EXPECT_FALSE(run(sleeper(stop.get_token(), 1h)));
  }
  EXPECT_FALSE(run(sleeper(stop.get_token(), 1h)));
}

// The stop comes at every moment of the sleep's life, its beginning and its end included.
TEST(sleeping, a_stop_at_any_moment_is_either_in_time_or_too_late) {
  for (int round = 0; round < 500; ++round) {
    std::stop_source stop;
    const auto sleeper = [](std::stop_token token) -> task<> {
      for (int i = 0; i < 3; ++i) (void)co_await sleep_until({token, std::chrono::microseconds(20)});
    };
    const std::jthread stopper([&] { stop.request_stop(); });
    run(sleeper(stop.get_token()));
  }
}

TEST(run, a_stop_destroys_the_task_where_it_waits) {
  std::stop_source stop;
  auto held = std::make_shared<int>(1);
  const auto waits_inside = [](std::shared_ptr<int> p) -> task<int> {
    co_await sleep_for(1h);
    co_return *p;
  };
  const auto waits = [&waits_inside](std::shared_ptr<int> p) -> task<int> {
    const std::string local(100, 'x');
    co_return co_await waits_inside(p) + static_cast<int>(local.size());
  };
  {
    const std::jthread stopper([&] { stop.request_stop(); });
    EXPECT_FALSE(run(waits(held), stop.get_token()).has_value());
  }
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_FALSE(run(waits(held), stop.get_token()).has_value());
  EXPECT_EQ(held.use_count(), 1);
  EXPECT_EQ(run(value(3), std::stop_token{}), 3);
}

TEST(run, on_many_threads_at_once) {
  std::vector<std::jthread> threads;
  std::atomic<int> total = 0;
  for (int i = 0; i < 8; ++i)
    threads.emplace_back([&] {
      const auto work = []() -> task<int> {
        int done = 0;
        for (int j = 0; j < 100; ++j) {
          co_await sleep_for(10us);
          done += co_await value(1);
        }
        co_return done;
      };
      total += run(work());
    });
  threads.clear();
  EXPECT_EQ(total, 800);
}

struct tells_its_end {
  std::vector<int>* order;
  int number;
  ~tells_its_end() { order->push_back(number); }
};
task<> waits_inside(int depth, std::vector<int>& order) {
  const tells_its_end here{&order, depth};
  if (depth == 0)
    co_await sleep_for(1h);
  else
    co_await waits_inside(depth - 1, order);
}

TEST(task, a_chain_of_any_length_is_destroyed_from_the_inside_without_a_growing_stack) {
  std::vector<int> order;
  constexpr int depth = 200'000;
  const auto all = [&]() -> task<> {
    {
      group g;
      g.add(waits_inside(depth, order));
    }
    EXPECT_EQ(order.size(), depth + 1u);
    co_return;
  };
  run(all());
  for (int i = 0; i <= depth; ++i) ASSERT_EQ(order[static_cast<std::size_t>(i)], i);
  // By a stop, too.
  order.clear();
  std::stop_source stop;
  const auto stops = [](std::stop_source& s, std::vector<int>& o) -> task<> {
    s.request_stop();
    co_await waits_inside(depth, o);
  };
  EXPECT_FALSE(run(stops(stop, order), stop.get_token()));
  EXPECT_EQ(order.size(), depth + 1u);
}

TEST(run, inside_of_a_task_is_an_error_that_says_so_and_the_loop_goes_on) {
  const auto inner = []() -> task<int> {
    co_await sleep_for(0ns);
    co_return 7;
  };
  const auto outer = [&]() -> task<int> {
    EXPECT_THROW((void)run(inner()), std::logic_error);
    EXPECT_THROW((void)run(inner(), std::stop_token{}), std::logic_error);
    co_await sleep_for(0ns);
    co_return co_await inner();
  };
  EXPECT_EQ(run(outer()), 7);
}

// --- the ends of the clock ---

task<> sleeps_until(system::clock::time_point when) { co_await sleep_until(when); }
task<> sleeps_within(wait_limit limit) { (void)co_await sleep_until(limit); }
task<> sleeps_a_ms() { co_await sleep_for(1ms); }
template <class Duration>
task<> sleeps_for(Duration how_long) {
  co_await sleep_for(how_long);
}
bool is_longer_than_a_ms(task<> t) {
  const auto both = [](task<> one) -> task<std::size_t> {
    const auto first = co_await when_any(std::move(one), sleeps_a_ms());
    co_return first.index();
  };
  return run(both(std::move(t))) == 1;
}

TEST(sleeping, for_ever_and_into_the_past) {
  using seconds = std::chrono::duration<double>;
  using float_hours = std::chrono::duration<float, std::ratio<3600>>;
  constexpr double endless = std::numeric_limits<double>::infinity();
  constexpr auto end = system::clock::time_point::max(), start = system::clock::time_point::min();
  EXPECT_TRUE(is_longer_than_a_ms(sleeps_for(std::chrono::nanoseconds::max())));
  EXPECT_TRUE(is_longer_than_a_ms(sleeps_for(std::chrono::hours::max())));
  EXPECT_TRUE(is_longer_than_a_ms(sleeps_for(seconds(endless))));
  EXPECT_TRUE(is_longer_than_a_ms(sleeps_for(float_hours(std::numeric_limits<float>::max()))));
  EXPECT_TRUE(is_longer_than_a_ms(sleeps_for(end - system::clock::now())));
  for (const auto before_the_end : {0ns, 1ns, 65'535ns, 65'536ns, 65'537ns, 1'000'000ns}) {
    EXPECT_TRUE(is_longer_than_a_ms(sleeps_until(end - before_the_end)));
    EXPECT_TRUE(is_longer_than_a_ms(sleeps_within(end - before_the_end)));
  }
  for (const auto after_the_start : {0ns, 1ns, 65'535ns, 65'537ns}) {
    run(sleeps_until(start + after_the_start));
    run(sleeps_within(start + after_the_start));
  }
  run(sleeps_until({}));
  run(sleeps_for(-1ns));
  run(sleeps_for(std::chrono::nanoseconds::min()));
  run(sleeps_for(std::chrono::hours::min()));
  run(sleeps_for(seconds(-endless)));
  run(sleeps_for(seconds(std::numeric_limits<double>::quiet_NaN())));
}

}  // namespace
}  // namespace penstock
