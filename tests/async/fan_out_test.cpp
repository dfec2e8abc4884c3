// fan_out on threads and in tasks: results in order or as they come, bounds, the element that failed by its name.
#include <algorithm>
#include <atomic>
#include <latch>
#include <list>
#include <map>
#include <memory>
#include <numeric>
#include <ranges>
#include <set>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
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

TEST(fan_out, an_element_without_a_name_is_told_by_its_index) {
  const std::vector<std::pair<int, int>> pairs{{1, 2}, {3, 4}};
  try {
    fan_out(pairs, [](const std::pair<int, int>& p) {
      if (p.first == 3) throw std::runtime_error("bad");
    });
    FAIL();
  } catch (const element_error&) {
    EXPECT_EQ(exception_text(std::current_exception()), "element 1: bad");
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

// --- over ranges that are no arrays ---

TEST(fan_out_any, lines_of_a_stream_in_their_order) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += std::to_string(i) + "\n";
  std::istringstream in(text);
  // By value: the word is the function's own; a view of one pass has the same string for all of them.
  const auto lengths = fan_out(std::views::istream<std::string>(in),
                               [](std::string word) { return std::move(word) + "!"; }, {.workers = 3});
  ASSERT_EQ(lengths.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(lengths[static_cast<std::size_t>(i)], std::to_string(i) + "!");
  std::istringstream none;
  EXPECT_TRUE(fan_out(std::views::istream<int>(none), [](int i) { return i; }).empty());
}

TEST(fan_out_any, elements_that_stay_are_passed_where_they_are) {
  std::list<int> all{1, 2, 3, 4, 5};
  fan_out(all, [](int& i) { i *= 10; }, {.workers = 2});
  EXPECT_EQ(all, (std::list<int>{10, 20, 30, 40, 50}));
  const std::map<std::string, int> named{{"a", 1}, {"b", 2}};
  const auto addresses = fan_out(named, [](const std::pair<const std::string, int>& p) { return &p; });
  EXPECT_EQ(addresses, (std::vector<const std::pair<const std::string, int>*>{&*named.begin(), &*named.rbegin()}));
}

TEST(fan_out_any, the_element_that_failed_is_named_and_nothing_new_is_begun) {
  for (const bool consumed : {false, true}) {
    std::istringstream in("a b bad " + std::string(20'000, 'x') + " c d e");
    std::atomic<int> begun = 0;
    const auto look = [&](const std::string& s) {
      ++begun;
      if (s == "bad") throw std::out_of_range("no such thing");
      return 1;
    };
    try {
      if (consumed)
        (void)fan_out(std::views::istream<std::string>(in), [&](std::string s) { return look(std::exchange(s, "")); },
                      {.workers = 1});
      else
        (void)fan_out(std::views::istream<std::string>(in), look, {.workers = 1});
      FAIL();
    } catch (const element_error& e) {
      EXPECT_EQ(exception_text(std::current_exception()), "element 2 (bad): no such thing");
      EXPECT_THROW(e.rethrow_nested(), std::out_of_range);
    }
    EXPECT_EQ(begun, 3);
  }
}

// What the range throws is not an element's fault.
TEST(fan_out_any, what_the_range_throws_is_thrown_as_it_is) {
  const std::list<int> some{1, 2, 3, 4};
  auto breaks = some | std::views::transform([](int i) {
                  if (i == 3) throw std::logic_error("no third");
                  return i;
                });
  std::atomic<int> sum = 0;
  EXPECT_THROW(fan_out(breaks, [&](int i) { sum += i; }, {.workers = 2}), std::logic_error);
  EXPECT_EQ(sum, 3);
  EXPECT_THROW(fan_out(
                   breaks, [](int i) { return i; }, [](std::size_t, int) {}, {.workers = 2}),
               std::logic_error);
  const auto add = [&](int i) -> task<> {
    co_await yield_to_others();
    sum += i;
  };
  EXPECT_THROW(run(fan_out(breaks, add)), std::logic_error);
}

TEST(fan_out_any, as_they_come_from_threads) {
  const std::set<int> all{3, 1, 2};
  int sum = 0;
  fan_out(
      all, [](int i) { return 10 * i; }, [&](std::size_t index, int r) { sum += r * static_cast<int>(index + 1); },
      {.workers = 2, .in_flight = 3});
  EXPECT_EQ(sum, 10 + 40 + 90);
  EXPECT_THROW(fan_out(
                   all, [](int i) { return i; }, [](std::size_t, int) { throw std::logic_error("enough"); }),
               std::logic_error);
}

TEST(fan_out_any, in_tasks) {
  const std::list<int> all{5, 6, 7};
  const auto results = run(fan_out(all, later, {.in_flight = 2}));
  EXPECT_EQ(results, (std::vector<int>{6, 7, 8}));
  std::istringstream in("1 2 777 4");
  const auto failing = [&]() -> task<> {
    auto each = fan_out(std::views::istream<int>(in), later);
    (void)co_await std::move(each);
  };
  try {
    run(failing());
    FAIL();
  } catch (const element_error& e) {
    EXPECT_EQ(e.index(), 2u);
    EXPECT_EQ(e.label(), "777");
  }
}

TEST(fan_out_any, in_tasks_as_they_come) {
  std::vector<std::size_t> order;
  const auto slow_first = [](int i) -> task<int> {
    co_await sleep_for(std::chrono::milliseconds(i));
    co_return 2 * i;
  };
  const auto take = [&](std::size_t index, int r) {
    order.push_back(index);
    EXPECT_EQ(r, index == 0 ? 60 : 2);
  };
  run(fan_out(std::vector<int>{30, 1}, slow_first, take));
  EXPECT_EQ(order, (std::vector<std::size_t>{1, 0}));
  order.clear();
  run(fan_out(std::list<int>{30, 1}, slow_first, take, {.in_flight = 1}));
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1}));
  EXPECT_THROW(run(fan_out(numbers(100), later, [](std::size_t, int) { throw std::logic_error("enough"); })),
               std::logic_error);
  EXPECT_THROW(run(fan_out(numbers(1000), later, [](std::size_t, int) {})), element_error);
}

}  // namespace
}  // namespace penstock
