// How long a call may wait, and a sleep that can be woken.
#include <chrono>
#include <stop_token>
#include <thread>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

TEST(wait_limit, for_ever_is_never_reached) {
  EXPECT_FALSE(wait_limit{}.reached());
  EXPECT_FALSE(wait_limit{}.has_deadline());
}

TEST(wait_limit, a_patience_beyond_the_clock_means_for_ever) {
  EXPECT_FALSE(wait_limit(std::chrono::hours::max()).reached());
  EXPECT_FALSE(wait_limit(std::chrono::nanoseconds::max()).reached());
  EXPECT_FALSE(wait_limit(std::chrono::duration<double>(1e300)).reached());
}

TEST(wait_limit, is_reached_by_its_deadline_or_by_a_stop_whichever_is_first) {
  std::stop_source stop;
  EXPECT_TRUE(wait_limit(0ms).reached());
  EXPECT_TRUE(wait_limit(-5s).reached());
  EXPECT_FALSE(wait_limit(stop.get_token(), 1h).reached());
  EXPECT_TRUE(wait_limit(stop.get_token(), 0ms).reached());
  stop.request_stop();
  EXPECT_TRUE(wait_limit(stop.get_token(), 1h).reached());
}

TEST(sleep_for, sleeps_the_whole_time_unless_stopped) {
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(sleep_for(5ms, {}));
  EXPECT_GE(std::chrono::steady_clock::now() - start, 5ms);
}

TEST(sleep_for, a_stop_ends_it_whether_it_comes_before_or_during) {
  std::stop_source before;
  before.request_stop();
  EXPECT_FALSE(sleep_for(24h, before.get_token()));
  for (int i = 0; i < 200; ++i) {
    std::stop_source during;
    std::jthread stopper([&] { during.request_stop(); });
    EXPECT_FALSE(sleep_for(24h, during.get_token()));
  }
}

}  // namespace
}  // namespace penstock
