// The sums of a report, its histogram, and what a worker's clock says.
#include <chrono>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::latch_gate;
using testing::numbers;

TEST(accounting, sums_meet_only_if_every_item_ended_in_one_way) {
  report r;
  r.stages = {stage_report{.name = "source", .in = 5, .passed = 5, .out = 5},
              stage_report{.name = "sink", .in = 5, .passed = 3, .filtered = 1, .failed = 1}};
  r.entered = 5;
  r.delivered = 3;
  r.filtered = 1;
  r.failed = 1;
  EXPECT_TRUE(r.sums_meet());
  r.stages[1].in = 6;
  EXPECT_FALSE(r.sums_meet());
  r.stages[1].in = 5;
  r.delivered = 4;
  EXPECT_FALSE(r.sums_meet());
  r.delivered = 3;
  r.stages[0].out = 4;
  EXPECT_FALSE(r.sums_meet());
}

TEST(accounting, every_way_to_end_at_once) {
  std::uint64_t letters = 0;
  const auto r = from(numbers(1000)) |
                 stage("expand", [](int i) { return each(std::views::iota(0, i % 3)); }, {.workers = 2}) |
                 stage("fail",
                       [](int i) {
                         if (i == 1) throw std::runtime_error("one");
                         return i;
                       },
                       {.workers = 2, .on_error = on_error::skip}) |
                 stage("letter",
                       [n = 0](const int& i) mutable {
                         if (++n % 10 == 0) throw std::runtime_error("tenth");
                         return i;
                       },
                       {.dead_letter = [&](unfinished_item&&) { ++letters; }}) |
                 sink("end", [](int) {}) | run();
  testing::expect_sums_meet(r);
  EXPECT_EQ(r.entered, 1000u);
  EXPECT_EQ(r.filtered, 333u);
  EXPECT_EQ(r.failed, 333u);
  EXPECT_EQ(r.dead_lettered, letters);
  EXPECT_EQ(r.delivered, 667u - letters);
}

TEST(histogram, quantiles_are_good_to_twelve_percent) {
  histogram h;
  for (int i = 1; i <= 1000; ++i) h.add(i * 1000);
  const auto q = histogram::quantiles({&h});
  EXPECT_EQ(q.samples, 1000u);
  EXPECT_NEAR(static_cast<double>(q.p50.count()), 500e3, 500e3 * .125);
  EXPECT_NEAR(static_cast<double>(q.p90.count()), 900e3, 900e3 * .125);
  EXPECT_NEAR(static_cast<double>(q.p99.count()), 990e3, 990e3 * .125);
  EXPECT_EQ(q.max.count(), 1000000);
}

TEST(histogram, takes_every_duration) {
  histogram h;
  for (const std::int64_t ns : {std::int64_t{-5}, std::int64_t{0}, std::int64_t{1}, std::int64_t{15}, std::int64_t{16},
                                std::numeric_limits<std::int64_t>::max()})
    h.add(ns);
  const auto q = histogram::quantiles({&h});
  EXPECT_EQ(q.samples, 6u);
  EXPECT_EQ(q.max.count(), std::numeric_limits<std::int64_t>::max());
  EXPECT_EQ(histogram::quantiles({}).samples, 0u);
}

TEST(accounting, shares_of_worker_time_tell_who_waits_for_whom) {
  // A sink that sleeps behind a stage that does nothing: the one is busy, the other blocked.
  const auto r = from(numbers(30)) | stage("fast", [](int i) { return i; }, {.capacity = 1}) |
                 sink("slow", [](int, std::stop_token t) { sleep_for(3ms, t); }, {.capacity = 1}) | run();
  const stage_report& fast = r.stages[1];
  const stage_report& slow = r.stages[2];
  EXPECT_GT(slow.busy, fast.busy);
  EXPECT_GT(fast.blocked, fast.busy);
  for (const auto& s : r.stages) EXPECT_NEAR(s.busy + s.starved + s.blocked + s.paused, 1, .01) << s.name;
  EXPECT_GE(slow.service.p50, 3ms - 3ms / 8);
  EXPECT_EQ(slow.service.samples, 30u);
  EXPECT_GT(r.latency.samples, 0u);
  EXPECT_EQ(r.bottleneck(), 2u);
}

TEST(accounting, pauses_before_retries_are_told_as_pauses) {
  const auto r = from(numbers(3)) |
                 sink("s",
                      [n = 0](const int&) mutable {
                        if (++n % 2) throw std::runtime_error("busy");
                      },
                      {.retry = {.attempts = 2, .backoff = 2ms, .jitter = 0}}) |
                 run();
  EXPECT_GT(r.stages[1].paused, 0);
  EXPECT_EQ(r.stages[1].blocked, 0);
}

