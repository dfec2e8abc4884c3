// Pipelines as small as they come, under every schedule with a few preemptions: every item is accounted for once, order and
// capacities hold, every thread comes home. A thread that is not woken is a deadlock, which the simulation reports by
// itself; one that is woken late, by the look of the supervisor instead of by the thread that had the work, takes simulated time, of which
// these runs have none to spare. Larger ones: random_pipeline_test.cpp; how many work at once: pipeline_workers_test.cpp.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/simulation/bounds.hpp"
#include "tests/simulation/pipeline_accounts.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::choose;
using system::thread;
using testing::crowd;
using testing::end_of;
using testing::fates;
using testing::in_haste;
using testing::numbers;
using testing::try_it;
using testing::without_haste;

// --- to the end ---

TEST(simulated_pipeline, one_item_through_one_stage) {
  try_it(without_haste(2, 1), 1'000, [] {
    fates all(1);
    all.settle_complete(from(numbers(1)) | sink("end", [&](int i) { all.delivered(i); }) | run());
  });
}

TEST(simulated_pipeline, two_items_through_one_place) {
  try_it(without_haste(2), 1'000, [] {
    fates all(2);
    int last = 0;
    all.settle_complete(from(numbers(2)) |
                        sink("end",
                             [&](int i) {
                               check(i == ++last, "one worker keeps the order");
                               all.delivered(i);
                             },
                             {.capacity = 1}) |
                        run());
  });
}

TEST(simulated_pipeline, two_stages) {
  try_it(in_haste(1), 1'000, [] {
    fates all(5);
    crowd between(1 + 1 + 1);  // the place, and one in each worker's hand
    all.settle_complete(from(numbers(5)) | stage("half", [&](int i) { return between.enters(), i; }, {.capacity = 1}) |
                        sink("end", [&](int i) { between.leaves(), all.delivered(i); }, {.capacity = 1}) | run());
  });
}

TEST(simulated_pipeline, two_workers_of_one_stage) {
  try_it(in_haste(1), 1'000, [] {
    fates all(2);
    crowd at_work(2);
    all.settle_complete(from(numbers(2)) |
                        sink("end",
                             [&](int i) {
                               const crowd::visit me(at_work);
                               system::yield();
                               all.delivered(i);
                             },
                             {.workers = 2, .capacity = 1}) |
                        run());
  });
}

TEST(simulated_pipeline, two_workers_keep_the_order) {
  try_it(in_haste(0), 5'000, [] {
    fates all(3);
    int last = 0;
    all.settle_complete(from(numbers(3)) |
                        stage("half",
                              [](int i) {
                                if (i == 1) system::yield();
                                return i;
                              },
                              {.workers = 2, .capacity = 1, .ordered = true}) |
                        sink("end",
                             [&](int i) {
                               check(i == ++last, "in order");
                               all.delivered(i);
                             },
                             {.capacity = 1}) |
                        run());
  });
}

TEST(simulated_pipeline, threads_of_its_own_for_each_worker) {
  try_it(in_haste(0), 5'000, [] {
    fates all(3);
    const auto factory = [] { return [](int i) { return i; }; };
    all.settle_complete(from(numbers(3)) | stage("own", per_worker(factory), {.workers = 2, .capacity = 1}) |
                        sink("end", [&](int i) { all.delivered(i); }, {.capacity = 1}) | run());
  });
}

// A worker with a thread of its own makes room when it begins, and says so: not when it is done.
TEST(simulated_pipeline, room_before_a_worker_with_a_thread_of_its_own_is_used_at_once) {
  try_it(without_haste(1), 500, [] {
    fates all(3);
    int pulled = 0;
    const auto next = [&] { return pulled < 3 ? std::optional(++pulled) : std::nullopt; };
    bool first = true;
    const auto factory = [&] {
      return [&](int i) {
        (void)sleep_for(10ms, {});
        if (std::exchange(first, false)) check(pulled >= 2, "the second has come in while the first was in work");
        all.delivered(i);
      };
    };
    all.settle_complete(from(next) | sink("own", per_worker(factory), {.capacity = 1}) | run());
  });
}

