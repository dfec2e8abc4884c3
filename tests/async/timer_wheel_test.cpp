// Nothing is called before its time, nothing later than a tick after it, in order; whatever is started and stopped.
#include <cstdint>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/timer_wheel.hpp>

namespace penstock {
namespace {

constexpr std::int64_t tick = 1 << 16;

struct recorder {
  std::vector<std::int64_t> called;
};
struct alarm final : timer {
  explicit alarm(recorder& r) : to(r) {}
  void due() noexcept override {
    was_called = true;
    to.called.push_back(at);
  }
  recorder& to;
  std::int64_t at = 0;
  bool was_called = false;
};

TEST(timer_wheel, never_early_and_at_most_a_tick_late_at_every_distance) {
  for (std::int64_t distance = 1; distance < std::int64_t{1} << 58; distance *= 3) {
    recorder r;
    alarm a(r);
    timer_wheel wheel(5 * tick + 17);
    a.at = 5 * tick + 17 + distance;
    wheel.start(a, a.at);
    // Followed as a loop does it: from one moment that the wheel names to the next.
    std::int64_t now = 0;
    while (!a.was_called) {
      const std::int64_t next = wheel.next();
      ASSERT_NE(next, timer_wheel::none) << distance;
      ASSERT_GT(next, now) << distance;
      now = next;
      wheel.expire(now, 1000);
    }
    EXPECT_GE(now, a.at);
    EXPECT_LT(now, a.at + tick);
    EXPECT_EQ(wheel.next(), timer_wheel::none);
  }
}

TEST(timer_wheel, those_of_one_tick_are_called_in_the_order_of_their_times_and_equal_ones_as_they_came) {
  recorder r;
  std::vector<std::unique_ptr<alarm>> all;
  timer_wheel wheel(0);
  std::mt19937_64 random(7);
  std::vector<std::int64_t> times;
  for (int i = 0; i < 1000; ++i) {
    all.push_back(std::make_unique<alarm>(r));
    const std::int64_t time = 1000 * tick + static_cast<std::int64_t>(random() % 100);
    all.back()->at = time * 10'000 + i;  // the number, too
    wheel.start(*all.back(), time);
  }
  wheel.expire(1001 * tick, 100'000);
  ASSERT_EQ(r.called.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(r.called.begin(), r.called.end()));
}

TEST(timer_wheel, a_stopped_or_destroyed_timer_is_not_called) {
  recorder r;
  timer_wheel wheel(0);
  alarm stopped(r);
  wheel.start(stopped, 100 * tick);
  {
    alarm destroyed(r);
    wheel.start(destroyed, 100 * tick);
  }
  stopped.stop();
  EXPECT_EQ(wheel.next(), timer_wheel::none);
  wheel.expire(1000 * tick, 10);
  EXPECT_TRUE(r.called.empty());
}

TEST(timer_wheel, one_that_is_overdue_is_called_at_the_next_look) {
  recorder r;
  timer_wheel wheel(1000 * tick);
  alarm a(r);
  wheel.start(a, 3 * tick);
  EXPECT_EQ(wheel.next(), 0);
  wheel.expire(1000 * tick, 10);
  EXPECT_TRUE(a.was_called);
}

TEST(timer_wheel, calls_in_portions_and_says_whether_it_came_to_the_present) {
  recorder r;
  timer_wheel wheel(0);
  std::vector<std::unique_ptr<alarm>> all;
  for (std::int64_t i = 1; i <= 10; ++i) {
    all.push_back(std::make_unique<alarm>(r));
    wheel.start(*all.back(), i * tick);
  }
  EXPECT_FALSE(wheel.expire(100 * tick, 4));
  EXPECT_EQ(r.called.size(), 4u);
  EXPECT_TRUE(wheel.expire(100 * tick, 100));
  EXPECT_EQ(r.called.size(), 10u);
}

// Against a std::multiset, with times of all magnitudes.
TEST(timer_wheel, agrees_with_a_sorted_list) {
  const auto seed = std::random_device{}();
  std::cout << "seed " << seed << '\n';
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    recorder r;
    std::int64_t now = static_cast<std::int64_t>(random() >> 8);
    timer_wheel wheel(now);
    std::set<alarm*> waiting;
    std::vector<std::unique_ptr<alarm>> all;
    for (int step = 0; step < 2000; ++step) {
      const auto what = random() % 10;
      if (what < 6) {
        all.push_back(std::make_unique<alarm>(r));
        all.back()->at = now + static_cast<std::int64_t>(random() >> (20 + random() % 40)) % (std::int64_t{1} << 50);
        wheel.start(*all.back(), all.back()->at);
        waiting.insert(all.back().get());
      } else if (what < 8 && !waiting.empty()) {
        auto one = waiting.begin();
        std::advance(one, static_cast<std::ptrdiff_t>(random() % waiting.size()));
        (*one)->stop();
        waiting.erase(one);
      } else {
        now += static_cast<std::int64_t>(random() >> (22 + random() % 40));
        r.called.clear();
        ASSERT_TRUE(wheel.expire(now, 1'000'000));
        for (auto one = waiting.begin(); one != waiting.end();) {
          if ((*one)->at <= now / tick * tick) {
            ASSERT_TRUE((*one)->was_called);
          }
          if ((*one)->was_called) {
            ASSERT_LE((*one)->at, now);
            one = waiting.erase(one);
          } else {
            ++one;
          }
        }
      }
    }
  }
}

TEST(timer_wheel, one_at_either_end_of_the_clock_is_due_at_once_or_never) {
  recorder r;
  timer_wheel wheel(5 * tick);
  alarm past(r), future(r), nearly(r);
  past.at = INT64_MIN;
  future.at = INT64_MAX;
  nearly.at = INT64_MAX - 1;
  for (alarm* const a : {&past, &future, &nearly}) wheel.start(*a, a->at);
  wheel.expire(6 * tick, 1000);
  EXPECT_TRUE(past.was_called);
  EXPECT_GT(wheel.next(), 6 * tick);
  wheel.expire(std::int64_t{1} << 61, 1000);
  EXPECT_FALSE(future.was_called || nearly.was_called);
}

}  // namespace
}  // namespace penstock
