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

// An ordered stage, whose items take as many milliseconds as they say, before a stage where nobody works. Two of them have
// been through it; they were quick, so the next are taken together, if they do not lie around the end of the ring.
class ordered_stage {
 public:
  explicit ordered_stage(stage_options options)
      : behind_(
            "behind", [](int) {}, {.capacity = 100}, nullptr, control_),
        stage_(
            "stage", work{}, [&] { return options.ordered = true, options; }(), &behind_, control_) {
    for (int i = 0; i < 2; ++i) take({0});
  }

  // What a thread that finds these takes in one turn.
  void take(std::initializer_list<int> items) {
    for (const int i : items) {
      envelope<int> e{.item = box<int>(int{i})};
      check(stage_.reserve(1) == 1, "room");
      stage_.accept(&e, 1);
    }
    crew_member me(crew_, true);
    check(stage_.turn(me));
  }
  // Another thread looks after those who are stuck. How long that takes.
  std::chrono::nanoseconds relieve() {
    const auto began = system::clock::now();
    crew_member me(crew_, true);
    stage_.relieve(me);
    return system::clock::now() - began;
  }
  [[nodiscard]] std::size_t done() const {
    stage_report counts;
    behind_.add_entrance_counts(counts);
    return counts.waiting;
  }

 private:
  std::vector<std::unique_ptr<node>> nobody_else_;
  crew crew_{nobody_else_};
  run_control control_{{}};
  thread_stage<int, void (*)(int)> behind_;
  thread_stage<int, work> stage_;
};

TEST(simulated_thread_stage, no_more_threads_wait_for_their_turn_than_workers_may) {
  try_it(without_haste(1), 500, [] {
    ordered_stage s({.workers = 2, .capacity = 2});
    const thread first([&] { s.take({10}); });  // whose turn it is, and stays
    (void)sleep_for(100us, {});
    const thread second([&] {
      s.take({0});
      s.take({0, 0});
      s.take({0, 5});  // their turn would come after more than two others and the two at work
    });
    (void)sleep_for(1ms, {});
    check(s.done() == 2);
    check(s.relieve() == 0ns, "whoever looks after them does not wait in their place");
    (void)sleep_for(20ms, {});
    check(s.done() == 8);
  });
}

TEST(simulated_thread_stage, what_is_done_does_not_wait_for_a_long_item_while_a_worker_is_free) {
  try_it(without_haste(1), 500, [] {
    ordered_stage s({.workers = 2, .capacity = 2});
    const thread first([&] { s.take({0, 10}); });
    (void)sleep_for(100us, {});
    s.relieve();
    check(s.done() == 2, "nobody is stuck yet");
    (void)sleep_for(900us, {});
    for (int i = 0; i < 2; ++i) {
      check(s.relieve() == 0ns);
      check(s.done() == 3);
    }
    const thread second([&] { s.take({0}); });
    (void)sleep_for(20ms, {});
    check(s.done() == 5, "nobody who looked after them has stayed a worker");
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
  std::vector<std::unique_ptr<node>> nobody_else_;
  crew crew_{nobody_else_};
  run_control control_{{}};

 public:
  thread_stage<int, void (*)(int)> behind;
  thread_stage<int, work> front;
};

TEST(simulated_thread_stage, a_batch_is_carried_on_only_with_room_for_all_of_it) {
  testing::alone([] {
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
    const std::vector<std::unique_ptr<node>> nobody_else;
    crew all(nobody_else);
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

TEST(simulated_thread_stage, a_batch_that_has_waited_for_its_turn_is_carried_on_only_with_room_for_it) {
  try_it(without_haste(1), 500, [] {
    pair_of_stages s({.workers = 2, .capacity = 2, .ordered = true}, {.capacity = 5});
    check(s.behind.reserve(5) == 5);
    {
      const thread first([&] {
        s.take({10});  // without a place, because it may be long: takes those that are kept for the others
        (void)s.empty();
      });
      (void)sleep_for(100us, {});
      s.behind.give_back(5);
      s.take({0});
      s.take({0, 0});
      s.take({0, 0});  // their turn comes after more than two others and the two at work
    }
    check(s.empty());
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
    std::vector<std::unique_ptr<node>> nobody_else;
    crew all(nobody_else);
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