TEST(simulated_pipeline, a_filter_and_a_fan_out) {
  try_it(in_haste(0), 5'000, [] {
    std::vector<int> seen(8);
    const report r = from(numbers(3)) | stage("odd", [](int i) { return i % 2 ? std::optional(i) : std::nullopt; }) |
                     stage("twice",
                           [](int i) {
                             return each(std::vector{2 * i, 2 * i + 1});
                           },
                           {.capacity = 1}) |
                     sink("end", [&](int i) { ++seen.at(static_cast<std::size_t>(i)); }, {.capacity = 1}) | run();
    check(seen == std::vector{0, 0, 1, 1, 0, 0, 1, 1}, "both halves of 1 and 3");
    check(r.sums_meet() && r.entered == 3 && r.filtered == 1 && r.expanded == 2 && r.delivered == 4);
  });
}

// --- time: nobody sleeps while there is something to do for him ---

TEST(simulated_pipeline, a_burst_of_long_items_wakes_a_worker_for_each) {
  try_it(without_haste(1), 1'000, [] {
    fates all(4);
    const auto slow = simulation::delayed([&](int i) { all.delivered(i); }, 10ms);
    const report r = from(numbers(4)) | sink("slow", slow, {.workers = 2}) | run();
    all.settle_complete(r);
    check(r.wall < 21ms, "two at a time");
  });
}

TEST(simulated_pipeline, items_that_come_while_all_sleep_wake_somebody) {
  try_it(without_haste(1), 1'000, [] {
    fates all(2);
    auto line =
        from<int>() | stage("pass", [](int i) { return i; }) | sink("end", [&](int i) { all.delivered(i); }) | start();
    check(line.push(1));
    (void)sleep_for(100ms, {});
    check(all.count_delivered() == 1, "while nothing else happens");
    check(line.push(2));
    (void)sleep_for(100ms, {});
    check(all.count_delivered() == 2, "the second, too");
    line.close();
    all.settle_complete(line.wait());
  });
}

// The store that fills the place may be on its way while the thread that goes to sleep looks a last time.
TEST(simulated_pipeline, an_item_that_comes_while_they_lie_down_is_not_overlooked) {
  try_it(without_haste(2, 1), 1'000, [] {
    fates all(1);
    auto line = from<int>() | sink("end", [&](int i) { all.delivered(i); }) | start();
    check(line.push(1));
    (void)sleep_for(100ms, {});
    check(all.count_delivered() == 1, "while nothing else happens");
    line.close();
    all.settle_complete(line.wait());
  });
}

// Whoever begins something long has somebody else look after the little that waits elsewhere.
TEST(simulated_pipeline, a_short_item_does_not_wait_for_the_end_of_a_long_one) {
  try_it(without_haste(1), 1'000, [] {
    fates all(4);
    system::clock::time_point begun;
    const auto first = [&](int i) {
      if (i == 4) begun = system::clock::now();
      return i;
    };
    const auto second = simulation::delayed([&](int i) { all.delivered(i); }, 50ms, [](int i) { return i == 3; });
    auto line = from<int>() | stage("first", first) | sink("second", second) | start();
    for (const int i : {1, 2}) {
      check(line.push(i));
      (void)sleep_for(1s, {});
    }
    check(line.push(3));
    const auto pushed = system::clock::now();
    check(line.push(4));
    line.close();
    all.settle_complete(line.wait());
    check(begun - pushed <= 5ms, "it was begun beside it");
  });
}

TEST(simulated_pipeline, children_go_on_while_the_next_is_being_made) {
  try_it(without_haste(1), 1'000, [] {
    const auto began = system::clock::now();
    const auto children = [](int) {
      return each(std::views::iota(0, 3) | std::views::transform([](int k) {
                    (void)sleep_for(10ms, {});
                    return k;
                  }));
    };
    int last = -1;
    const auto end = [&](int k) {
      check(k == ++last && system::clock::now() - began <= 10ms * (k + 1) + 3ms, "each as soon as it is made");
    };
    check((from(numbers(1)) | stage("children", children) | sink("end", end) | run()).delivered == 3);
  });
}

