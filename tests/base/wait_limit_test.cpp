// How long a call may wait, and a sleep that can be woken.
#include <chrono>
#include <limits>
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

TEST(wait_limit, a_patience_that_is_no_time_is_over_at_once) {
  EXPECT_TRUE(wait_limit(std::chrono::hours::min()).reached());
  EXPECT_TRUE(wait_limit(std::chrono::nanoseconds::min()).reached());
  EXPECT_TRUE(wait_limit(std::chrono::duration<double>(-1e300)).reached());
  EXPECT_TRUE(wait_limit(std::chrono::duration<double>(std::numeric_limits<double>::quiet_NaN())).reached());
  EXPECT_TRUE(wait_limit(std::chrono::duration<double>(std::numeric_limits<double>::infinity())).deadline() ==
              wait_limit::clock::time_point::max());
}

// A deadline in hours has a range that nanoseconds do not have.
TEST(wait_limit, a_deadline_beyond_the_clock_means_for_ever_or_the_past) {
  using in_hours = std::chrono::time_point<wait_limit::clock, std::chrono::hours>;
  using in_seconds = std::chrono::time_point<wait_limit::clock, std::chrono::duration<double>>;
  const std::stop_token none;
  for (const wait_limit& l : {wait_limit(in_hours::max()), wait_limit(none, in_hours::max()),
                              wait_limit(in_seconds(std::chrono::duration<double>(1e300)))}) {
    EXPECT_FALSE(l.has_deadline());
    EXPECT_FALSE(l.reached());
  }
  for (const wait_limit& l : {wait_limit(in_hours::min()), wait_limit(none, in_hours::min()),
                              wait_limit(wait_limit::clock::time_point::min()),
                              wait_limit(in_seconds(std::chrono::duration<double>(-1e300)))})
    EXPECT_TRUE(l.reached());
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
    std::stop_source one_more;
    std::jthread other_stopper([&] { one_more.request_stop(); });
    EXPECT_FALSE(sleep_for(std::chrono::hours::max(), one_more.get_token()));
  }
}

}  // namespace
}  // namespace penstock
