// A budget is never overdrawn, serves in order, and wakes whoever can go on.
#include <atomic>
#include <chrono>
#include <random>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/budget.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

TEST(budget, lends_and_takes_back) {
  budget b(10);
  auto a = b.acquire(6);
  ASSERT_TRUE(a);
  EXPECT_FALSE(b.acquire(5, 0ms));
  EXPECT_TRUE(b.acquire(4, 0ms));  // and gives it back at once
  a->shrink_to(7);
  EXPECT_EQ(b.in_use(), 6u);
  a->shrink_to(2);
  EXPECT_EQ(b.in_use(), 2u);
  a.reset();
  EXPECT_EQ(b.in_use(), 0u);
  EXPECT_EQ(b.peak(), 10u);
  EXPECT_THROW((void)b.acquire(11), std::invalid_argument);
}

TEST(budget, a_stop_ends_the_wait) {
  budget b(1);
  const auto all = b.acquire(1);
  std::stop_source stop;
  std::jthread waiter([&] { EXPECT_FALSE(b.acquire(1, stop.get_token())); });
  stop.request_stop();
}

TEST(budget, one_who_gives_up_does_not_hold_back_those_behind) {
  for (int round = 0; round < 100; ++round) {
    budget b(10);
    auto most = b.acquire(8);
    std::jthread large([&] { (void)b.acquire(10, 100us); });
    std::jthread small(
        [&] { EXPECT_TRUE(b.acquire(2)); });  // behind or before the large one: it gets through in the end
  }
}

TEST(budget, is_never_overdrawn) {
  budget b(100);
  std::atomic<std::uint64_t> out = 0;
  {
    std::vector<std::jthread> threads;
    for (unsigned t = 0; t < 4; ++t)
      threads.emplace_back([&, t] {
        std::minstd_rand random(t + 1);
        for (int i = 0; i < 2000; ++i) {
          const std::uint64_t amount = 1 + random() % 60;
          auto mine = b.acquire(amount);
          ASSERT_LE(out += amount, 100u);
          out -= amount;
          mine->shrink_to(amount / 2);
        }
      });
  }
  EXPECT_EQ(b.in_use(), 0u);
  EXPECT_LE(b.peak(), 100u);
}

// The small one is refused only while the large one waits before it.
TEST(budget, a_small_request_does_not_overtake_a_large_one_that_waits) {
  for (int round = 0; round < 50; ++round) {
    budget b(10);
    auto most = b.acquire(8);
    std::jthread large([&] { EXPECT_TRUE(b.acquire(10)); });
    while (b.acquire(2, 0ms)) std::this_thread::yield();
    for (int i = 0; i < round; ++i) std::this_thread::yield();
    most.reset();  // wakes it
  }
}

TEST(budget, a_stop_wakes_one_who_waits) {
  budget b(10);
  const auto most = b.acquire(8);
  std::stop_source stop;
  std::jthread large([&] { EXPECT_FALSE(b.acquire(10, stop.get_token())); });
  while (b.acquire(2, 0ms)) std::this_thread::yield();
  stop.request_stop();
}

TEST(budget, a_reservation_moves_with_its_amount) {
  budget b(10);
  auto a = b.acquire(6), c = b.acquire(2);
  *a = std::move(*c);
  EXPECT_EQ(a->amount(), 2u);
  c.reset();
  EXPECT_EQ(b.in_use(), 2u);
}

TEST(budget, its_peak_is_the_most_that_was_ever_lent) {
  budget b(10);
  (void)b.acquire(7);
  (void)b.acquire(3);
  EXPECT_EQ(b.peak(), 7u);
}

TEST(budget, one_who_was_told_in_vain_is_told_again) {
  struct counted : budget::place {
    counted() {
      told = [](budget::place& self) noexcept { ++static_cast<counted&>(self).calls; };
    }
    int calls = 0;
  } self;
  budget b(10);
  auto most = b.acquire(8);
  EXPECT_FALSE(b.acquire_in_line(5, self));
  b.tell_all();
  b.tell_all();
  EXPECT_EQ(self.calls, 1) << "once before it has looked";
  EXPECT_FALSE(b.acquire_in_line(5, self));
  most.reset();
  EXPECT_EQ(self.calls, 2);
  EXPECT_TRUE(b.acquire_in_line(5, self));
}

}  // namespace
}  // namespace penstock
