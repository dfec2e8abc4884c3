// Every way a run ends: drained, stopped, failed, destroyed; who wakes, and where the items are.
#include <chrono>
#include <csignal>
#include <memory>
#include <string>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::failure_of;
using testing::latch_gate;
using testing::numbers;

auto endless(std::atomic<int>& made) {
  return from([&made]() -> std::optional<int> { return ++made; });
}

TEST(endings, an_empty_source_ends_the_run) {
  const auto r =
      from(std::vector<int>{}) | stage("a", [](int i) { return i; }, {.workers = 3}) | sink("b", [](int) {}) | run();
  EXPECT_EQ(r.outcome, outcome::completed);
  EXPECT_EQ(r.entered, 0u);
}

TEST(endings, drain_stops_the_source_and_finishes_everything_that_entered) {
  std::atomic<int> made = 0, got = 0;
  std::stop_source drain;
  const auto r = endless(made) | stage("a", [](int i) { return i; }, {.workers = 2}) |
                 sink("b",
                      [&](int) {
                        if (++got == 100) drain.request_stop();
                      }) |
                 run({.drain = drain.get_token()});
  EXPECT_EQ(r.outcome, outcome::drained);
  EXPECT_EQ(r.delivered, r.entered);
  EXPECT_EQ(r.returned, 0u);
  EXPECT_EQ(got, static_cast<int>(r.entered));
}

TEST(endings, stop_hands_back_what_waits_and_finishes_what_is_in_work) {
  latch_gate gate;
  std::stop_source stop;
  std::jthread stopper([&] {
    gate.until_arrived(1);
    stop.request_stop();
    gate.open();
  });
  const auto r = from(numbers(100)) | stage("a", [](int i) { return i; }) |
                 sink("b", [&](const int&) { gate.pass(); }, {.capacity = 4}) | run({.stop = stop.get_token()});
  testing::expect_sums_meet(r);
  EXPECT_EQ(r.outcome, outcome::cancelled);
  EXPECT_EQ(r.delivered, 1u);
  EXPECT_EQ(r.returned, r.entered - 1);
  std::uint64_t last = 0;
  for (auto u = r.unfinished.begin(); u != r.unfinished.end(); ++u) {
    EXPECT_GT(u->place.number, last);  // oldest first
    last = u->place.number;
    EXPECT_FALSE(u->error);
  }
}

TEST(endings, handed_back_items_are_whole_and_can_be_used) {
  std::vector<std::unique_ptr<int>> items;
  for (int i = 1; i <= 20; ++i) items.push_back(std::make_unique<int>(i));
  latch_gate gate;
  std::stop_source stop;
  std::jthread stopper([&] {
    gate.until_arrived(1);
    stop.request_stop();
    gate.open();
  });
  int sum_delivered = 0, sum_returned = 0;
  auto r = from(std::move(items)) |
           sink("s",
                [&](std::unique_ptr<int> p) {
                  gate.pass();
                  sum_delivered += *p;
                }) |
           run({.stop = stop.get_token()});
  for (auto& u : r.unfinished) {
    ASSERT_TRUE(u.item.get<std::unique_ptr<int>>());
    sum_returned += **u.item.get<std::unique_ptr<int>>();
    EXPECT_EQ(u.place.stage, "s");
  }
  EXPECT_EQ(sum_delivered, 1);
  EXPECT_EQ(sum_delivered + sum_returned, static_cast<int>(r.entered * (r.entered + 1) / 2));
}

TEST(endings, a_function_that_heeds_the_stop_token_gives_its_item_back) {
  std::stop_source stop;
  latch_gate begun;
  begun.open();
  std::jthread stopper([&] {
    begun.until_arrived(1);
    stop.request_stop();
  });
  auto r = from(numbers(1)) |
           sink("s",
                [&](const int&, std::stop_token token) {
                  begun.pass();
                  if (!sleep_for(24h, token)) throw std::runtime_error("interrupted");
                }) |
           run({.stop = stop.get_token()});
  EXPECT_EQ(r.outcome, outcome::cancelled);
  ASSERT_EQ(r.unfinished.size(), 1u);
  EXPECT_TRUE(r.unfinished[0].error);
  EXPECT_EQ(*r.unfinished[0].item.get<int>(), 1);
  EXPECT_EQ(r.failed, 0u);
}

TEST(endings, a_stop_ends_the_pause_before_a_retry) {
  std::stop_source stop;
  const auto r = from(numbers(1)) |
                 sink("s",
                      [&](const int&) {
                        std::thread([&] { stop.request_stop(); }).join();
                        throw std::runtime_error("busy");
                      },
                      {.retry = {.attempts = 2, .backoff = 24h, .max_backoff = 24h}}) |
                 run({.stop = stop.get_token()});
  EXPECT_EQ(r.returned, 1u);
}

