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

  auto release() {
    return [this](int* first, std::size_t n, std::size_t with) {
      (void)sleep_for(release_takes, {});
      out.insert(out.end(), first, first + n);
      places_used += with;
    };
  }

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
  bool put_these(std::uint64_t ticket, const batch_view<int>& made, std::size_t places) {
    bool at_once = false;
    const bool kept = gate.put(
        ticket, made, places,
        [&](int* first, std::size_t n, std::size_t with) {
          at_once = true;
          out.insert(out.end(), first, first + n);
          places_used += with;
          return takes_over;
        },
        release(), [&](std::size_t n) { places_back += n; });
    check(kept == (at_once && takes_over));
    return at_once;
  }
  void write_in_turn(std::uint64_t ticket, const std::vector<int>& all, bool then_throw = false) {
    gate.in_turn(
        ticket, self,
        [&] {
          out.insert(out.end(), all.begin(), all.end());
          if (then_throw) throw std::runtime_error("no more");
        },
        release(), [&] { ++waits; });
  }
  // As the supervisor, which never waits: `room` places can be had.
  void supervised_put(std::uint64_t ticket, std::size_t count) {
    std::vector<int> results;
    for (std::size_t i = 0; i < count; ++i) results.push_back(static_cast<int>(10 * (ticket + i)));
    gate.try_put(ticket, {results.data(), count, 0, count, nullptr}, count, [&](std::size_t n) { places_back += n; });
  }
  bool supervised_release() {
    return gate.try_release([&](std::size_t n) { return room >= n ? room -= n, n : 0; },
                            [&](int* first, std::size_t n) { out.insert(out.end(), first, first + n); });
  }

  reorder_gate<int> gate;
  std::vector<int> out;
  std::size_t places_used = 0, places_back = 0, room = 0;
  int waits = 0;
  worker self;
  bool takes_over = false;  // the thread that passes them on
  std::chrono::nanoseconds release_takes{0};
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
    check(e.put(8, 3), "the whole window at once, in their turn");
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
    e.gate.put(1, {results.data(), 2, 0, 3, present}, 0, never, never, [](std::size_t) {});
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

TEST(simulated_gate, no_more_tickets_are_out_than_the_window_holds) {
  alone([] {
    way_out e(3);
    check(e.gate.reserve(2) == 2 && e.gate.reserve(5) == 1 && e.gate.reserve(1) == 0 && e.gate.free() == 0);
    check(!e.put(1) && e.gate.reserve(1) == 0, "it has not left");
    check(e.put(0) && e.gate.free() == 2, "both have left");
    e.gate.give_back(1);
    check(e.gate.reserve(5) == 3);
  });
}

TEST(simulated_gate, a_worker_waits_for_a_free_ticket_or_for_what_else_it_waits_for) {
  try_it(without_haste(2), 0, [] {
    way_out e(1);
    check(e.gate.reserve(1) == 1);
    bool other = false, got = false, saw = false;
    const bool by_ticket = simulation::choose(2) == 0;
    {
      const thread waits([&] {
        e.gate.wait_for_ticket(e.self, [&] { return other; });
        got = e.gate.reserve(1) == 1;
        saw = other;
      });
      (void)sleep_for(1ms, {});
      check(!got && !saw);
      if (by_ticket) {
        check(e.put(0));
      } else {
        other = true;
        e.gate.notify();
      }
    }
    check(got == by_ticket && saw == !by_ticket);
  });
}

// The supervisor leaves what finds no room, and whichever thread comes next takes it along.
TEST(simulated_gate, results_that_the_supervisor_leaves_are_released_by_the_next_thread) {
  for (const int next : {0, 1, 2})
    alone([next] {
      way_out e(6);
      e.supervised_put(0, 2);
      check(e.out.empty(), "putting is not yet releasing");
      check(!e.supervised_release() && e.out == std::vector{0, 10}, "with their own places");
      const bool present[] = {true, false, true};
      std::vector<int> results{20, 40};
      e.gate.try_put(2, {results.data(), 2, 0, 3, present}, 0, [](std::size_t) {});
      check(e.supervised_release() && e.out.size() == 2, "no room");
      e.room = 1;
      check(e.supervised_release() && e.out == std::vector{0, 10, 20}, "room for one");
      if (next == 0) {
        e.room = 1;
        check(!e.supervised_release());
      } else if (next == 1) {
        check(!e.put(5), "it is not its turn");
      } else {
        e.write_in_turn(5, {50});
      }
      check(e.out[3] == 40 && e.out.size() == (next == 0 ? 4 : 5));
      if (next == 0) check(e.put(5));
      check(e.out.back() == 50);
    });
}

TEST(simulated_gate, the_supervisor_and_workers_release_everything_once_and_in_order) {
  try_it(without_haste(2), 5'000, [] {
    way_out e(4);
    e.room = 4;
    {
      const thread supervisor([&] {
        e.supervised_put(1, 1);
        (void)e.supervised_release();
      });
      const thread writer([&] { e.write_in_turn(2, {20, 21}); });
      e.put(0);
    }
    (void)e.supervised_release();
    check(e.out == std::vector{0, 10, 20, 21});
  });
}

TEST(simulated_gate, results_taken_over_where_they_are_are_said_to_be) {
  alone([] {
    way_out e(3);
    e.takes_over = true;
    check(!e.put(1) && e.put(0), "the one that was left has moved");
    check(e.put(2));
  });
}

TEST(simulated_gate, in_whatever_order_they_come) {
  try_it(without_haste(2), 0, [] {
    way_out e(3);
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

TEST(simulated_gate, is_idle_when_all_tickets_that_are_out_have_left) {
  alone([] {
    way_out e(3);
    check(e.gate.is_idle() && e.gate.reserve(2) == 2 && !e.gate.is_idle());
    e.put(1);
    check(!e.gate.is_idle(), "one whose turn has not come");
    e.skip(0);
    check(e.gate.is_idle());
  });
}

}  // namespace
}  // namespace penstock
