// How many work at once, in simulated time: stages that compute keep to the processors, stages that wait use all their
// workers, a range of workers grows and shrinks; and in none of it a wake is lost or a thread left behind.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <stop_token>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/scaler.hpp>

#include "tests/simulation/bounds.hpp"
#include "tests/simulation/pipeline_accounts.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::choose;
using simulation::simulate_many;
using testing::crowd;
using testing::end_of;
using testing::fates;
using testing::numbers;

// Time passes only when nobody can run, so what a run takes is what its stages take and what waits for nothing.
simulation::options on_time(unsigned processors = 2) {
  return {.early_timeouts = false, .steps = 500'000, .processors = processors};
}
std::uint64_t runs(std::uint64_t count) {
  std::cout << "seeds 1 to " << count << "\n";
  return testing::few_schedules ? count / 20 + 1 : count;
}

// --- processors ---

TEST(simulated_workers, a_stage_that_computes_has_no_more_at_work_than_processors) {
  for (const unsigned processors : {1U, 2U, 3U})
    simulate_many(
        1, runs(400),
        [&] {
          fates all(40);
          crowd known(static_cast<int>(processors));
          int begun = 0;
          const auto work = [&](int i) {
            // It takes eight milliseconds of work until a stage is known to compute; until then all workers may begin.
            if (++begun <= 20) {
              simulation::compute(1ms);
            } else {
              const crowd::visit me(known);
              simulation::compute(1ms);
            }
            return i;
          };
          const report r = from(numbers(40)) | stage("compute", work, {.workers = 4}) |
                           sink("end", [&](int i) { all.delivered(i); }) | run();
          all.settle_complete(r);
          check(known.most() == static_cast<int>(processors), "and no fewer");
          check(r.wall >= 40ms / processors && r.wall <= 40ms / processors + 4ms, "all of them are kept busy");
          const stage_report& compute = r.stages[1];
          check(compute.processor + compute.crowded > .9, "which the report knows");
        },
        on_time(processors));
}

TEST(simulated_workers, a_stage_that_waits_is_not_held_back_by_one_that_computes) {
  simulate_many(
      1, runs(300),
      [&] {
        fates all(40);
        const auto compute = simulation::computing([](int i) { return i; }, 1ms);
        const auto wait = simulation::delayed([&](int i) { all.delivered(i); }, 4ms);
        const report r =
            from(numbers(40)) | stage("compute", compute, {.workers = 3}) | sink("wait", wait, {.workers = 8}) | run();
        all.settle_complete(r);
        check(r.wall <= 20ms + 4ms + 6ms, "it goes on at the pace of the processors");
      },
      on_time());
}

TEST(simulated_workers, computing_and_waiting_ends_in_any_schedule) {
  simulate_many(
      1, runs(1500),
      [] {
        const int items = 10 + static_cast<int>(choose(20));
        fates all(items);
        std::stop_source stop;
        if (choose(3) == 0) simulation::at_step(choose(5000), [stop]() mutable { stop.request_stop(); });
        const auto compute = simulation::computing([](int i) { return i; }, 1ms + choose(3) * 1ms);
        const auto mixed = simulation::delayed(simulation::computing([](int i) { return i; }, 500us), 1ms,
                                               [](int i) { return i % 5 == 0; });
        auto line =
            from(numbers(items)) | stage("compute", compute, {.workers = 1 + choose(4), .capacity = 1 + choose(4)}) |
            stage("mixed", mixed, {.workers = 1 + choose(3), .capacity = 1 + choose(20), .ordered = choose(2) == 0}) |
            sink("end", simulation::computing([&](int i) { all.delivered(i); }, 1ms), {.workers = 1 + choose(3)}) |
            start({.stop = stop.get_token()});
        const report r = line.wait();
        all.settle(r);
        check(r.outcome == outcome::cancelled || r.delivered == static_cast<std::uint64_t>(items));
      },
      {.steps = 500'000, .processors = 2});
}

// Who was taken for one that computes, and waits: he does not keep a processor from the others for ever.
TEST(simulated_workers, items_that_wait_where_others_compute_hold_nobody_back) {
  const auto body = [] {
    fates all(60);
    std::int64_t last_fast = 0;
    const auto began = system::clock::now();
    const auto is_slow = [](int i) { return i == 30 || i == 31; };
    const auto compute = simulation::computing([](int i) { return i; }, 1ms, [=](int i) { return !is_slow(i); });
    const auto end = [&](int i) {
      if (!is_slow(i)) last_fast = (system::clock::now() - began).count();
      all.delivered(i);
    };
    const report r = from(numbers(60)) | stage("compute", simulation::delayed(compute, 1s, is_slow), {.workers = 4}) |
                     sink("end", end) | run();
    all.settle_complete(r);
    check(last_fast < 200'000'000, "the others go on beside them");
  };
  simulate_many(1, runs(300), body, on_time());
}

// --- a range of workers ---

TEST(simulated_workers, a_stage_that_waits_outside_grows_to_its_range) {
  simulate_many(
      1, runs(200),
      [] {
        fates all(60);
        crowd at_work(3);
        const auto wait = [&](int i) {
          const crowd::visit me(at_work);
          (void)sleep_for(20ms, {});
          all.delivered(i);
        };
        const report r = from(numbers(60)) | sink("wait", wait, {.workers = {1, 3}}) | run();
        all.settle_complete(r);
        check(at_work.most() == 3, "all of them");
        check(!r.stages[1].scaling.empty(), "and says so");
        check(r.wall < 900ms, "which pays");  // 1200 ms with one
      },
      on_time());
}

TEST(simulated_workers, a_stage_that_computes_does_not_outgrow_the_processors) {
  simulate_many(
      1, runs(200),
      [] {
        fates all(100);
        std::size_t most = 0;
        const auto compute = simulation::computing([](int i) { return i; }, 10ms);
        auto line = from(numbers(100)) | stage("compute", compute, {.workers = {1, 6}}) |
                    sink("end", [&](int i) { all.delivered(i); }) | start();
        const report r = line.wait();
        all.settle_complete(r);
        for (const scaling_step& s : r.stages[1].scaling) most = std::max(most, s.to);
        check(most == 2, "as many as processors");
      },
      on_time());
}

TEST(simulated_workers, an_idle_stage_gives_its_workers_back_and_takes_them_again) {
  simulate_many(
      1, runs(200),
      [] {
        fates all(80);
        crowd at_work(3);
        const auto wait = [&](int i) {
          const crowd::visit me(at_work);
          (void)sleep_for(20ms, {});
          all.delivered(i);
        };
        auto line = from<int>() | sink("wait", wait, {.workers = {1, 3}, .capacity = 4}) | start();
        for (int i = 1; i <= 40; ++i) check(line.push(i));
        (void)sleep_for(10s, {});
        check(at_work.most() == 3, "grown");
        check(line.snapshot().stages[1].workers == 1, "and shrunk");
        for (int i = 41; i <= 80; ++i) check(line.push(i));
        check(line.snapshot().stages[1].workers > 1, "grown again");
        line.close();
        all.settle_complete(line.wait());
      },
      on_time());
}

// A worker who is sent home looks as if he were at work for a moment, and it may be the very moment in which nothing else
// keeps the stage from its end.
TEST(simulated_workers, a_stage_that_is_closed_while_it_shrinks_ends) {
  int closed_before = 0;
  const auto body = [&] {
    fates all(30);
    const auto wait = [&](int i) {
      (void)sleep_for(20ms, {});
      all.delivered(i);
    };
    auto line = from<int>() | sink("wait", wait, {.workers = {1, 3}, .capacity = 4}) | start();
    for (int i = 1; i <= 30; ++i) check(line.push(i));
    // It wakes when the scaler does.
    const std::uint64_t looks = 1 + choose(20);
    for (std::uint64_t i = 0; i < looks && line.snapshot().stages[1].workers != 1; ++i) (void)sleep_for(20ms, {});
    closed_before += line.snapshot().stages[1].workers != 1;
    line.close();
    all.settle_complete(line.wait());
  };
  simulate_many(1, runs(3000), body, on_time());
  EXPECT_GT(closed_before, 0);
}

// Nothing else says it: in a run this one moment is too rare to be met by chance.
TEST(simulated_workers, who_sends_workers_home_has_the_end_looked_for) {
  struct idle_stage final : node {
    idle_stage() : node("idle", {1, 3}) {}
    bool turn(crew_member&) override { return false; }
    readiness ready() const noexcept override { return readiness::nothing; }
    bool is_over() const noexcept override { return true; }
    void add_entrance_counts(stage_report&) const noexcept override {}
    // Now they have had something to do, and wait for more.
    void let_all_work_once() {
      std::vector<worker*> all;
      while (worker* const w = hire(now_ns())) all.push_back(w);
      for (worker* w : all) let_go(*w, wait_kind::starved, now_ns());
    }
  };
  simulate_many(
      1, runs(20),
      [] {
        std::vector<std::unique_ptr<node>> nodes;
        nodes.push_back(std::make_unique<idle_stage>());
        auto& stage = static_cast<idle_stage&>(*nodes.front());
        for (std::size_t i = 0; i < stage.workers().size(); ++i)
          stage.workers()[i].begin(now_ns(), i < stage.present());
        stage.add_worker(now_ns());
        stage.add_worker(now_ns());
        stage.let_all_work_once();
        bool ended = false;
        int went_home = 0;
        scaler* watching = nullptr;
        scaler scales(nodes, {.add_thread = [] { check(false, "there is nothing to grow for"); },
                              .remove_thread = [&] { ++went_home; },
                              .join_the_gone = [] {},
                              .worker_added = [] {},
                              .worker_removed =
                                  [&](node& n) {
                                    check(&n == &stage && went_home > 0, "told after the fact");
                                    ended = n.ends_now();
                                    watching->end();
                                  }});
        watching = &scales;
        scales.run();  // ends when it has told that it has sent somebody home
        check(ended, "and then nothing keeps the stage");
      },
      on_time());
}

TEST(simulated_workers, growing_and_shrinking_ends_in_any_schedule) {
  simulate_many(1, runs(1000),
                [] {
                  const int items = 10 + static_cast<int>(choose(30));
                  fates all(items);
                  std::stop_source stop, drain;
                  if (choose(3) == 0) simulation::at_step(choose(8000), [stop]() mutable { stop.request_stop(); });
                  if (choose(3) == 0) simulation::at_step(choose(8000), [drain]() mutable { drain.request_stop(); });
                  crowd first_at_work(3), second_at_work(4);
                  const auto first = [&](int i) {
                    const crowd::visit me(first_at_work);
                    (void)sleep_for(20ms, {});
                    return i;
                  };
                  const auto second = [&](int i) {
                    const crowd::visit me(second_at_work);
                    if (i % 2)
                      simulation::compute(15ms);
                    else
                      (void)sleep_for(15ms, {});
                    all.delivered(i);
                  };
                  auto line =
                      from<int>() |
                      stage("first", first, {.workers = {1, 3}, .capacity = 1 + choose(4), .ordered = choose(2) == 0}) |
                      sink("second", second, {.workers = {2, 4}, .capacity = 1 + choose(4)}) |
                      start({.stop = stop.get_token(), .drain = drain.get_token()});
                  for (int i = 1; i <= items; ++i) {
                    if (i % 16 == 0) (void)sleep_for(3s, {});
                    if (!line.push(i)) break;
                  }
                  line.close();
                  const report r = end_of(line);
                  all.settle(r);
                  check(r.outcome != outcome::completed || r.delivered == r.entered);
                },
                {.steps = 500'000});
}

}  // namespace
}  // namespace penstock
