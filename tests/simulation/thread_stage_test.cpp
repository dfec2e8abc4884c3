// A stage by itself, whose turns are taken one by one: how many threads may be held in it.
#include <array>
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/thread_stage.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using system::thread;
using testing::try_it;
using testing::without_haste;

struct work {
  int operator()(int ms) const {
    if (ms > 0) (void)sleep_for(std::chrono::milliseconds(ms), {});
    return ms;
  }
};

// A stage, whose items take as many milliseconds as they say, before a stage without threads. Four of them have
// been through it; they were quick, so the next are taken together, if they do not lie around the end of the ring.
class one_stage {
 public:
  explicit one_stage(stage_options options, std::size_t room_behind = 100)
      : behind_(
            "behind", [](int) {}, {.capacity = room_behind}, nullptr, control_),
        stage_("stage", work{}, std::move(options), &behind_, control_) {
    for (int i = 0; i < 4; ++i) take({0});
  }

  void put(std::initializer_list<int> items) {
    for (const int i : items) {
      envelope<int> e{.item = box<int>(int{i})};
      check(stage_.reserve(1) == 1, "room");
      stage_.accept(&e, 1);
    }
  }
  // What a thread that finds these takes in one turn.
  void take(std::initializer_list<int> items) {
    put(items);
    crew_member me(crew_, true);
    check(stage_.turn(me));
  }
  // The supervisor looks. How long that takes.
  std::chrono::nanoseconds look() {
    const auto began = system::clock::now();
    (void)stage_.look_after(crew_, now_ns());
    return system::clock::now() - began;
  }
  // Whether a thread that comes finds something to do in one turn.
  bool turn() {
    crew_member me(crew_, true);
    return stage_.turn(me);
  }
  [[nodiscard]] std::size_t done() const {
    stage_report counts;
    behind_.add_entrance_counts(counts);
    return counts.waiting;
  }

 private:
  std::vector<std::unique_ptr<node>> no_other_;
  supervisor supervisor_{no_other_};
  crew crew_{no_other_, supervisor_};
  run_control control_{{}};
  thread_stage<int, void (*)(int)> behind_;
  thread_stage<int, work> stage_;
};

// A thread that is too far ahead of the others does not wait: it takes nothing.
TEST(simulated_thread_stage, no_thread_takes_an_item_that_is_too_far_ahead_of_its_turn) {
  try_it(without_haste(1), 500, [] {
    one_stage s({.workers = 2, .capacity = 2, .ordered = true});
    const thread first([&] { s.take({10}); });  // whose turn it is, and stays
    (void)sleep_for(100us, {});
    s.take({0});
    s.take({0, 0});
    s.put({0});
    const auto began = system::clock::now();
    check(!s.turn(), "four tickets are out: as many as workers and waiting items");
    check(system::clock::now() == began && s.done() == 4);
    (void)sleep_for(20ms, {});
    check(s.turn() && s.done() == 9);
  });
}

TEST(simulated_thread_stage, an_overdue_batch_is_shared_and_its_results_are_forwarded) {
  for (const bool ordered : {false, true})
    try_it(without_haste(1), 500, [&] {
      one_stage s({.workers = 2, .capacity = 8, .ordered = ordered});
      const thread first([&] { s.take({0, 10, 0, 1}); });
      (void)sleep_for(100us, {});
      check(s.look() == 0ns && s.done() == 4, "it is not overdue yet");
      check(!s.turn(), "and its items are not for others");
      (void)sleep_for(900us, {});
      check(s.look() == 0ns && s.done() == 5, "the one that is finished");
      check(s.turn() && s.done() == (ordered ? 5 : 6), "one by one");
      const auto began = system::clock::now();
      check(s.turn() && system::clock::now() - began == 1ms && !s.turn());
      check(s.done() == (ordered ? 5 : 7));
      (void)sleep_for(20ms, {});
      check(s.done() == 8);
    });
}

// --- two stages, whose turns are taken one by one ---

// The items of the first take as many milliseconds as they say.
class pair_of_stages {
 public:
  explicit pair_of_stages(stage_options first, stage_options second)
      : behind(
            "behind", [](int) {}, std::move(second), nullptr, control_),
        front("front", work{}, std::move(first), &behind, control_) {}
  // Whether two items, as they lie in somebody's hands, are awaited at the first stage; then they go there.
  bool takes_two_along() {
    crew_member me(crew_, true);
    auto* const items = me.for_results().room_for<envelope<int>>(2);
    for (int i = 0; i < 2; ++i) std::construct_at(items + i, envelope<int>{.item = box<int>(0)});
    if (front.reserve(2) != 2) return false;
    const bool awaited = front.await(items, 2, me);
    if (awaited)
      me.deliver();
    else
      front.give_back(2);
    return awaited;
  }
  // What a thread that finds these takes in one turn, and carries on.
  void take(std::initializer_list<int> items) {
    for (const int i : items) {
      envelope<int> e{.item = box<int>(int{i})};
      check(front.reserve(1) == 1, "room");
      front.accept(&e, 1);
    }
    crew_member me(crew_, true);
    check(front.turn(me));
    me.deliver();
  }
  bool empty() {
    crew_member me(crew_, true);
    while (behind.turn(me)) {
    }
    return behind.room() == behind.room_in_all();
  }

 private:
  std::vector<std::unique_ptr<node>> no_other_;
  supervisor supervisor_{no_other_};
  crew crew_{no_other_, supervisor_};
  run_control control_{{}};

 public:
  thread_stage<int, void (*)(int)> behind;
  thread_stage<int, work> front;
};

