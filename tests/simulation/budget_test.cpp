#include <chrono>
#include <optional>
#include <stop_token>

#include <gtest/gtest.h>

#include <penstock/base/budget.hpp>
#include <penstock/simulation/simulation.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::explore;
using system::thread;
using testing::bounds;

TEST(simulated_budget, is_never_overdrawn_and_everyone_comes_to_his_turn) {
  explore(bounds(3), [] {
    budget all(2);
    system::atomic<int> lent = 0;
    const auto borrow = [&](int amount) {
      const auto part = all.acquire(static_cast<std::uint64_t>(amount));
      check(lent.fetch_add(amount) + amount <= 2, "no more than there is");
      lent -= amount;
    };
    {
      const thread a(borrow, 2), b(borrow, 1);
      borrow(1);
    }
    check(all.in_use() == 0);
  });
}

TEST(simulated_budget, one_who_gives_up_lets_the_next_one_come) {
  explore(bounds(3), [] {
    budget all(2);
    auto mine = all.acquire(1);
    // Both come in while one part is lent: a large request in front of a small one that would fit.
    const thread impatient([&] { (void)all.acquire(2, wait_limit(1ms)); });
    const thread patient([&] { check(all.acquire(1).has_value()); });
  });
}

TEST(simulated_budget, a_stop_ends_the_wait) {
  explore(bounds(3), [] {
    budget all(1);
    const auto mine = all.acquire(1);
    std::stop_source stop;
    thread waits([&] { check(!all.acquire(1, stop.get_token())); });
    stop.request_stop();
  });
}

TEST(simulated_budget, shrinking_makes_room) {
  explore(bounds(3), [] {
    budget all(3);
    auto mine = all.acquire(3);
    const thread a([&] { check(all.acquire(1).has_value()); });
    const thread b([&] { check(all.acquire(2).has_value()); });
    mine->shrink_to(1);
    mine->shrink_to(0);
  });
}

}  // namespace
}  // namespace penstock