// The third of a batch is slow: the others, taken with it, do not wait for it.
TEST(simulated_pipeline, what_waits_behind_a_slow_item_is_taken_over) {
  try_it(without_haste(0), 5'000, [] {
    fates all(6);
    std::int64_t last_fast = 0;
    const auto began = system::clock::now();
    const auto work = simulation::delayed([](int i) { return i; }, 50ms, [](int i) { return i == 3; });
    const auto note = [&](int i) {
      if (i != 3) last_fast = (system::clock::now() - began).count();
      all.delivered(i);
    };
    all.settle_complete(from(numbers(6)) | stage("work", work, {.workers = 2}) | sink("end", note) | run());
    check(last_fast < 10'000'000, "the fast ones are long through");
  });
}

// Batches that are long, and known to be, hold back those in them as much as short ones that turn out long.
TEST(simulated_pipeline, what_a_source_has_made_does_not_wait_while_it_waits_for_more) {
  const auto body = [] {
    fates all(50);
    std::int64_t last_early = 0;
    const auto began = system::clock::now();
    const auto next = [n = 0]() mutable -> std::optional<int> {
      (void)sleep_for(++n == 40 ? 50ms : 20us, {});
      return n <= 50 ? std::optional(n) : std::nullopt;
    };
    const auto note = [&](int i) {
      if (i < 40) last_early = (system::clock::now() - began).count();
      all.delivered(i);
    };
    all.settle_complete(from(next, {.read_ahead = 256}) | stage("work", [](int i) { return i; }, {.workers = 2}) |
                        sink("end", note) | run());
    check(last_early < 10'000'000, "those made before are long through");
  };
  simulation::simulate_many(1, testing::few_schedules ? 50 : 1'000, body, without_haste(0));
}

// Not only the first time.
TEST(simulated_pipeline, what_a_slow_source_has_made_does_not_wait_for_the_next) {
  const auto body = [] {
    fates all(60);
    std::vector<system::clock::time_point> made(61);
    const auto next = [n = 0, &made]() mutable -> std::optional<int> {
      (void)sleep_for(++n > 40 ? 50ms : 5us, {});
      if (n > 60) return std::nullopt;
      made[static_cast<std::size_t>(n)] = system::clock::now();
      return n;
    };
    const auto note = [&](int i) {
      check(system::clock::now() - made[static_cast<std::size_t>(i)] < 10ms, "while the source waits for the next");
      all.delivered(i);
    };
    all.settle_complete(from(next, {.read_ahead = 256}) | sink("end", note) | run());
  };
  simulation::simulate_many(1, testing::few_schedules ? 50 : 1'000, body, without_haste(0));
}

// Of which nothing is left where it was. (It cannot be assigned to, either: no item has to.)
struct token {
  explicit token(int n) : value(n) {}
  token(token&& other) noexcept : value(std::exchange(other.value, 0)) {}
  int value;
};

TEST(simulated_pipeline, what_a_slow_worker_has_made_does_not_wait_for_the_next) {
  for (const bool ordered : {false, true}) {
    const auto body = [&] {
      fates all(60);
      std::vector<system::clock::time_point> made(61);
      const auto next = [n = 0]() mutable { return ++n <= 60 ? std::optional<token>(n) : std::nullopt; };
      const auto work = [&](const token& t) {
        (void)sleep_for(t.value > 40 ? 50ms : 1us, {});
        made[static_cast<std::size_t>(t.value)] = system::clock::now();
        return token(t.value);
      };
      const auto note = [&](const token& t) {
        const int i = t.value;
        auto done = made[static_cast<std::size_t>(i)];
        if (ordered) done = *std::max_element(made.begin(), made.begin() + i + 1);
        // In order, those made before have nobody to send them on: both workers are at work.
        if (!ordered || i > 40) check(system::clock::now() - done < 10ms, "while its worker is at the next");
        all.delivered(i);
      };
      all.settle_complete(from(next) | stage("work", work, {.workers = ordered ? 2U : 1U, .ordered = ordered}) |
                          sink("end", note) | run());
    };
    simulation::simulate_many(1, testing::few_schedules ? 50 : 1'000, body, without_haste(0));
  }
}

// It gets what it has made off its hands; then nobody has to look after it as often as before.
TEST(simulated_pipeline, a_source_that_waits_for_long_is_left_alone) {
  const auto body = [] {
    fates all(60);
    const auto next = [n = 0]() mutable -> std::optional<int> {
      (void)sleep_for(++n == 50 ? 2s : 20us, {});
      return n <= 60 ? std::optional(n) : std::nullopt;
    };
    const auto some = [&](int i) -> std::optional<int> {
      if (i % 4 == 0) return i;
      all.filtered(i);
      return std::nullopt;
    };
    all.settle(from(next) | stage("some", some) |
               sink("long", simulation::computing([&](int i) { all.delivered(i); }, 150ms), {.workers = 2}) | run());
  };
  simulation::options within = without_haste(0);
  within.steps = 60'000;  // 23,000 are enough; 160,000 if it is looked after all the time
  simulation::simulate_many(1, testing::few_schedules ? 20 : 200, body, within);
}

TEST(simulated_pipeline, a_worker_with_a_thread_of_its_own_does_not_run_while_it_waits_for_room) {
  simulation::options within = without_haste(0);
  within.steps = 5'000;
  const auto body = [] {
    fates all(3);
    const auto factory = [] { return [](int i) { return i; }; };
    const auto slow = simulation::delayed([&](int i) { all.delivered(i); }, 1h);
    all.settle_complete(from(numbers(3)) | stage("own", per_worker(factory), {.capacity = 1}) |
                        sink("slow", slow, {.capacity = 1}) | run());
  };
  simulation::simulate_many(1, 100, body, within);
}

TEST(simulated_pipeline, a_long_item_is_begun_before_there_is_room_for_it) {
  try_it(without_haste(1), 500, [] {
    fates all(4);
    int begun = 0;
    const auto lengthy = [&](int i) {
      ++begun;
      (void)sleep_for(10ms, {});
      return i;
    };
    const auto slow = [&](int i) {
      (void)sleep_for(1s, {});
      if (i == 1) check(begun == 3, "one waits, and one is made already");
      all.delivered(i);
    };
    all.settle_complete(from(numbers(4)) | stage("lengthy", lengthy) | sink("slow", slow, {.capacity = 1}) | run());
  });
}

TEST(simulated_pipeline, of_a_batch_nothing_is_begun_after_a_stop) {
  try_it(without_haste(0), 500, [] {
    std::stop_source stop;
    int last = 0;
    const auto work = [&](int i) {
      (void)sleep_for(1us, {});
      if (i == 40) stop.request_stop();
      last = i;
    };
    auto line = from(numbers(60)) | sink("work", work) | start({.stop = stop.get_token()});
    const report r = line.wait();
    check(last == 40 && r.outcome == outcome::cancelled && r.delivered == 40 && r.returned == r.entered - 40);
  });
}

// Some of its children are on their way. If they were made of it, it is told of, but not there any more.
TEST(simulated_pipeline, an_item_is_cut_short_by_a_stop) {
  const auto cut_short = [](auto is_used_up) {
    std::stop_source stop;
    const auto next = [&](int i) {
      if (i == 2) stop.request_stop();
      return i;
    };
    using parent = std::conditional_t<is_used_up, std::string, const std::string&>;
    const auto children = [&](parent) { return each(std::views::iota(0, 5) | std::views::transform(next)); };
    auto line =
        from<std::string>() | stage("children", children) | sink("end", [](int) {}) | start({.stop = stop.get_token()});
    check(line.push(std::string("parent")));
    report r = line.wait();
    check(r.outcome == outcome::cancelled && r.sums_meet());
    bool told = false;
    for (unfinished_item& u : r.unfinished)
      if (u.place.stage == "children")
        told = u.place.number == 1 && (u.item.get<std::string>() == nullptr) == is_used_up;
    check(told);
  };
  try_it(without_haste(0), 200, [&] { cut_short(std::true_type()); });
  try_it(without_haste(0), 200, [&] { cut_short(std::false_type()); });
}

TEST(simulated_pipeline, a_function_that_foresees_is_told_of_each_batch_before_it_begins) {
  struct seer {
    std::vector<int>* seen;
    std::size_t* at;
    int* batches;
    void foresee(std::span<const int* const> batch) noexcept {
      ++*batches;
      check(*at == seen->size(), "all of the last one are done");
      check(batch.size() > 1, "one alone is no batch");
      for (const int* i : batch) seen->push_back(*i);
    }
    void operator()(const int& i) {
      (void)sleep_for(1us, {});
      if (*at == seen->size()) seen->push_back(i);  // alone
      check((*seen)[(*at)++] == i);
    }
  };
  try_it(without_haste(0), 200, [] {
    std::vector<int> seen;
    std::size_t at = 0;
    int batches = 0;
    const report r = from(numbers(40)) | sink("seer", seer{&seen, &at, &batches}) | run();
    check(r.delivered == 40 && at == 40 && batches > 0);
  });
}

TEST(simulated_pipeline, a_range_of_workers_costs_nothing_while_there_is_nothing_to_do) {
  simulation::options within = without_haste(0);
  within.steps = 10'000;
  const auto body = [] {
    auto line = from<int>() | sink("end", [](int) {}, {.workers = {1, 4}}) | start();
    check(line.push(1));
    (void)sleep_for(24h, {});
    line.close();
    check(line.wait().delivered == 1);
  };
  simulation::simulate_many(1, 50, body, within);
}

// --- what is told of it ---

TEST(simulated_pipeline, a_snapshot_at_any_step_makes_sense) {
  try_it(in_haste(1), 1'000, [] {
    fates all(3);
    auto line = from(numbers(3)) | stage("same", [](int i) { return i; }, {.capacity = 1}) |
                sink("end", [&](int i) { all.delivered(i); }, {.capacity = 1}) | start();
    for (int i = 0; i < 3; ++i) {
      const report now = line.snapshot();
      check(now.expanded == 0, "results on their way are not yet out");
      check(now.delivered <= now.entered);
      for (std::size_t k = 1; k < now.stages.size(); ++k) check(now.stages[k].in <= now.stages[k - 1].out);
      for (const stage_report& s : now.stages)
        for (const double share : {s.busy, s.starved, s.blocked, s.paused, s.processor, s.crowded})
          check(share >= 0 && share <= 1, "a share of the time");
    }
    all.settle_complete(line.wait());
  });
}

TEST(simulated_pipeline, where_nothing_was_done_all_was_waiting) {
  try_it(without_haste(1), 100, [] {
    auto line = from<int>() | sink("end", [](int) {}) | start();
    (void)sleep_for(1s, {});
    const stage_report end = line.snapshot().stages.back();
    check(end.starved == 1 && end.busy == 0 && end.processor == 0 && end.crowded == 0);
    line.close();
    check(line.wait().delivered == 0);
  });
}

TEST(simulated_pipeline, a_moment_of_computing_is_told) {
  const auto share = [](auto work) {
    const report r = from(numbers(2)) | sink("work", std::move(work)) | run();
    return r.stages.back().processor;
  };
  try_it(without_haste(0), 100, [&] {
    const auto work = simulation::computing([](int) {}, 1ms);
    check(share(work) > .9);
    check(share(per_worker([&] { return work; })) > .9, "by threads of its own, too");
  });
}

// --- early ends ---

TEST(simulated_pipeline, a_stop_at_any_step) {
  try_it(in_haste(1), 1'000, [] {
    fates all(2);
    std::stop_source stop;
    simulation::at_step(3 * choose(84), [stop]() mutable { stop.request_stop(); });
    auto line = from(numbers(2)) | sink("end", [&](int i) { all.delivered(i); }, {.capacity = 1}) |
                start({.stop = stop.get_token()});
    all.settle(line.wait());
  });
  try_it(in_haste(0), 1'000, [] {
    fates all(4);
    std::stop_source stop;
    simulation::at_step(11 * choose(100), [stop]() mutable { stop.request_stop(); });
    auto line = from(numbers(4)) |
                stage("half", [](int i) { return i; }, {.workers = 2, .capacity = 1, .ordered = true}) |
                sink("end", [&](int i) { all.delivered(i); }, {.capacity = 1}) | start({.stop = stop.get_token()});
    const report r = line.wait();
    all.settle(r);
    check(r.outcome == (r.returned == 0 && r.delivered == 4 ? outcome::completed : outcome::cancelled) ||
              (r.outcome == outcome::cancelled && r.returned == 0),
          "cancelled unless it had come to its end");
  });
}