// nanoseconds::max() as a double is one more than fits into nanoseconds.
TEST(endings, a_pause_for_ever_before_a_retry_is_not_over_at_once) {
  for (const double jitter : {0., 1e-18}) {
    std::stop_source stop;
    std::atomic<int> calls = 0;
    auto line = from(numbers(1)) |
                sink("s",
                     [&](const int&) {
                       ++calls;
                       throw std::runtime_error("busy");
                     },
                     {.retry = {.attempts = 1000,
                                .backoff = std::chrono::nanoseconds::max(),
                                .max_backoff = std::chrono::nanoseconds::max(),
                                .jitter = jitter}}) |
                start({.stop = stop.get_token()});
    while (line.snapshot().stages[1].paused == 0 && calls < 2) std::this_thread::yield();
    stop.request_stop();
    EXPECT_EQ(line.wait().returned, 1u);
    EXPECT_EQ(calls, 1);
  }
}

TEST(endings, a_drain_ends_the_pauses_before_retries_and_not_the_retries) {
  std::stop_source drain;
  int calls = 0;
  const auto r = from(numbers(1)) |
                 sink("s",
                      [&](const int&) {
                        if (++calls == 1) std::thread([&] { drain.request_stop(); }).join();
                        if (calls < 4) throw std::runtime_error("busy");
                      },
                      {.retry = {.attempts = 4, .backoff = 24h, .max_backoff = 24h}}) |
                 run({.drain = drain.get_token()});
  EXPECT_EQ(r.delivered, 1u);
  EXPECT_EQ(r.stages[1].retried, 3u);
}

TEST(endings, a_stop_before_the_start_ends_the_run_at_once) {
  std::stop_source stop;
  stop.request_stop();
  std::atomic<int> made = 0;
  const auto r = endless(made) | sink("s", [](int) {}) | run({.stop = stop.get_token()});
  EXPECT_EQ(r.outcome, outcome::cancelled);
  testing::expect_sums_meet(r);
}

TEST(endings, a_source_that_waits_is_told) {
  std::stop_source drain;
  latch_gate begun;
  begun.open();
  std::jthread drainer([&] {
    begun.until_arrived(1);
    drain.request_stop();
  });
  const auto r = from([&](std::stop_token stop) -> std::optional<int> {
                   begun.pass();
                   sleep_for(24h, stop);
                   return std::nullopt;
                 }) |
                 sink("s", [](int) {}) | run({.drain = drain.get_token()});
  EXPECT_EQ(r.entered, 0u);
}

TEST(endings, the_first_failure_stops_an_endless_source) {
  std::atomic<int> made = 0;
  const auto e = testing::failure_of([&] {
    return endless(made) | stage("a", [](int i) { return i; }, {.workers = 2}) |
           sink("b",
                [](int i) {
                  if (i == 1000) throw std::runtime_error("enough");
                },
                {.workers = 2}) |
           run();
  });
  EXPECT_EQ(e.place().number, 1000u);
}

TEST(endings, a_signal_drains) {
  ::signal(SIGINT, SIG_DFL);  // it may have been ignored where the tests were started
  interrupts signals;
  std::atomic<int> made = 0;
  const auto r = endless(made) |
                 sink("s",
                      [&](int i) {
                        if (i == 10) ::raise(SIGINT);
                      }) |
                 run({.stop = signals.second(), .drain = signals.first()});
  EXPECT_EQ(r.outcome, outcome::drained);
  EXPECT_EQ(signals.count(), 1);
}

TEST(endings, a_stop_or_drain_that_comes_when_all_is_done_changes_nothing) {
  for (const bool drains : {false, true}) {
    std::stop_source stop;
    const auto r = from(numbers(3)) |
                   sink("s",
                        [&](int i) {
                          if (i == 3) stop.request_stop();
                        }) |
                   (drains ? run({.drain = stop.get_token()}) : run({.stop = stop.get_token()}));
    EXPECT_EQ(r.delivered, 3u);
    // The source may or may not have come to its end by then; if it had, this was a whole run.
    EXPECT_NE(r.outcome, outcome::failed);
  }
  std::stop_source late;
  auto line = from<int>() | sink("s", [](int) {}) | start({.stop = late.get_token()});
  line.push(1);
  line.close();
  while (line.snapshot().delivered < 1) std::this_thread::yield();
  late.request_stop();
  EXPECT_EQ(line.wait().outcome, outcome::completed);
}

