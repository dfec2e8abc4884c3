// What a run says about a stage of coroutines: how full it is, and what its calls wait for.
#include <chrono>
#include <cmath>
#include <cstddef>
#include <initializer_list>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <penstock/async/sleep.hpp>
#include <penstock/async/stage.hpp>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::latch_gate;

// With a positive number until the run is stopped.
task<int> waits_if_positive(int i, std::stop_token stop) {
  if (i > 0) (void)co_await sleep_until(wait_limit(std::move(stop), 24h));
  co_return i;
}

struct shares {
  double busy, blocked, paused;  // the rest is starved
};
// The longer a state lasts the closer the report comes to it. A test hangs here if it does not.
template <class Line>
void until(const Line& line, const shares& expected) {
  const auto close = [](double a, double b) { return std::abs(a - b) < .02; };
  for (;;) {
    const stage_report s = line.snapshot().stages[1];
    ASSERT_NEAR(s.busy + s.blocked + s.paused + s.starved, 1, 1e-9);
    if (close(s.busy, expected.busy) && close(s.blocked, expected.blocked) && close(s.paused, expected.paused)) return;
    std::this_thread::yield();
  }
}

TEST(async_stage_report, one_of_four_calls_under_way_is_a_quarter) {
  auto line = from<int>() | stage("f", waits_if_positive, {.in_flight = 4}) | sink("s", [](int) {}) | start();
  until(line, {0, 0, 0});
  line.push(1);
  until(line, {.25, 0, 0});
  for (int i = 0; i < 3; ++i) line.push(1);
  until(line, {1, 0, 0});
  line.request_stop();
  const report r = line.wait();
  EXPECT_EQ(r.stages[1].in_flight, 4u);
  EXPECT_EQ(r.stages[1].workers, 1u);
  EXPECT_NE(r.bottleneck_sentence().find("its 4 in flight are "), std::string::npos) << r;
  EXPECT_NE(r.bottleneck_sentence().find("more than 4 in flight would raise the rate"), std::string::npos) << r;
  EXPECT_NE(to_json(r).find(R"("workers":1,"in_flight":4,)"), std::string::npos);
  std::ostringstream table;
  print_numbers(table, r);
  EXPECT_NE(table.str().find("f            4 "), std::string::npos)
      << "as many as may be called at once" << table.str();
}

TEST(async_stage_report, calls_whose_results_find_no_room_are_blocked) {
  latch_gate gate;
  auto line = from<int>() | stage("f", [](int i) -> task<int> { co_return i; }, {.in_flight = 2}) |
              sink("s", [&](int) { gate.pass(); }, {.capacity = 1}) | start();
  for (int i = 0; i < 3; ++i) line.push(i);  // at work, in line, and blocked
  until(line, {0, .5, 0});
  line.push(3);
  until(line, {0, 1, 0});
  while (line.snapshot().bottleneck() != 2) std::this_thread::yield();
  gate.open();
  line.close();
  EXPECT_EQ(line.wait().delivered, 4u);
}

TEST(async_stage_report, calls_whose_turn_it_is_not_are_blocked) {
  auto line =
      from<int>() | stage("f", waits_if_positive, {.in_flight = 2, .ordered = true}) | sink("s", [](int) {}) | start();
  for (const int i : {1, 0}) line.push(i);
  until(line, {.5, .5, 0});
  line.request_stop();
  EXPECT_EQ(line.wait().stages[1].passed, 2u);
}

TEST(async_stage_report, calls_before_their_next_attempt_are_paused) {
  const auto fails = [](int) -> task<int> {
    throw std::runtime_error("no");
    co_return 0;
  };
  auto line = from<int>() |
              stage("f", fails, {.in_flight = 2, .retry = {.attempts = 2, .backoff = 24h, .max_backoff = 24h}}) |
              sink("s", [](int) {}) | start();
  line.push(0);
  until(line, {0, 0, .5});
  line.push(0);
  until(line, {0, 0, 1});
  line.request_stop();
  EXPECT_EQ(line.wait().returned, 2u);
}

TEST(async_stage_report, a_call_that_holds_up_the_thread_holds_up_the_stage) {
  latch_gate gate;
  const auto waits = [&](int) -> task<> {
    gate.pass();
    co_return;
  };
  auto line = from<int>() | sink("s", waits, {.in_flight = 4}) | start();
  until(line, {0, 0, 0});
  line.push(1);
  until(line, {1, 0, 0});
  EXPECT_GT(line.snapshot().stages[1].thread, .9);
  gate.open();
  line.close();
  EXPECT_EQ(line.wait().delivered, 1u);
}

TEST(async_stage_report, calls_that_compute_are_as_busy_as_their_thread) {
  const auto computes = [](int) -> task<> {
    const auto end = std::chrono::steady_clock::now() + 100us;
    while (std::chrono::steady_clock::now() < end) {
    }
    co_return;
  };
  const report r = from(testing::numbers(100)) | sink("f", computes, {.in_flight = 100}) | run();
  EXPECT_GT(r.stages[1].processor + r.stages[1].crowded, .9) << r << to_json(r);
}

}  // namespace
}  // namespace penstock