TEST(simulated_pipeline, a_drain_at_any_step) {
  try_it(in_haste(1), 1'000, [] {
    fates all(2);
    std::stop_source drain;
    simulation::at_step(3 * choose(84), [drain]() mutable { drain.request_stop(); });
    const report r = from(numbers(2)) | sink("end", [&](int i) { all.delivered(i); }, {.capacity = 1}) |
                     run({.drain = drain.get_token()});
    all.settle(r);
    check(r.delivered == r.entered && r.returned == 0, "what entered goes to the end");
  });
}

TEST(simulated_pipeline, any_item_fails_at_any_stage) {
  try_it(in_haste(1), 1'000, [] {
    fates all(2);
    const unsigned where = choose(3);
    const int which = 1 + static_cast<int>(choose(2));
    const auto here = [&](unsigned stage) { return [=](int i) { return where == stage && i == which; }; };
    auto pull = [n = 0, where, which]() mutable -> std::optional<int> {
      if (where == 2 && n + 1 == which) throw std::runtime_error("nothing there");
      return n < 2 ? std::optional(++n) : std::nullopt;
    };
    auto line = from(pull) | stage("half", simulation::failing([](int i) { return i; }, here(0)), {.capacity = 1}) |
                sink("end", simulation::failing([&](int i) { all.delivered(i); }, here(1)), {.capacity = 1}) | start();
    const report r = end_of(line);
    all.settle(r);
    check(r.outcome == outcome::failed);
    check(r.failures.size() == 1 && r.failures[0].place.number == static_cast<std::uint64_t>(which), "that one");
    check(r.failures[0].place.stage == (where == 0 ? "half" : where == 1 ? "end" : "source"));
  });
}

