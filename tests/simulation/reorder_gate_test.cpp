// The gate of ordered stages by itself: what leaves when, who waits, and where the promised places are.
#include <cstdint>
#include <stdexcept>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/reorder_gate.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using system::thread;
using testing::alone;
using testing::try_it;
using testing::without_haste;

// A gate, and what came out of it.
class way_out {
 public:
  explicit way_out(std::size_t window) : gate(window) {}

  // `count` results from `ticket` on, 10 * ticket and so on; with as many places if `placed`. Whether they went at once.
  bool put(std::uint64_t ticket, std::size_t count = 1, bool placed = false) {
    std::vector<int> results;
    for (std::size_t i = 0; i < count; ++i) results.push_back(static_cast<int>(10 * (ticket + i)));
    return put_these(ticket, {results.data(), count, 0, count, nullptr}, placed ? count : 0);
  }
  bool skip(std::uint64_t ticket) {
    static constexpr bool absent = false;
    return put_these(ticket, {nullptr, 0, 0, 1, &absent}, 0);
  }
  void write_in_turn(std::uint64_t ticket, const std::vector<int>& all, bool then_throw = false) {
    gate.in_turn(
        ticket, self,
        [&] {
          out.insert(out.end(), all.begin(), all.end());
          if (then_throw) throw std::runtime_error("no more");
        },
        [&](int* first, std::size_t n, std::size_t) { out.insert(out.end(), first, first + n); }, [&] { ++waits; });
  }

  reorder_gate<int> gate;
  std::vector<int> out;
  std::size_t places_used = 0, places_back = 0;
  int waits = 0;
  worker self;
  bool takes_over = false;  // whoever passes them on
  std::chrono::nanoseconds release_takes{0};

 private:
  bool put_these(std::uint64_t ticket, const portion<int>& made, std::size_t places) {
    bool at_once = false;
    const bool kept = gate.put(
        ticket, made, places, self,
        [&](int* first, std::size_t n, std::size_t with) {
          at_once = true;
          out.insert(out.end(), first, first + n);
          places_used += with;
          return takes_over;
        },
        [&](int* first, std::size_t n, std::size_t with) {
          (void)sleep_for(release_takes, {});
          out.insert(out.end(), first, first + n);
          places_used += with;
        },
        [&](std::size_t n) { places_back += n; }, [&] { ++waits; });
    check(kept == (at_once && takes_over));
    return at_once;
  }
};

TEST(simulated_gate, results_leave_in_the_order_of_their_tickets) {
  alone([] {
    way_out e(3);
    check(e.put(0), "its turn");
    check(!e.put(2) && !e.put(3), "as far ahead as the window allows");
    check(e.out == std::vector{0});
    check(e.put(1));
    check(e.out == std::vector{0, 10, 20, 30});
    check(e.put(4) && e.waits == 0);
    check(!e.put(6, 2));
    check(e.put(5));
    check(e.out == std::vector{0, 10, 20, 30, 40, 50, 60, 70});
    check(e.put(8, 3), "more than the window at once, in their turn");
  });
}

TEST(simulated_gate, what_is_skipped_holds_nothing_back) {
  alone([] {
    way_out e(4);
    e.skip(1);
    check(!e.put(2));
    e.skip(3);
    check(e.put(0));
    check(e.out == std::vector{0, 20});
    check(e.put(4), "the turn has come past the last of them");
    e.skip(5);
    check(e.put(6));
  });
}

TEST(simulated_gate, of_many_results_some_may_be_missing) {
  alone([] {
    way_out e(4);
    const bool present[] = {false, true, true};
    std::vector<int> results{20, 30};
    const auto never = [](int*, std::size_t, std::size_t) {
      simulation::fail("not its turn");
      return false;
    };
    e.gate.put(
        1, {results.data(), 2, 0, 3, present}, 0, e.self, never, never, [](std::size_t) {}, [] {});
    check(e.put(0));
    check(e.out == std::vector{0, 20, 30});
  });
}

TEST(simulated_gate, places_go_with_whoever_leaves) {
  alone([] {
    way_out e(4);
    check(!e.put(1, 2, true) && e.places_used == 0 && e.places_back == 0, "kept");
    check(e.put(0, 1, true));
    check(e.places_used == 3, "its own for the first, the others' for them");
    check(e.gate.want_places() == 0);
    check(!e.put(4, 1, true) && e.places_back == 1, "somebody waits for places: back to where they come from");
    e.gate.has_found_room();
    check(!e.put(5, 1, true) && e.places_back == 1);
    check(e.gate.want_places() == 1, "that one");
    check(!e.put(6, 1, true) && e.places_back == 1, "there were some, so nobody waits for them");
  });
}

