// Blocking work on a pool: results and errors come back, the loop goes on meanwhile, destroying takes it back or waits.
#include <atomic>
#include <chrono>
#include <latch>
#include <memory>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/group.hpp>
#include <penstock/async/on.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/when.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

TEST(on_pool, results_of_every_kind_and_errors_come_back) {
  thread_pool pool(2);
  const auto here = std::this_thread::get_id();
  const auto all = [&]() -> task<> {
    const auto which = [] { return std::this_thread::get_id(); };
    const auto there = co_await on(pool, which);
    EXPECT_NE(there, here);
    EXPECT_EQ(std::this_thread::get_id(), here);
    int x = 0;
    const auto sets = [&x] { x = 5; };
    co_await on(pool, sets);
    EXPECT_EQ(x, 5);
    const auto makes = [] { return std::make_unique<int>(7); };
    const auto made = co_await on(pool, makes);
    EXPECT_EQ(*made, 7);
    const auto throws = []() -> int { throw std::out_of_range("there"); };
    (void)co_await on(pool, throws);
  };
  EXPECT_THROW(run(all()), std::out_of_range);
}

TEST(on_pool, the_loop_goes_on_while_threads_block) {
  thread_pool pool(3);
  std::latch all_there(3);
  int done = 0;
  const auto waits_for_the_others = [](thread_pool& p, std::latch& l, int& n) -> task<> {
    const auto meet = [&l] { l.arrive_and_wait(); };
    co_await on(p, meet);
    ++n;
  };
  const auto all = [&]() -> task<> {
    group g;
    for (int i = 0; i < 3; ++i) g.add(waits_for_the_others(pool, all_there, done));
    co_await g.wait();
  };
  run(all());
  EXPECT_EQ(done, 3);
}

TEST(on_pool, many_calls_from_several_loops) {
  thread_pool pool(2);
  std::atomic<int> total = 0;
  const auto one = [](thread_pool& p, std::atomic<int>& t) -> task<> {
    const auto add = [&t] { ++t; };
    for (int i = 0; i < 50; ++i) co_await on(p, add);
  };
  const auto all = [&]() -> task<> {
    group g;
    for (int i = 0; i < 20; ++i) g.add(one(pool, total));
    co_await g.wait();
  };
  {
    std::vector<std::jthread> loops;
    for (int i = 0; i < 3; ++i) loops.emplace_back([&] { run(all()); });
  }
  EXPECT_EQ(total, 3 * 20 * 50);
}

TEST(on_pool, destroying_takes_back_what_waits_and_ends_what_runs) {
  for (int round = 0; round < 100; ++round) {
    thread_pool pool(1);
    std::atomic<int> begun = 0, ended = 0;
    const auto works = [](thread_pool& p, std::atomic<int>& b, std::atomic<int>& e) -> task<> {
      std::atomic<int> in_the_frame = 0;
      const auto until_stopped = [&](std::stop_token stop) {
        ++b;
        while (!stop.stop_requested()) {
          ++in_the_frame;
          std::this_thread::yield();
        }
        ++e;
      };
      co_await on(p, until_stopped);
    };
    const auto all = [&]() -> task<> {
      group g;
      for (int i = 0; i < 3; ++i) g.add(works(pool, begun, ended));
      while (round % 2 && begun == 0) co_await yield_to_others();
    };
    run(all());
    EXPECT_EQ(begun, ended);
    EXPECT_LE(begun, 3);
  }
}

TEST(on_pool, calls_that_end_while_they_are_destroyed) {
  thread_pool pool(2);
  for (int round = 0; round < 300; ++round) {
    std::atomic<int> ran = 0;
    const auto works = [](thread_pool& p, std::atomic<int>& n) -> task<> {
      const auto count = [&n] { ++n; };
      for (;;) co_await on(p, count);
    };
    const auto all = [&]() -> task<> {
      group g;
      for (int i = 0; i < 4; ++i) g.add(works(pool, ran));
      co_await sleep_for(std::chrono::microseconds(round));
    };
    run(all());
  }
}

TEST(on_pool, needs_a_thread) { EXPECT_THROW(thread_pool(0), std::invalid_argument); }

TEST(on_pool, nothing_is_begun_while_the_calls_of_a_group_are_destroyed) {
  thread_pool pool(1);
  std::atomic<int> begun = 0;
  std::latch at_work(1);
  const auto works = [](thread_pool& p, std::atomic<int>& n, std::latch& w) -> task<> {
    const auto until_told = [&n, &w](std::stop_token stop) {
      if (n++ == 0) w.count_down();
      while (!stop.stop_requested()) std::this_thread::yield();
    };
    co_await on(p, until_told);
  };
  const auto all = [&]() -> task<> {
    group g;
    for (int i = 0; i < 20; ++i) g.add(works(pool, begun, at_work));
    at_work.wait();
    co_return;
  };
  run(all());
  EXPECT_EQ(begun, 1);
}

// Those that were taken out of the line meanwhile stand in it again.
TEST(on_pool, calls_that_are_not_destroyed_are_done_after_the_others_were) {
  thread_pool pool(1);
  std::atomic<int> done = 0;
  std::latch at_work(1);
  const auto works = [](thread_pool& p, std::latch& w) -> task<> {
    const auto until_told = [&w](std::stop_token stop) {
      w.count_down();
      while (!stop.stop_requested()) std::this_thread::yield();
    };
    co_await on(p, until_told);
  };
  const auto counts = [](thread_pool& p, std::atomic<int>& n) -> task<> {
    const auto count = [&n] { ++n; };
    co_await on(p, count);
  };
  const auto all = [&]() -> task<> {
    group stay;
    {
      group g;
      g.add(works(pool, at_work));
      at_work.wait();
      for (int i = 0; i < 10; ++i) stay.add(counts(pool, done));
    }
    co_await stay.wait();
  };
  run(all());
  EXPECT_EQ(done, 10);
}

}  // namespace
}  // namespace penstock