TEST(simulated_pipeline, destroyed_at_any_moment) {
  try_it(in_haste(1), 1'000, [] {
    auto line = from(numbers(2)) | sink("end", [](int) {}, {.capacity = 1}) | start();
    for (unsigned i = choose(3); i > 0; --i) system::yield();
  });
}

// --- open ---

TEST(simulated_pipeline, pushed_from_outside_and_closed) {
  try_it(in_haste(2), 1'000, [] {
    fates all(2);
    auto line = from<int>() | sink("end", [&](int i) { all.delivered(i); }, {.capacity = 1}) | start();
    check(line.push(1) && line.push(2));
    line.close();
    all.settle_complete(line.wait());
  });
}

// Two are woken, one takes what there was: the other is still needed.
TEST(simulated_pipeline, workers_with_threads_of_their_own_stay_until_the_end) {
  try_it(without_haste(1), 1'000, [] {
    fates all(2);
    int gone = 0;
    const auto factory = [&] {
      return [&, here = std::shared_ptr<void>(nullptr, [&](void*) { ++gone; })](int i) { all.delivered(i); };
    };
    auto line = from<int>() | sink("own", per_worker(factory), {.workers = 2, .capacity = 1}) | start();
    check(line.push(1) && line.push(2));
    (void)sleep_for(100ms, {});
    check(all.count_delivered() == 2 && gone == 0, "both workers are there while more may come");
    line.close();
    all.settle_complete(line.wait());
  });
}