TEST(accounting, waiting_for_items_is_told_as_starved) {
  const auto r = from([n = 0]() mutable -> std::optional<int> {
                   sleep_for(2ms, {});
                   return n < 3 ? std::optional(++n) : std::nullopt;
                 }) |
                 sink("s", [](int) {}) | run();
  EXPECT_GT(r.stages[1].starved, 0);
  EXPECT_EQ(r.stages[1].blocked, 0);
  EXPECT_GT(r.stages[0].service.samples, 0u);
  EXPECT_EQ(r.stages[1].capacity, 16u);
  EXPECT_GE(r.stages[1].peak_waiting, 1u);
}

struct unweighable {
  int value = 0;
  friend std::size_t item_bytes(const unweighable&) { throw std::runtime_error("no size"); }
};

TEST(accounting, what_cannot_be_weighed_has_failed_or_is_a_dead_letter_at_the_next_stage) {
  const auto send = [](stage_options options) {
    options.capacity_bytes = 10;
    return from(numbers(3)) | stage("wrap", [](int i) { return unweighable{i}; }) |
           sink(
               "s", [](const unweighable&) {}, options) |
           run();
  };
  const report failed = send({.on_error = on_error::skip});
  testing::expect_sums_meet(failed);
  EXPECT_EQ(failed.stages[2].in, 3u);
  EXPECT_EQ(failed.stages[2].failed, 3u);
  int letters = 0;
  const report dead = send({.dead_letter = [&](unfinished_item&&) { ++letters; }});
  testing::expect_sums_meet(dead);
  EXPECT_EQ(letters, 3);
  EXPECT_EQ(dead.stages[2].in, 3u);
  EXPECT_EQ(dead.stages[2].dead_lettered, 3u);
}

