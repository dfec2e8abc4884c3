// The entrance of a stage by itself: promised places, weights, and what close() leaves.
#include <cstdint>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/entrance.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using system::thread;
using testing::alone;
using testing::try_it;
using testing::without_haste;

envelope<int> of(int value, std::size_t bytes = 0) {
  return {box<int>(int(value)), static_cast<std::uint64_t>(value), 0, bytes};
}
conqueue_status try_put(entrance<int>& e, int value, std::size_t bytes = 0) {
  auto item = of(value, bytes);
  return e.put(item, nullptr);
}
conqueue_status put(entrance<int>& e, int value, std::size_t bytes = 0, const wait_limit& limit = {}) {
  auto item = of(value, bytes);
  return e.put(item, &limit);
}
std::vector<int> take(entrance<int>& e, std::size_t most, bool begins = true) {
  std::vector<int> got;
  const auto batch = e.take(most, [&](envelope<int>&& item) { got.push_back(*item.item); });
  check(batch.count == got.size());
  if (begins) e.freed(got.size());
  return got;
}
TEST(simulated_entrance, places_are_promised_as_long_as_there_are_some) {
  alone([] {
    entrance<int> e(4, 0);
    check(e.reserve(3) == 3 && e.room() == 1);
    check(e.reserve(3) == 1 && e.reserve(3) == 0 && e.room() == 0);
    check(try_put(e, 1) == conqueue_status::full);
    e.give_back(2);
    check(e.room() == 2 && e.reserve(1) == 1);
    envelope<int> items[] = {of(1), of(2)};
    check(e.put(items, 2) == 2 && e.waiting() == 2 && e.taken_in() == 2);
    check(take(e, 1, false) == std::vector{1} && e.room() == 1,
          "in work, and its place is not free before it is begun");
    e.freed(1);
    check(e.room() == 2 && e.capacity() == 4);
  });
}

TEST(simulated_entrance, the_end_is_told_before_the_want_of_a_place) {
  for (const std::size_t bytes : {0, 10})
    alone([&] {
      entrance<int> e(1, bytes);
      check(try_put(e, 1, 10) == conqueue_status::success && try_put(e, 2, 1) == conqueue_status::full);
      e.close();
      check(try_put(e, 2, 1) == conqueue_status::closed && put(e, 2, 1) == conqueue_status::closed);
      check(take(e, 2) == std::vector{1} && e.is_drained());
      check(try_put(e, 2, 1) == conqueue_status::closed && try_put(e, 2, 0) == conqueue_status::closed);
    });
}

TEST(simulated_entrance, the_most_that_ever_waited_is_remembered) {
  alone([] {
    entrance<int> e(4, 0);
    for (int i = 1; i <= 3; ++i) check(try_put(e, i) == conqueue_status::success);
    check(e.peak() == 3);
    check(take(e, 3).size() == 3);
    check(try_put(e, 4) == conqueue_status::success && e.peak() == 3);
  });
}

TEST(simulated_entrance, each_batch_knows_how_many_left_before_it) {
  alone([] {
    entrance<int> e(4, 0);
    std::uint64_t next = 0;
    for (int i = 0; i < 10; ++i) {
      check(try_put(e, i) == conqueue_status::success);
      const auto batch = e.take(4, [](envelope<int>&&) {});
      check(batch.count == 1 && batch.ticket == next++);
      e.freed(1);
      check(e.take(4, [](envelope<int>&&) {}).count == 0);
    }
  });
}

TEST(simulated_entrance, what_has_weight_waits_for_room_of_its_own_kind) {
  alone([] {
    entrance<int> e(10, 100);
    check(e.weighs() && e.reserve(1) == 0, "nothing can be promised");
    check(try_put(e, 1, 60) == conqueue_status::success && try_put(e, 2, 41) == conqueue_status::full);
    check(try_put(e, 3, 40) == conqueue_status::success && try_put(e, 4, 1) == conqueue_status::full);
    check(try_put(e, 5, 0) == conqueue_status::success);
    check(take(e, 10) == std::vector{1, 3, 5});
    check(try_put(e, 6, 1000) == conqueue_status::success, "larger than the limit: alone");
    check(try_put(e, 7, 1) == conqueue_status::full);
    check(take(e, 10) == std::vector{6} && try_put(e, 8, 100) == conqueue_status::success);
    e.close();
    check(try_put(e, 9, 0) == conqueue_status::closed && put(e, 9, 1) == conqueue_status::closed);
    check(e.hand_over().size() == 1);
  });
}

TEST(simulated_entrance, no_room_is_lost_with_what_did_not_come_in) {
  alone([] {
    entrance<int> e(1, 100);
    check(try_put(e, 1, 10) == conqueue_status::success);
    for (int i = 0; i < 20; ++i) check(try_put(e, 2, 90) == conqueue_status::full, "for want of a place");
    check(put(e, 2, 90, wait_limit(system::clock::now() + 1ms)) == conqueue_status::full);
    check(take(e, 1) == std::vector{1});
    check(try_put(e, 3, 100) == conqueue_status::success, "all bytes are free again");
    check(take(e, 1) == std::vector{3});
  });
}

TEST(simulated_entrance, who_waits_is_woken_by_room_and_by_the_end) {
  for (const std::size_t limit : {0, 10})
    try_it(without_haste(2), 0, [&] {
      entrance<int> e(limit ? 4 : 1, limit);
      check(try_put(e, 1, 10) == conqueue_status::success);
      conqueue_status second = conqueue_status::busy, third = conqueue_status::busy;
      {
        const thread a([&] { second = put(e, 2, 10); });
        (void)sleep_for(1ms, {});
        check(take(e, 1) == std::vector{1});
        (void)sleep_for(1ms, {});
        check(second == conqueue_status::success);
        const thread b([&] { third = put(e, 3, 10); });
        (void)sleep_for(1ms, {});
        check(third == conqueue_status::busy);
        e.close();
      }
      check(third == conqueue_status::closed && !e.is_drained());
      check(take(e, 4) == std::vector{2} && e.is_drained());
    });
}

TEST(simulated_entrance, who_waits_for_items_gets_them_to_the_last) {
  try_it(without_haste(2), 0, [] {
    entrance<int> e(2, 0);
    std::vector<int> got;
    {
      const thread taker([&] {
        while (e.wait_for_items())
          for (const int i : take(e, 1)) got.push_back(i);
      });
      check(put(e, 1) == conqueue_status::success);
      check(put(e, 2) == conqueue_status::success);
      e.close();
    }
    check(got == std::vector{1, 2} && e.is_drained());
  });
}

}  // namespace
}  // namespace penstock