TEST(simulated_pipeline, closed_beside_a_push) {
  try_it(in_haste(3), 1'000, [] {
    int delivered = 0, pushed = 0;
    auto line = from<int>() | sink("end", [&](int) { ++delivered; }, {.capacity = 1}) | start();
    thread pusher([&] {
      for (int i = 0; i < 2; ++i) pushed += line.push(i);
    });
    line.close();
    pusher.join();
    const report r = line.wait();
    check(delivered == pushed && r.entered == r.delivered && r.delivered == static_cast<std::uint64_t>(pushed),
          "what was taken is delivered");
  });
}

TEST(simulated_pipeline, a_push_that_waits_is_told_of_the_stop) {
  try_it(in_haste(2), 1'000, [] {
    int delivered = 0, pushed = 0;
    auto line = from<int>() | sink("end", [&](int) { ++delivered; }, {.capacity = 1}) | start();
    thread pusher([&] {
      for (int i = 0; i < 3; ++i) pushed += line.push(i);
    });
    line.request_stop();
    const report r = line.wait();
    pusher.join();
    check(r.sums_meet() && r.entered == static_cast<std::uint64_t>(pushed), "what was taken is accounted for");
    check(r.delivered + r.returned == r.entered && r.delivered == static_cast<std::uint64_t>(delivered));
  });
}

