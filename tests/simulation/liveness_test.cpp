// Every kind of source with every pair of kinds of stage, in scenes where calls wait for one another, on random schedules.
// The kinds that need the real machine: tests/process/liveness_test.cpp.
#include "tests/pipeline/liveness.hpp"

#include <chrono>
#include <cstdint>
#include <ranges>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <penstock/base/mutex.hpp>
#include <penstock/base/sleep.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using testing::play;
using testing::scene;
using testing::source_kind;
using testing::state;

class world {
 public:
  template <class F>
  void change(F f) {
    const mutex_lock lock(mutex_);
    f(state_);
    changed_.notify_all();
  }
  template <class Condition>
  void wait(Condition holds) {
    mutex_lock lock(mutex_);
    while (!holds(std::as_const(state_))) changed_.wait(lock);
  }
  void some_time() { (void)sleep_for(std::chrono::milliseconds(1), {}); }

 private:
  mutex mutex_;
  condition changed_;
  state state_;
};

// A stage of worker threads, or of workers with threads of their own.
template <bool Own>
auto stage_of(world& w, const play& p, int which) {
  const auto function = [&w, p, which](int i) {
    testing::act(w, p, which, i);
    return i;
  };
  const stage_options options{.workers = p.workers, .capacity = p.capacity, .ordered = p.ordered};
  if constexpr (Own)
    return stage("first", per_worker([function] { return function; }), options);
  else
    return stage("first", function, options);
}
template <bool Own>
auto sink_of(world& w, const play& p, int which) {
  const auto function = [&w, p, which](int i) { testing::act(w, p, which, i); };
  const stage_options options{.workers = p.workers, .capacity = p.capacity};
  if constexpr (Own)
    return sink("second", per_worker([function] { return function; }), options);
  else
    return sink("second", function, options);
}

template <bool FirstOwn, bool SecondOwn>
void run_all() {
  for (const auto source : {source_kind::range, source_kind::callable, source_kind::open})
    for (const auto what : {scene::burst_then_silence, scene::one_blocks, scene::calls_meet, scene::stop, scene::drain})
      for (const int where : {0, 1})
        for (const unsigned habits : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
          const bool ordered = habits & 1;
          const play p{.source = source,
                       .what = what,
                       .stage = where,
                       .ordered = ordered,
                       .capacity = habits & 2 ? 1U : 4U,
                       .slow = (habits & 4) != 0};
          SCOPED_TRACE("source " + std::to_string(static_cast<int>(source)) + ", scene " +
                       std::to_string(static_cast<int>(what)) + " in stage " + std::to_string(where) +
                       (ordered ? ", ordered" : "") + (p.capacity == 1 ? ", room for one" : "") +
                       (p.slow ? ", slow" : ""));
          const auto body = [p] {
            world w;
            const report r = testing::run(w, p, stage_of<FirstOwn>(w, p, 0), sink_of<SecondOwn>(w, p, 1));
            const std::string wrong = testing::wrong_with(r, p);
            simulation::check(wrong.empty(), wrong.c_str());
          };
          for (const bool early_timeouts : {false, true})
            EXPECT_NO_THROW(simulation::simulate_many(1, testing::few_schedules ? 2 : 12, body,
                                                      {.early_timeouts = early_timeouts, .steps = 40'000}));
          if (::testing::Test::HasFailure()) return;
        }
}

TEST(simulated_liveness, threads_and_threads) { run_all<false, false>(); }
TEST(simulated_liveness, own_threads_and_threads) { run_all<true, false>(); }
TEST(simulated_liveness, threads_and_own_threads) { run_all<false, true>(); }
TEST(simulated_liveness, own_threads_and_own_threads) { run_all<true, true>(); }

// The source has ended, so the stage has nothing more to wait for but the items that a blocked worker holds.
TEST(simulated_liveness, own_threads_stay_while_a_blocked_one_holds_items) {
  const auto body = [] {
    world w;
    const play p{.source = source_kind::range, .what = scene::one_blocks, .stage = 1, .capacity = 16};
    const report r = from(std::views::iota(0, p.items())) | sink_of<true>(w, p, 1) | penstock::run();
    simulation::check(r.delivered == static_cast<std::uint64_t>(p.items()));
  };
  simulation::simulate_many(1, testing::few_schedules ? 50 : 1'000, body, {.early_timeouts = false, .steps = 40'000});
}

}  // namespace
}  // namespace penstock
