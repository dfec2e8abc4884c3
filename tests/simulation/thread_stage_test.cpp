// A stage by itself, whose turns are taken one by one: how many threads may be held in it.
#include <chrono>
#include <cstddef>
#include <initializer_list>
#include <memory>
#include <string>
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
  struct work {
    int operator()(int ms) const {
      if (ms > 0) (void)sleep_for(std::chrono::milliseconds(ms), {});
      return ms;
    }
  };
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

}  // namespace
}  // namespace penstock
