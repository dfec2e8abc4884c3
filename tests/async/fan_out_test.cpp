// fan_out on threads and in tasks: results in order or as they come, bounds, the element that failed by its name.
#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/fan_out.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/base/exception_text.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

std::vector<int> numbers(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

TEST(fan_out, results_are_in_the_order_of_the_range) {
  const auto v = numbers(1000);
  const auto squares = fan_out(v, [](int i) { return i * i; }, {.workers = 4});
  ASSERT_EQ(squares.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(squares[static_cast<std::size_t>(i)], i * i);
  EXPECT_TRUE(fan_out(numbers(0), [](int i) { return i; }).empty());
  const auto owned = fan_out(v, [](int i) { return std::make_unique<int>(i); });
  EXPECT_EQ(*owned[999], 999);
  std::atomic<int> sum = 0;
  fan_out(v, [&](int i) { sum += i; });
  EXPECT_EQ(sum, 499'500);
}

TEST(fan_out, as_many_at_the_same_time_as_there_are_workers) {
  std::latch all_there(4);
  fan_out(numbers(4), [&](int) { all_there.arrive_and_wait(); }, {.workers = 4});
}

TEST(fan_out, the_element_that_failed_is_named_with_its_cause) {
  const std::vector<std::string> names{"a", "b", "bad", "d"};
  try {
    (void)fan_out(names,
                  [](const std::string& s) -> int {
                    if (s == "bad") throw std::out_of_range("no such thing");
                    return 1;
                  },
                  {.workers = 2});
    FAIL();
  } catch (const element_error& e) {
    EXPECT_EQ(e.index(), 2u);
    EXPECT_EQ(e.label(), "bad");
    EXPECT_EQ(exception_text(std::current_exception()), "element 2 (bad): no such thing");
    EXPECT_THROW(e.rethrow_nested(), std::out_of_range);
  }
}

TEST(fan_out, after_a_failure_nothing_new_is_begun_and_those_who_listen_are_told) {
  std::atomic<int> begun = 0;
  EXPECT_THROW(fan_out(numbers(100'000),
                       [&](int i, std::stop_token stop) {
                         ++begun;
                         if (i == 1) throw std::runtime_error("bad");
                         while (!stop.stop_requested()) std::this_thread::yield();
                       },
                       {.workers = 3}),
               element_error);
  EXPECT_LE(begun, 5);
  EXPECT_THROW(fan_out(numbers(1), [](int) {}, {.workers = 0}), std::invalid_argument);
}

TEST(fan_out, as_they_come_on_the_calling_thread_and_no_more_in_flight_than_allowed) {
  const auto here = std::this_thread::get_id();
  std::atomic<int> begun = 0;
  int taken = 0;
  std::set<std::size_t> indices;
  fan_out(
      numbers(500),
      [&](int i) {
        ++begun;
        return i * 2;
      },
      [&](std::size_t index, int result) {
        EXPECT_EQ(std::this_thread::get_id(), here);
        EXPECT_EQ(result, static_cast<int>(index) * 2);
        EXPECT_LE(begun - taken, 8 + 1);  // and the one that was just taken
        ++taken;
        indices.insert(index);
      },
      {.workers = 3, .in_flight = 8});
  EXPECT_EQ(indices.size(), 500u);
}

TEST(fan_out, what_the_taker_throws_ends_it) {
  EXPECT_THROW(fan_out(
                   numbers(100'000), [](int i) { return i; },
                   [](std::size_t, int i) {
                     if (i == 10) throw std::logic_error("enough");
                   },
                   {.workers = 2}),
               std::logic_error);
  EXPECT_THROW(fan_out(
                   numbers(10),
                   [](int i) {
                     if (i == 3) throw std::runtime_error("bad");
                     return i;
                   },
                   [](std::size_t, int) {}, {.workers = 2}),
               element_error);
}

task<int> later(int i) {
  co_await sleep_for(std::chrono::microseconds((i * 37) % 100));
  if (i == 777) throw std::out_of_range("bad");
  co_return i + 1;
}

TEST(fan_out, in_tasks_with_one_call_changed) {
  const auto v = numbers(500);
  const auto all = [&]() -> task<std::vector<int>> {
    auto incremented = fan_out(v, later, {.in_flight = 50});
    co_return co_await std::move(incremented);
  };
  const auto results = run(all());
  ASSERT_EQ(results.size(), 500u);
  for (int i = 0; i < 500; ++i) EXPECT_EQ(results[static_cast<std::size_t>(i)], i + 1);
  const auto failing = []() -> task<> { (void)co_await fan_out(numbers(1000), later); };
  try {
    run(failing());
    FAIL();
  } catch (const element_error& e) {
    EXPECT_EQ(e.index(), 777u);
    EXPECT_EQ(e.label(), "777");
  }
  int sum = 0;
  const auto add = [&sum](int i) -> task<> {
    co_await yield_to_others();
    sum += i;
  };
  run(fan_out(numbers(100), add, {.in_flight = 3}));
  EXPECT_EQ(sum, 4950);
}

}  // namespace
}  // namespace penstock