TEST(endings, a_stage_may_stop_its_own_run) {
  std::stop_source stop;
  std::atomic<int> made = 0;
  const auto r = endless(made) |
                 sink("s",
                      [&](int i) {
                        if (i == 50) stop.request_stop();
                      },
                      {.workers = 3}) |
                 run({.stop = stop.get_token()});
  EXPECT_EQ(r.outcome, outcome::cancelled);
  testing::expect_sums_meet(r);
}

TEST(endings, a_running_pipeline_that_is_destroyed_stops_and_joins) {
  std::atomic<int> made = 0, in_work = 0;
  {
    auto line = endless(made) |
                sink("s",
                     [&](int) {
                       ++in_work;
                       --in_work;
                     },
                     {.workers = 2}) |
                start();
    while (made < 100) std::this_thread::yield();
  }
  EXPECT_EQ(in_work, 0);
}

TEST(endings, an_expansion_in_progress_is_cut_short_by_a_stop) {
  std::stop_source stop;
  std::atomic<int> got = 0;
  const auto r = from(numbers(2)) | stage("endless", [](const int&) { return each(std::views::iota(0)); }) |
                 sink("s",
                      [&](int) {
                        if (++got == 100) stop.request_stop();
                      }) |
                 run({.stop = stop.get_token()});
  testing::expect_sums_meet(r);
  EXPECT_EQ(r.outcome, outcome::cancelled);
}

// Stops and drains at every moment: the accounts balance whenever it comes.
TEST(endings, accounts_balance_whenever_the_stop_comes) {
  for (int round = 0; round < 150; ++round) {
    std::stop_source stop, drain;
    std::atomic<int> made = 0;
    auto line = endless(made) |
                stage("a", [](int i) { return i; }, {.workers = 2, .capacity = 2, .ordered = round % 2 == 0}) |
                stage("b", [](int i) { return each(std::vector<int>(static_cast<std::size_t>(i % 4))); },
                      {.workers = 2, .capacity = 3, .ordered = round % 3 == 0}) |
                sink("c", [](int) {}, {.workers = 2}) | start({.stop = stop.get_token(), .drain = drain.get_token()});
    while (made < round) std::this_thread::yield();
    if (round % 5 == 0) drain.request_stop();
    stop.request_stop();
    const auto r = line.wait();
    testing::expect_sums_meet(r);
    ASSERT_EQ(r.outcome, outcome::cancelled);
  }
}

TEST(endings, what_waits_before_a_stage_whose_factory_throws_is_handed_back) {
  std::atomic<int> made = 0;
  const auto e = failure_of([&] {
    return from([&]() -> std::optional<int> { return ++made; }) |
           sink("s", per_worker([&]() -> void (*)(int) {
                  while (made < 3) std::this_thread::yield();
                  throw std::runtime_error("no");
                }),
                {.capacity = 3}) |
           run();
  });
  EXPECT_GE(e.report().returned, 2u);
  EXPECT_EQ(e.report().returned, e.report().unfinished.size());
}

TEST(endings, a_stop_that_comes_after_the_failure_ends_the_pause) {
  std::stop_source stop;
  const auto r = from(numbers(1)) |
                 sink("s", [](const int&) { throw std::runtime_error("busy"); },
                      {.retry = {.attempts = 2,
                                 .backoff = 24h,
                                 .max_backoff = 24h,
                                 .retry_if =
                                     [&](const std::exception_ptr&) {
                                       stop.request_stop();
                                       return true;
                                     }}}) |
                 run({.stop = stop.get_token()});
  EXPECT_EQ(r.returned, 1u);
}

TEST(endings, a_source_that_waits_is_told_of_a_stop_too) {
  std::stop_source stop;
  const auto r = from([&](std::stop_token told) -> std::optional<int> {
                   stop.request_stop();
                   sleep_for(24h, told);
                   return std::nullopt;
                 }) |
                 sink("s", [](int) {}) | run({.stop = stop.get_token()});
  EXPECT_EQ(r.outcome, outcome::cancelled);
}

TEST(endings, a_stage_that_waits_for_its_own_pipeline_fails) {
  for (const bool own_thread : {false, true}) {
    running_pipeline<int>* line = nullptr;
    const auto wait_for_myself = [&](int) { (void)line->wait(); };
    const auto check = [&](auto last) {
      auto running = from<int>() | std::move(last) | start();
      line = &running;
      EXPECT_TRUE(running.push(1));
      running.close();
      try {
        (void)running.wait();
        ADD_FAILURE() << "it has waited for itself";
      } catch (const run_error& e) {
        EXPECT_NE(std::string(e.what()).find("its own pipeline"), std::string::npos) << e.what();
      }
    };
    if (own_thread)
      check(sink("waits", per_worker([&] { return wait_for_myself; })));
    else
      check(sink("waits", wait_for_myself));
  }
}

}  // namespace
}  // namespace penstock
