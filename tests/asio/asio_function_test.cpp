// An asio::awaitable as a stage and as a task: results, errors, and no call left when its task is destroyed.
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/asio/asio_function.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/stage.hpp>
#include <penstock/async/when.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

asio::awaitable<void> pause(std::chrono::nanoseconds how_long) {
  asio::steady_timer t(co_await asio::this_coro::executor, how_long);
  co_await t.async_wait(asio::use_awaitable);
}
asio::awaitable<int> twice(const int& i) {
  co_await pause(std::chrono::microseconds(i % 5 * 20));
  if (i == 777) throw std::out_of_range("bad");
  co_return 2 * i;
}

TEST(asio_function, is_the_function_of_a_stage) {
  asio_thread net;
  std::vector<int> items(500);
  std::iota(items.begin(), items.end(), 0);
  long sum = 0;
  const auto r = from(items) | stage("twice", asio_function<int>(net, twice), {.in_flight = 50}) |
                 sink("sum", [&](int i) { sum += i; }) | run();
  EXPECT_EQ(r.delivered, 500u);
  EXPECT_EQ(sum, 499 * 500);
}

TEST(asio_function, what_it_throws_names_the_item) {
  asio_thread net;
  std::vector<int> items(1000);
  std::iota(items.begin(), items.end(), 0);
  try {
    (void)(from(items) | stage("twice", asio_function<int>(net, twice), {.in_flight = 50}) | sink("out", [](int) {}) |
           run());
    FAIL();
  } catch (const run_error& e) {
    EXPECT_EQ(e.place().label, "777");
  }
}

TEST(asio_function, destroying_its_task_ends_it) {
  asio_thread net;
  auto held = std::make_shared<int>(1);
  const auto waits = [](const std::shared_ptr<int>& p) -> asio::awaitable<int> {
    const auto kept = p;
    co_await pause(1h);
    co_return *kept;
  };
  const auto f = asio_function<std::shared_ptr<int>>(net, waits);
  const auto all = [&]() -> task<> {
    for (int i = 0; i < 100; ++i) {
      const auto late = co_await within(std::chrono::microseconds(i * 5), f(held));
      EXPECT_FALSE(late.has_value());
    }
  };
  run(all());
  EXPECT_EQ(held.use_count(), 1);
}

}  // namespace
}  // namespace penstock
