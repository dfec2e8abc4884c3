// A pipeline that is fed by hand: push, close, wait.
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

TEST(open_pipeline, push_close_wait) {
  int sum = 0;
  auto line = from<int>() | stage("double", [](int i) { return 2 * i; }, {.workers = 2}) |
              sink("sum", [&](int i) { sum += i; }) | start();
  for (int i = 1; i <= 100; ++i) ASSERT_TRUE(line.push(i));
  line.close();
  const auto r = line.wait();
  EXPECT_EQ(sum, 10100);
  EXPECT_EQ(r.entered, 100u);
  EXPECT_EQ(r.outcome, outcome::completed);
}

TEST(open_pipeline, a_refused_item_stays_with_the_caller) {
  testing::latch_gate gate;
  auto line =
      from<std::unique_ptr<int>>() | sink("s", [&](std::unique_ptr<int>) { gate.pass(); }, {.capacity = 1}) | start();
  ASSERT_TRUE(line.push(std::make_unique<int>(1)));
  gate.until_arrived(1);
  ASSERT_TRUE(line.push(std::make_unique<int>(2)));
  auto third = std::make_unique<int>(3);
  EXPECT_EQ(line.try_push(std::move(third)), conqueue_status::full);
  ASSERT_TRUE(third);
  EXPECT_EQ(line.push(std::move(third), 1ms), conqueue_status::full);
  ASSERT_TRUE(third);
  gate.open();
  line.close();
  EXPECT_FALSE(line.push(std::move(third)));
  ASSERT_TRUE(third);
  EXPECT_EQ(*third, 3);
  EXPECT_EQ(line.wait().delivered, 2u);
}

TEST(open_pipeline, many_callers_push_at_once) {
  std::atomic<long> sum = 0;
  auto line = from<int>() | sink("sum", [&](int i) { sum += i; }, {.workers = 2}) | start();
  {
    std::vector<std::jthread> callers;
    for (int c = 0; c < 4; ++c)
      callers.emplace_back([&] {
        for (int i = 1; i <= 500; ++i) line.push(i);
      });
  }
  line.close();
  EXPECT_EQ(line.wait().delivered, 2000u);
  EXPECT_EQ(sum, 4 * 500 * 501 / 2);
}

TEST(open_pipeline, a_failure_refuses_further_pushes) {
  auto line = from<int>() | sink("s", [](int) { throw std::runtime_error("no"); }) | start();
  while (line.push(1)) {
  }
  EXPECT_THROW(line.wait(), run_error);
}

TEST(open_pipeline, drain_closes_it) {
  auto line = from<int>() | sink("s", [](int) {}) | start();
  ASSERT_TRUE(line.push(1));
  line.drain();
  EXPECT_FALSE(line.push(2));
  const auto r = line.wait();
  EXPECT_EQ(r.delivered, 1u);
  EXPECT_EQ(r.outcome, outcome::drained);
}

TEST(open_pipeline, capacity_in_bytes_counts_what_waits) {
  testing::latch_gate gate;
  auto line = from<std::string>() |
              sink("s", [&](const std::string&) { gate.pass(); }, {.capacity = 100, .capacity_bytes = 10}) | start();
  ASSERT_TRUE(line.push(std::string(3, 'a')));
  gate.until_arrived(1);
  EXPECT_EQ(line.try_push(std::string(6, 'b')), conqueue_status::success);
  EXPECT_EQ(line.try_push(std::string(6, 'c')), conqueue_status::full);
  EXPECT_EQ(line.try_push(std::string(4, 'd')), conqueue_status::success);
  gate.open();
  line.close();
  EXPECT_EQ(line.wait().delivered, 3u);
}

TEST(open_pipeline, snapshots_are_taken_while_it_runs) {
  testing::latch_gate gate;
  auto line = from<int>() | sink("s", [&](int) { gate.pass(); }, {.capacity = 8}) | start();
  for (int i = 0; i < 5; ++i) line.push(i);
  gate.until_arrived(1);
  auto now = line.snapshot();
  EXPECT_EQ(now.outcome, outcome::running);
  EXPECT_EQ(now.entered, 5u);
  EXPECT_EQ(now.delivered, 0u);
  EXPECT_EQ(now.stages[1].waiting, 4u);
  gate.open();
  line.close();
  EXPECT_EQ(line.wait().delivered, 5u);
}

// Bursts, and nothing between them: whoever left a burst before its end must not count as busy until the next one comes.
TEST(open_pipeline, is_not_busy_while_nothing_comes) {
  for (int run = 0; run < 8; ++run) {
    const auto work = [](int) {
      for (int n = 0; n < 10; ++n) std::this_thread::yield();
    };
    auto line = from<int>() | sink("s", work, {.workers = 4, .capacity = 64}) | start();
    for (int i = 0; i < 300; ++i) line.push(i);
    while (line.snapshot().stages[1].busy > .2) std::this_thread::yield();
    line.close();
    EXPECT_EQ(line.wait().delivered, 300u);
  }
}

TEST(open_pipeline, whoever_waits_for_bytes_can_be_stopped_and_has_a_deadline) {
  testing::latch_gate gate;
  auto line =
      from<std::string>() | sink("s", [&](const std::string&) { gate.pass(); }, {.capacity_bytes = 10}) | start();
  EXPECT_TRUE(line.push("at work"));
  gate.until_arrived(1);
  EXPECT_TRUE(line.push("8 bytes."));
  std::string waits = "3 b";
  EXPECT_EQ(line.push(std::move(waits), wait_limit(std::chrono::milliseconds(1))), conqueue_status::full);
  std::stop_source stop;
  {
    const std::jthread stopper([&] { stop.request_stop(); });
    EXPECT_EQ(line.push(std::move(waits), wait_limit(stop.get_token())), conqueue_status::full);
  }
  EXPECT_EQ(waits, "3 b");
  {
    const std::jthread closer([&] { line.close(); });
    std::stop_source never;
    EXPECT_EQ(line.push(std::move(waits), wait_limit(never.get_token())), conqueue_status::closed);
  }
  EXPECT_EQ(waits, "3 b");
  gate.open();
  EXPECT_EQ(line.wait().delivered, 2u);
}

struct unweighable {
  int value = 0;
  explicit unweighable(int v) : value(v) {}
  unweighable(unweighable&& o) noexcept : value(std::exchange(o.value, 0)) {}
  unweighable& operator=(unweighable&& o) noexcept {
    value = std::exchange(o.value, 0);
    return *this;
  }
  friend std::size_t item_bytes(const unweighable&) { throw std::runtime_error("no size"); }
};

TEST(open_pipeline, an_item_whose_size_cannot_be_told_stays_with_the_caller) {
  auto line = from<unweighable>() | sink("s", [](const unweighable&) {}, {.capacity_bytes = 10}) | start();
  unweighable item(7);
  EXPECT_THROW(line.push(std::move(item)), std::runtime_error);
  EXPECT_EQ(item.value, 7);
  line.close();
  EXPECT_EQ(line.wait().entered, 0u);
}

}  // namespace
}  // namespace penstock