TEST(simulated_thread_stage, a_batch_is_carried_on_only_with_room_for_all_of_it) {
  try_it(without_haste(0), 0, [] {
    pair_of_stages wide({}, {.capacity = 4});
    for (int i = 0; i < 5; ++i) {
      envelope<int> e{.item = box<int>(0)};
      check(wide.front.reserve(1) == 1);
      wide.front.accept(&e, 1);
      check(!wide.takes_two_along(), "others wait");
      wide.take({});
      check(wide.behind.room() == 3 && wide.empty());
    }
    check(wide.takes_two_along() && wide.behind.room() == 4, "and from there they went on at once");
    pair_of_stages narrow({}, {.capacity = 1});
    check(!narrow.takes_two_along() && narrow.behind.room() == 1);
  });
}

TEST(simulated_thread_stage, no_more_are_carried_on_at_once_than_it_takes_itself) {
  const auto awaits_two = [](auto result) {
    using large = decltype(result);
    const std::vector<std::unique_ptr<node>> no_other;
    supervisor watch(no_other);
    crew all(no_other, watch);
    run_control control({});
    thread_stage<large, void (*)(const large&)> behind(
        "behind", [](const large&) {}, {}, nullptr, control);
    thread_stage<int, large (*)(int)> stage(
        "stage", [](int) { return large{}; }, {}, &behind, control);
    crew_member me(all, true);
    envelope<int> first{.item = box<int>(0)};
    check(stage.reserve(3) == 3);
    stage.accept(&first, 1);
    check(stage.turn(me));  // so that it is known to be quick
    auto* const items = me.for_results().template room_for<envelope<int>>(2);
    for (int i = 0; i < 2; ++i) std::construct_at(items + i, envelope<int>{.item = box<int>(0)});
    if (!stage.await(items, 2, me)) return false;
    me.deliver();
    return true;
  };
  testing::alone([&] {
    check(awaits_two(std::array<char, 7'000>{}), "it takes as many as fit into 16 KiB: two");
    check(!awaits_two(std::array<char, 9'000>{}), "or one");
  });
}

TEST(simulated_thread_stage, what_it_says_of_itself_while_there_is_no_room_behind) {
  testing::alone([] {
    pair_of_stages s({}, {.capacity = 1});
    envelope<int> e{.item = box<int>(0)};
    check(s.front.reserve(1) == 1);
    s.front.accept(&e, 1);
    check(s.front.has_work());
    check(s.behind.reserve(1) == 1);
    check(!s.front.has_work(), "more workers would be of no use");
    check(s.front.ready() == readiness::plenty, "the item may take long: it is begun before there is room");
  });
}

TEST(simulated_thread_stage, a_batch_is_carried_by_one_worker_at_a_time) {
  try_it(without_haste(2), 500, [] {
    pair_of_stages s({}, {.capacity = 100});
    s.take({0});
    int taken = 0;
    {
      const thread other([&] { taken += s.takes_two_along(); });
      taken += s.takes_two_along();
    }
    check(taken >= 1 && s.behind.room() == 99 - 2 * static_cast<std::size_t>(taken));
  });
}

// --- weights ---

struct weighty {
  int weight;
};
std::size_t item_bytes(const weighty& w) {
  if (w.weight < 0) throw std::runtime_error("nobody knows");
  return static_cast<std::size_t>(w.weight);
}
struct place_outside final : outside_place {
  void told() noexcept override { ++calls; }
  int calls = 0;
};

TEST(simulated_thread_stage, who_stands_in_line_weighs_his_item_once_and_in_time) {
  testing::alone([] {
    std::vector<std::unique_ptr<node>> no_other;
    supervisor watch(no_other);
    crew all(no_other, watch);
    run_control control({});
    thread_stage<weighty, void (*)(const weighty&)> s(
        "s", [](const weighty&) {}, {.capacity_bytes = 10}, nullptr, control);
    const auto of = [](int weight) { return envelope<weighty>{.item = box<weighty>(weighty{weight})}; };
    place_outside first, second, third;
    check(s.accept_in_line(of(6), first));
    envelope<weighty> waits = of(5);
    check(!s.accept_in_line(std::move(waits), second) && second.calls == 0, "there is room for four");
    (*waits.item).weight = -1;  // it is not asked again
    crew_member me(all, true);
    check(s.turn(me) && second.calls == 1);
    check(s.accept_in_line(std::move(waits), second));
    check(s.accept_in_line(of(0), third));
    check(s.turn(me));
  });
}

TEST(simulated_thread_stage, an_item_that_cannot_be_weighed_has_failed_and_needs_no_place) {
  testing::alone([] {
    run_control control({});
    thread_stage<weighty, void (*)(const weighty&)> s(
        "s", [](const weighty&) {}, {.capacity_bytes = 10, .on_error = on_error::skip}, nullptr, control);
    place_outside self;
    check(s.accept_in_line(envelope<weighty>{.item = box<weighty>(weighty{-1})}, self));
    stage_report counts;
    s.add_entrance_counts(counts);
    check(counts.failed == 1 && counts.waiting == 0 && s.no_place_is_lost());
  });
}

TEST(simulated_thread_stage, an_item_is_not_asked_for_its_weight_where_nobody_needs_it) {
  testing::alone([] {
    run_control control({});
    thread_stage<weighty, void (*)(const weighty&)> s(
        "s", [](const weighty&) {}, {}, nullptr, control);
    place_outside self;
    check(s.accept_in_line(envelope<weighty>{.item = box<weighty>(weighty{-1})}, self));
    stage_report counts;
    s.add_entrance_counts(counts);
    check(counts.failed == 0 && counts.waiting == 1);
    s.close_input();
    s.hand_back_rest();
  });
}

}  // namespace
}  // namespace penstock
