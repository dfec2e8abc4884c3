// when_all, when_any, within: results of all kinds, the first failure as it is, and nothing left of the others.
#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/channel.hpp>
#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/stage.hpp>
#include <penstock/async/task.hpp>
#include <penstock/async/when.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

template <class T>
task<T> after(std::chrono::nanoseconds how_long, T value) {
  co_await sleep_for(how_long);
  co_return value;
}
task<> nothing_after(std::chrono::nanoseconds how_long) { co_await sleep_for(how_long); }
task<int> fails_after(std::chrono::nanoseconds how_long) {
  co_await sleep_for(how_long);
  throw std::out_of_range("failed");
}

TEST(when_all, gives_all_results_in_their_places) {
  const auto all = []() -> task<> {
    auto results = co_await when_all(after(20us, 1), nothing_after(10us), after(0us, std::string("three")),
                                     after(1us, std::make_unique<int>(4)));
    EXPECT_EQ(std::get<0>(results), 1);
    EXPECT_EQ(std::get<2>(results), "three");
    EXPECT_EQ(*std::get<3>(results), 4);
  };
  run(all());
}

TEST(when_all, of_a_vector) {
  const auto all = []() -> task<std::vector<int>> {
    std::vector<task<int>> tasks;
    for (int i = 0; i < 100; ++i) tasks.push_back(after(std::chrono::microseconds(100 - i), i));
    co_return co_await when_all(std::move(tasks));
  };
  const std::vector<int> values = run(all());
  ASSERT_EQ(values.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(values[static_cast<std::size_t>(i)], i);
}

TEST(when_all, throws_the_first_failure_as_it_is_and_ends_the_others) {
  auto held = std::make_shared<int>(1);
  const auto all = [&]() -> task<> { (void)co_await when_all(after(1h, held), fails_after(1us)); };
  EXPECT_THROW(run(all()), std::out_of_range);
  EXPECT_EQ(held.use_count(), 1);
}

TEST(when_any, gives_the_first_and_ends_the_others) {
  auto held = std::make_shared<int>(1);
  const auto any = [&]() -> task<> {
    auto first = co_await when_any(after(1h, held), after(10us, 2), nothing_after(1h));
    EXPECT_EQ(first.index(), 1u);
    EXPECT_EQ(std::get<1>(first), 2);
    std::vector<task<int>> tasks;
    for (int i = 0; i < 10; ++i) tasks.push_back(after(i == 7 ? 1us : 1h, i));
    const auto of_many = co_await when_any(std::move(tasks));
    EXPECT_EQ(of_many.first, 7u);
    EXPECT_EQ(of_many.second, 7);
  };
  run(any());
  EXPECT_EQ(held.use_count(), 1);
}

TEST(when_any, the_first_to_end_decides_even_by_failing) {
  const auto any = []() -> task<> { (void)co_await when_any(after(1h, 1), fails_after(1us)); };
  EXPECT_THROW(run(any()), std::out_of_range);
}

TEST(within, gives_the_result_in_time_or_nothing) {
  auto held = std::make_shared<int>(1);
  const auto both = [&]() -> task<> {
    EXPECT_EQ(co_await within(1h, after(1us, 5)), 5);
    const bool late = !(co_await within(1ms, after(1h, held))).has_value();
    EXPECT_TRUE(late);
    const bool at_once = (co_await within(1h, nothing_after(0us))).has_value();
    EXPECT_TRUE(at_once);
  };
  run(both());
  EXPECT_EQ(held.use_count(), 1);
  const auto failing = []() -> task<> { (void)co_await within(1h, fails_after(1us)); };
  EXPECT_THROW(run(failing()), std::out_of_range);
}

task<int&> refers_to(int& n) {
  co_await sleep_for(0ns);
  co_return n;
}

TEST(when_all, results_may_be_references) {
  int one = 1, two = 2;
  const auto all = [&]() -> task<> {
    auto both = co_await when_all(refers_to(one), refers_to(two));
    EXPECT_EQ(&std::get<0>(both).get(), &one);
    EXPECT_EQ(&std::get<1>(both).get(), &two);
    std::vector<task<int&>> tasks;
    tasks.push_back(refers_to(one));
    tasks.push_back(refers_to(two));
    const std::vector<std::reference_wrapper<int>> many = co_await when_all(std::move(tasks));
    EXPECT_EQ(&many[1].get(), &two);
    auto any = co_await when_any(refers_to(one), nothing_after(1h));
    EXPECT_EQ(&std::get<0>(any).get(), &one);
    std::vector<task<int&>> again;
    again.push_back(refers_to(two));
    auto any_of_many = co_await when_any(std::move(again));
    EXPECT_EQ(&any_of_many.second.get(), &two);
    auto in_time = co_await within(1h, refers_to(one));
    EXPECT_EQ(&in_time->get(), &one);
  };
  run(all());
}

// Tasks are items like others.
TEST(task_as_an_item, goes_through_queues_channels_and_tasks) {
  const auto all = []() -> task<int> {
    bounded_queue<task<int>> queue(2);
    channel<task<int>> c(1);
    (void)queue.push(after(0ns, 1));
    (void)co_await async_push(queue, after(0ns, 2));
    auto first = co_await async_pop(queue);
    (void)co_await c.push(std::move(*first));
    auto again = co_await c.pop();
    const int one = co_await std::move(*again);
    auto second = queue.try_pop();
    const int two = co_await std::move(*second);
    co_return one * 10 + two;
  };
  EXPECT_EQ(run(all()), 12);
}

TEST(task_as_an_item, goes_through_stages_of_both_kinds) {
  const std::vector<int> numbers{1, 2, 3};
  std::atomic<int> sum = 0;
  const auto adds = [&](task<int> t) -> task<> {
    const int n = co_await std::move(t);
    sum += n;
  };
  (void)(from(numbers) | stage("make", [](int n) { return after(0ns, n); }) |
         stage("pass on", [](task<int> t) { return t; }) | sink("await", adds, {.in_flight = 2}) | penstock::run());
  EXPECT_EQ(sum, 6);
}

}  // namespace
}  // namespace penstock