// Whoever waited and has his turn then goes with the places he came with, if nobody needed them meanwhile.
TEST(simulated_gate, no_place_stays_behind_when_all_have_left) {
  for (const bool needed : {false, true})
    try_it(without_haste(2), 0, [&] {
      way_out e(1);
      const thread ahead([&] { e.put(1, 1, true); });
      (void)sleep_for(1ms, {});
      check(e.waits == 1);
      if (needed) check(e.gate.want_places() == 1);
      check(e.put(0, 1, true));
      (void)sleep_for(1ms, {});
      check(e.out == std::vector{0, 10} && e.places_used == (needed ? 1 : 2) && e.places_back == 0);
      check(e.gate.want_places() == 0);
    });
}

TEST(simulated_gate, whoever_is_too_far_ahead_waits) {
  try_it(without_haste(2), 0, [] {
    way_out e(2);
    const thread ahead([&] { e.put(2); });
    (void)sleep_for(1ms, {});
    check(e.waits == 1 && e.out.empty());
    check(!e.put(1));
    (void)sleep_for(1ms, {});
    check(e.out.empty());
    check(e.put(0));
    (void)sleep_for(1ms, {});
    check(e.out == std::vector{0, 10, 20});
  });
}

TEST(simulated_gate, whoever_is_still_too_far_ahead_when_another_leaves_goes_on_waiting) {
  try_it(without_haste(1), 0, [] {
    way_out e(3);
    const thread ahead([&] { e.put(5); });
    (void)sleep_for(1ms, {});
    check(e.put(0));
    (void)sleep_for(1ms, {});
    check(!e.put(2) && e.put(1) && e.put(3) && e.put(4));
    (void)sleep_for(1ms, {});
    check(e.out == std::vector{0, 10, 20, 30, 40, 50});
  });
}

TEST(simulated_gate, who_takes_them_over_where_they_are_says_so) {
  alone([] {
    way_out e(3);
    e.takes_over = true;
    check(!e.put(1) && e.put(0), "the one that was left has moved");
    check(e.put(2));
  });
}

// Who waits for room in the window does not wait for those behind it, who may have to wait for room elsewhere.
TEST(simulated_gate, the_window_moves_on_with_each_that_leaves) {
  try_it(without_haste(2), 0, [] {
    way_out e(2);
    e.release_takes = 10ms;
    check(!e.put(1));
    bool there = false;
    const thread ahead([&] { there = !e.put(2); });
    (void)sleep_for(1ms, {});
    check(e.waits == 1 && !there);
    const thread turn([&] { check(e.put(0)); });
    (void)sleep_for(1ms, {});
    check(there && e.out == std::vector{0});
    (void)sleep_for(30ms, {});
    check(e.out == std::vector{0, 10, 20});
  });
}

TEST(simulated_gate, in_whatever_order_they_come) {
  try_it(without_haste(2), 0, [] {
    way_out e(1);
    {
      const thread first([&] { e.put(1); });
      const thread second([&] { e.write_in_turn(2, {20, 21}); });
      e.put(0);
    }
    check(e.out == std::vector{0, 10, 20, 21});
    e.put(3);
    check(e.out.back() == 30);
  });
}

TEST(simulated_gate, a_turn_that_is_written_waits_for_those_before_it_and_lets_those_after_it_go) {
  try_it(without_haste(2), 0, [] {
    way_out e(3);
    check(!e.put(2));
    {
      const thread writer([&] { e.write_in_turn(1, {10, 11, 12}); });
      (void)sleep_for(1ms, {});
      check(e.out.empty() && e.waits == 1);
      e.put(0);
    }
    check(e.out == std::vector{0, 10, 11, 12, 20});
    bool thrown = false;
    try {
      e.write_in_turn(3, {30}, true);
    } catch (const std::runtime_error&) {
      thrown = true;
    }
    check(thrown && e.waits == 1);
    check(e.put(4), "the turn was passed on");
  });
}

TEST(simulated_gate, is_empty_when_all_that_came_have_left) {
  alone([] {
    way_out e(3);
    check(e.gate.is_empty());
    e.put(1);
    check(!e.gate.is_empty(), "one whose turn has not come");
    e.skip(0);
    check(e.gate.is_empty());
    e.skip(3);
    check(!e.gate.is_empty(), "nor has that of this one, which has no result");
  });
}

}  // namespace
}  // namespace penstock