// Times in ns: of a life from 100 to 1,000.
TEST(worker_time, is_divided_by_what_was_waited_for) {
  worker w;
  w.begin(100, true);
  EXPECT_EQ(w.spent(150, 0).starved, 50u) << "a wait under way counts";
  w.wait_ends(200);
  EXPECT_EQ(w.spent(300, 0).starved, 100u) << "at work";
  w.wait_begins(wait_kind::blocked, 300);
  w.wait_ends(400);
  w.wait_begins(wait_kind::paused, 450);
  w.wait_ends(500);
  EXPECT_EQ(w.waited_at_work(), 150);
  w.wait_begins(wait_kind::absent, 600);
  w.wait_ends(800);
  w.wait_begins(wait_kind::unmanned, 900);
  w.end(1'000, 0);
  w.end(2'000, 0);  // it has ended already
  const worker::times t = w.spent(3'000, 0);
  EXPECT_EQ(t.life, 700u) << "less the time when it was not there";
  EXPECT_EQ(t.starved, 100u);
  EXPECT_EQ(t.blocked, 100u);
  EXPECT_EQ(t.paused, 50u);
  EXPECT_EQ(t.unmanned, 100u);
}

TEST(worker_time, who_left_work_behind_is_idle_from_the_moment_when_others_had_done_it) {
  const auto spent = [](wait_kind why, std::int64_t ran_dry) {
    worker w;
    w.begin(50, true);
    w.wait_ends(100);
    w.wait_begins(why, 200);
    const worker::times under_way = w.spent(400, ran_dry);
    w.wait_ends(400, ran_dry);
    const worker::times after = w.spent(400, ran_dry);
    EXPECT_EQ(under_way.starved, after.starved);
    EXPECT_EQ(under_way.unmanned, after.unmanned);
    return after;
  };
  EXPECT_EQ(spent(wait_kind::unmanned, 0).unmanned, 200u);
  EXPECT_EQ(spent(wait_kind::unmanned, 150).unmanned, 200u) << "that was before";
  EXPECT_EQ(spent(wait_kind::unmanned, 300).unmanned, 100u);
  EXPECT_EQ(spent(wait_kind::unmanned, 300).starved, 50u + 100u);
  EXPECT_EQ(spent(wait_kind::unmanned, 500).unmanned, 200u) << "that was later";
  EXPECT_EQ(spent(wait_kind::blocked, 300).blocked, 200u) << "who waits for room waits for it all the time";
}

TEST(worker_time, of_quick_calls_each_127th_is_timed) {
  worker w;
  EXPECT_TRUE(w.should_time());
  w.timed(1'999);
  for (int i = 0; i < 126; ++i) EXPECT_FALSE(w.should_time());
  EXPECT_TRUE(w.should_time());
  w.timed(2'000);
  EXPECT_TRUE(w.should_time()) << "long ones are worth the clock";
}

TEST(accounting, the_most_that_ever_waited_is_told) {
  latch_gate gate;
  auto line = from<int>() | sink("s", [&](int) { gate.pass(); }, {.capacity = 4}) | start();
  for (int i = 0; i < 5; ++i) line.push(i);
  gate.until_arrived(1);
  gate.open();
  while (line.snapshot().delivered < 5) std::this_thread::yield();
  line.push(5);
  line.close();
  const report r = line.wait();
  EXPECT_GE(r.stages[1].peak_waiting, 4u);
}

TEST(accounting, a_run_that_has_ended_takes_no_more_time) {
  auto line = from(numbers(3)) | sink("s", [](int) {}) | start();
  const report r = line.wait();
  const auto now = [] { return std::chrono::steady_clock::now(); };
  for (const auto end = now() + 1ms; now() < end;) std::this_thread::yield();
  const report later = line.snapshot();
  EXPECT_EQ(later.wall, r.wall);
  EXPECT_EQ(later.stages[1].starved, r.stages[1].starved);
}

TEST(accounting, a_source_without_a_worker_waits_for_nothing) {
  auto line = from<int>() | sink("s", [](int) {}) | start();
  line.close();
  const stage_report source = line.wait().stages[0];
  EXPECT_EQ(source.starved + source.blocked + source.paused, 0);
}

TEST(accounting, no_item_takes_longer_than_the_run) {
  const report r = from(numbers(20'000)) | stage("s", [](int i) { return i; }) | sink("e", [](int) {}) | run();
  EXPECT_GT(r.latency.samples, 0u);
  EXPECT_LE(r.latency.max, r.wall);
}

TEST(histogram, small_sets_are_told_exactly) {
  histogram a, b;
  for (const int ns : {1, 2, 3}) a.add(ns);
  EXPECT_EQ(histogram::quantiles({&a}).p50.count(), 2);
  b.add(1000);
  EXPECT_EQ(histogram::quantiles({&b}).p50.count(), 1000);
  EXPECT_EQ(histogram::quantiles({&a, &b}).max.count(), 1000);
  EXPECT_EQ(histogram::quantiles({&a, &b}).p50.count(), 2);
}

// As one is who is hired when its stage has been declared at its end.
TEST(accounting, who_has_ended_waits_no_more) {
  worker w;
  w.begin(1'000, true);
  w.wait_ends(1'010);
  w.end(1'030, 0);
  w.wait_ends(1'040);
  w.wait_begins(wait_kind::unmanned, 1'050);
  const worker::times t = w.spent(2'000, 0);
  EXPECT_EQ(t.life, 30u);
  EXPECT_EQ(t.starved, 10u);
  EXPECT_EQ(t.unmanned, 0u);
}

TEST(accounting, a_snapshot_counts_a_wait_under_way_and_ends_it) {
  latch_gate gate;
  auto line = from<int>() | sink("s", [&](int) { gate.pass(); }) | start();
  while (line.snapshot().stages[1].starved < .5) std::this_thread::yield();
  line.push(1);
  gate.until_arrived(1);
  while (line.snapshot().stages[1].busy < .5) std::this_thread::yield();
  gate.open();
  line.close();
  (void)line.wait();
}

TEST(accounting, a_stage_that_computes_is_seen_to_compute_however_short_the_run) {
  for (const auto time : {std::chrono::nanoseconds(5ms), std::chrono::nanoseconds(50us)}) {
    const auto compute = [time](int) {
      const auto end = std::chrono::steady_clock::now() + time;
      while (std::chrono::steady_clock::now() < end) {
      }
    };
    EXPECT_GT((from(numbers(1)) | sink("s", compute) | run()).stages[1].processor, 0);
    EXPECT_GT((from(numbers(1)) | sink("s", per_worker([=] { return compute; })) | run()).stages[1].processor, 0);
  }
}

TEST(accounting, no_service_takes_longer_than_the_run) {
  const auto r = from(numbers(10'000)) | sink("s", [](int) {}) | run();
  EXPECT_GT(r.stages[1].service.p99.count(), 0);
  EXPECT_LT(r.stages[1].service.p99, r.wall);
}

}  // namespace
}  // namespace penstock
