// Every deadline is noticed, whatever stands before it; one that was disarmed is not.
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/deadline_watch.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;
using clock = std::chrono::steady_clock;

void until_requested(const std::stop_source& stop) {
  while (!stop.stop_requested()) std::this_thread::yield();
}

TEST(deadline_watch, a_fired_entry_that_is_still_armed_does_not_hide_a_later_one) {
  for (int round = 0; round < 50; ++round) {
    deadline_watch watch;
    std::stop_source first, second, third;
    const auto a = watch.arm(clock::now(), first);
    until_requested(first);
    const auto b = watch.arm(clock::now() + 100us, second);
    until_requested(second);
    const auto c = watch.arm(clock::now() + 50us, third);
    until_requested(third);
  }
}

TEST(deadline_watch, an_earlier_deadline_that_comes_later_is_noticed_first) {
  deadline_watch watch;
  std::stop_source far, near;
  const auto a = watch.arm(clock::now() + 24h, far);
  const auto b = watch.arm(clock::now() + 1ms, near);
  until_requested(near);
  EXPECT_FALSE(far.stop_requested());
}

TEST(deadline_watch, does_not_fire_before_its_time_nor_after_it_was_disarmed) {
  deadline_watch watch;
  std::stop_source disarmed, stop;
  { const auto a = watch.arm(clock::now() + 24h, disarmed); }
  const auto start = clock::now();
  const auto b = watch.arm(start + 5ms, stop);
  until_requested(stop);
  EXPECT_GE(clock::now() - start, 5ms);
  EXPECT_FALSE(disarmed.stop_requested());
}

TEST(deadline_watch, many_threads_arm_and_disarm_at_once) {
  deadline_watch watch;
  std::vector<std::jthread> threads;
  for (int t = 0; t < 6; ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 200; ++i) {
        std::stop_source stop;
        const auto armed = watch.arm(clock::now() + std::chrono::microseconds((t * 37 + i * 13) % 300), stop);
        if (i % 3) until_requested(stop);
      }
    });
}

TEST(deadline_watch, one_that_was_disarmed_does_not_fire_when_its_time_comes) {
  deadline_watch watch;
  std::stop_source disarmed, later;
  const auto deadline = std::chrono::steady_clock::now() + 20ms;
  { const auto a = watch.arm(deadline, disarmed); }
  const bool in_time = std::chrono::steady_clock::now() < deadline;
  const auto b = watch.arm(deadline + 1ms, later);
  while (!later.stop_requested()) std::this_thread::yield();
  EXPECT_FALSE(in_time && disarmed.stop_requested());
}

TEST(deadline_watch, a_near_deadline_does_not_fire_early) {
  deadline_watch watch;
  std::stop_source far;
  const auto running = watch.arm(std::chrono::steady_clock::now() + 24h, far);
  for (int round = 0; round < 50; ++round) {
    std::stop_source stop;
    const auto deadline = std::chrono::steady_clock::now() + 900us;
    const auto a = watch.arm(deadline, stop);
    while (!stop.stop_requested()) std::this_thread::yield();
    ASSERT_GE(std::chrono::steady_clock::now(), deadline);
  }
}

TEST(deadline_watch, what_hangs_on_the_token_may_use_the_watch) {
  deadline_watch watch;
  std::stop_source first, second;
  std::atomic<bool> called = false;
  const std::stop_callback callback(first.get_token(), [&] {
    const auto other = watch.arm(std::chrono::steady_clock::now() + 24h, second);
    called = true;
  });
  const auto a = watch.arm(std::chrono::steady_clock::now(), first);
  while (!called) std::this_thread::yield();
}

}  // namespace
}  // namespace penstock