TEST(simulated_pipeline, a_push_with_a_limit_gives_up_no_earlier) {
  try_it(in_haste(2), 1'000, [] {
    std::uint64_t delivered = 0, pushed = 0;
    auto line =
        from<int>() | sink("slow", simulation::delayed([&](int) { ++delivered; }, 10ms), {.capacity = 1}) | start();
    for (int i = 0; i < 4; ++i) {
      const auto began = system::clock::now();
      const auto status = line.push(int{i}, 2ms);
      pushed += status == conqueue_status::success;
      if (status != conqueue_status::success)
        check(status == conqueue_status::full && system::clock::now() - began >= 2ms, "full for all that time");
    }
    line.close();
    const report r = line.wait();
    check(r.delivered == pushed && delivered == pushed && r.sums_meet());
  });
}

// --- attempts and deadlines ---

TEST(simulated_pipeline, a_timeout_is_neither_early_nor_forgotten) {
  try_it(without_haste(1), 1'000, [] {
    fates all(2);
    const auto hang = [&](int i, const std::stop_token& stop) {
      const auto began = system::clock::now();
      if (i == 1 && !sleep_for(1h, stop)) {
        check(system::clock::now() - began >= 10ms, "not before its time");
        throw std::runtime_error("gave up");
      }
      all.delivered(i);
    };
    const report r = from(numbers(2)) | sink("hangs", hang, {.on_error = on_error::skip, .timeout = 10ms}) | run();
    all.settle(r);
    check(r.delivered == 1 && r.failed == 1);
    check(r.failures[0].reason.find("gave up after its timeout") != std::string::npos);
  });
}

TEST(simulated_pipeline, an_attempt_waits_for_its_pause_on_a_clock_moved_by_hand) {
  try_it(in_haste(1), 1'000, [] {
    simulation::manual_clock clock;
    fates all(1);
    const auto began = system::clock::now();
    const auto flaky = simulation::failing(
        [&](int i) {
          check(system::clock::now() - began >= 3s, "after both pauses");
          all.delivered(i);
        },
        [](int) { return true; }, {.times = 2});
    auto line =
        from(numbers(1)) | sink("flaky", flaky, {.retry = {.attempts = 3, .backoff = 1s, .jitter = 0}}) | start();
    system::atomic<bool> over = false;
    thread time([&] {
      while (!over) {
        clock.advance(500ms);
        system::yield();
      }
    });
    const report r = line.wait();
    over = true;
    time.join();
    all.settle_complete(r);
    check(r.stages[1].retried == 2);
  });
}

TEST(simulated_pipeline, a_pause_is_cut_short_by_a_stop) {
  try_it(without_haste(2), 1'000, [] {
    fates all(1);
    std::stop_source stop;
    int attempts = 0;
    const auto fails = [&](int) { return ++attempts > 0; };
    auto line = from(numbers(1)) |
                sink("fails", simulation::failing([&](int i) { all.delivered(i); }, fails),
                     {.retry = {.attempts = 3, .backoff = 1h, .jitter = 0}}) |
                start({.stop = stop.get_token()});
    (void)sleep_for(1ms, {});
    stop.request_stop();
    const report r = line.wait();
    all.settle(r);
    check(r.outcome == outcome::cancelled && r.delivered == 0 && r.wall < 1s && attempts == 1);
  });
}

TEST(simulated_pipeline, letters_are_written_when_attempts_are_used_up) {
  try_it(in_haste(1), 1'000, [] {
    fates all(2);
    const auto fails_on_one = simulation::failing([&](int i) { all.delivered(i); }, [](int i) { return i == 1; });
    const report r = from(numbers(2)) |
                     sink("end", fails_on_one,
                          {.capacity = 1,
                           .retry = {.attempts = 2, .backoff = 1ms},
                           .dead_letter =
                               [&](unfinished_item&& u) {
                                 check(u.place.attempt == 2, "after both");
                                 all.dead_lettered(u);
                               }}) |
                     run();
    all.settle(r);
    check(r.outcome == outcome::completed && r.delivered == 1 && r.dead_lettered == 1);
  });
}

}  // namespace
}  // namespace penstock
