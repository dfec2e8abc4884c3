// What a source does with its turns, and with the room that it was promised.
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/source.hpp>
#include <penstock/pipeline/thread_stage.hpp>

#include "tests/simulation/bounds.hpp"
#include "tests/simulation/pipeline_accounts.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using system::thread;
using testing::fates;
using testing::in_haste;
using testing::numbers;
using testing::try_it;
using testing::without_haste;

// 1 to `last`, each after so long.
template <class Pause>
auto one_after_another(int last, Pause pause) {
  return [n = 0, last, pause]() mutable -> std::optional<int> {
    if (n == last) return std::nullopt;
    (void)sleep_for(pause(++n), {});
    return n;
  };
}

simulation::options long_one() {
  simulation::options within = without_haste(0);
  within.steps = 200'000;
  return within;
}

TEST(simulated_source, does_not_begin_before_everything_is_there) {
  testing::alone([] {
    run_control control{{}};
    thread_stage<int, void (*)(int)> next(
        "next", [](int) {}, {}, nullptr, control);
    int pulled = 0;
    const auto pull = [&]() -> std::optional<int> { return ++pulled; };
    pull_source_node source(pull, {}, next, control);
    std::vector<std::unique_ptr<node>> none;
    supervisor watch(none);
    crew all(none, watch);
    crew_member me(all, true);
    check(!source.turn(me) && source.ready() == readiness::nothing && pulled == 0);
  });
}

// A turn that ends early, because somebody came and found it late, has been promised more room than it needs.
TEST(simulated_source, a_slow_turn_loses_no_room) {
  simulation::simulate_many(
      1, testing::few_schedules ? 20 : 200,
      [] {
        int made = 0;
        const auto pause = [&](int i) {
          made = i - 1;
          return i == 33 ? std::chrono::nanoseconds(50ms) : 1us;
        };
        const auto note = [&](int i) {
          if (i != 50) return;
          (void)sleep_for(1s, {});
          check(made >= 50 + 15, "the room before this stage is full");
        };
        const report r =
            from(one_after_another(100, pause), {.read_ahead = 256}) | sink("end", note, {.capacity = 16}) | run();
        check(r.delivered == 100);
      },
      without_haste(0));
}

TEST(simulated_source, keeps_to_a_limit_in_bytes) {
  try_it(in_haste(1), 500, [] {
    int made = 0, done = 0;
    const auto pull = [&]() -> std::optional<std::string> {
      if (made == 6) return std::nullopt;
      ++made;
      check(made - done <= 3, "one waits, one is at work, and one in the source's hands");
      return std::string(10, 'x');
    };
    const report r = from(pull) | sink("end", [&](const std::string&) { ++done; }, {.capacity_bytes = 10}) | run();
    check(r.delivered == 6 && done == 6);
  });
}

TEST(simulated_source, a_drain_that_comes_after_its_end_cuts_nothing_short) {
  try_it(without_haste(1), 100, [] {
    auto line = from(numbers(3)) | sink("end", [](int) { (void)sleep_for(1ms, {}); }) | start();
    (void)sleep_for(2500us, {});
    line.drain();
    const report r = line.wait();
    check(r.outcome == outcome::completed && r.delivered == 3);
  });
}

TEST(simulated_source, the_report_tells_what_it_did) {
  const auto body = [] {
    const auto each_microsecond = [](int) { return 1us; };
    const report quick = from(one_after_another(300, each_microsecond), {.read_ahead = 256}) |
                         stage("work", simulation::delayed([](int i) { return i; }, 1us)) | sink("end", [](int) {}) |
                         run();
    for (const int i : {0, 1})
      check(quick.stages[static_cast<std::size_t>(i)].service.p50 >= 900ns &&
            quick.stages[static_cast<std::size_t>(i)].service.p50 <= 1200ns);
    const report waits = from(one_after_another(100, [](int) { return 1ms; })) |
                         stage("pass", [](int i) { return i; }) | sink("end", [](int) {}) | run();
    check(waits.stages[1].starved > .9 && waits.stages[2].starved > .9);
    const report full = from(numbers(100)) | stage("pass", [](int i) { return i; }, {.capacity = 1}) |
                        sink("end", simulation::delayed([](int) {}, 1ms), {.capacity = 1}) | run();
    check(full.stages[1].blocked > .9);
    const report held_up =
        from(numbers(100)) | sink("end", simulation::delayed([](int) {}, 1ms), {.capacity = 1}) | run();
    check(held_up.stages[0].blocked > .9);
    const report computes = from(simulation::computing(one_after_another(3, [](int) { return 0us; }), 1ms)) |
                            sink("end", [](int) {}) | run();
    check(computes.stages[0].processor > .9);
  };
  simulation::simulate_many(1, 20, body, long_one());
}

// Objects that somebody owns, through every way that an item can take: alone, in a batch, carried, taken over.
TEST(simulated_source, no_item_is_destroyed_twice_or_never) {
  simulation::simulate_many(
      1, testing::few_schedules ? 50 : 500,
      [] {
        const auto one = std::make_shared<int>(1);
        for (const bool ordered : {false, true}) {
          int left = 100;
          const auto pull = [&]() -> std::optional<std::shared_ptr<int>> {
            if (left == 60) (void)sleep_for(5ms, {});
            return left-- > 0 ? std::optional(one) : std::nullopt;
          };
          const auto pass = [n = 0](std::shared_ptr<int> p) mutable -> std::optional<std::shared_ptr<int>> {
            if (++n % 40 == 0) (void)sleep_for(1ms, {});
            return n % 7 ? std::optional(std::move(p)) : std::nullopt;
          };
          std::size_t ends = 0;
          const report r = from(pull, {.read_ahead = 256}) | stage("pass", [](std::shared_ptr<int> p) { return p; }) |
                           stage("some", pass, {.ordered = ordered}) |
                           sink("end", [&](const std::shared_ptr<int>& p) { ends += p == one; }) | run();
          check(ends == r.delivered && r.delivered + r.filtered == 100);
          check(one.use_count() == 1);
        }
      },
      long_one());
}

}  // namespace
}  // namespace penstock
