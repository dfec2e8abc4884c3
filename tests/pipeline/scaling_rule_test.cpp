// The decision how many workers a stage should have, on a stage that exists as numbers only: minutes of load pass in
// microseconds.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/scaling.hpp>

namespace penstock {
namespace {

constexpr double ms = 1e6;  // ns

// A stage with a queue before it, in steps of 20 ms, as a fluid: so many items come, each keeps a worker at work for so
// long, part of it on one of two processors.
class model {
 public:
  struct load {
    double per_second = 1e9;       // items that come; what finds no room in the queue waits outside
    double item_ns = 1 * ms;       // a worker's time for one
    double processor_share = 0;    // of that
    double at_once_outside = 1e9;  // what it waits for serves no more than so many at the same time
  };
  explicit model(worker_count range) : rule_(range, processors), workers_(range.least()) { look(); }

  void run(double seconds, const load& l) {
    for (double t = 0; t < seconds; t += step_s) {
      const double able = std::min({static_cast<double>(workers_), l.at_once_outside,
                                    l.processor_share > 0 ? processors / l.processor_share : 1e9});
      waiting_ = std::min(waiting_ + l.per_second * step_s, able * step_s * 1e9 / l.item_ns + 64);
      const double done = std::min(waiting_, able * step_s * 1e9 / l.item_ns);
      waiting_ -= done;
      finished_ += done;
      const double needed = done * l.item_ns;  // of workers' time, if nothing holds it up
      const double present = static_cast<double>(workers_) * step_s * 1e9;
      const bool all_busy = waiting_ > 1e-6;  // then they are all at work, however slowly
      o_.present += static_cast<std::int64_t>(present);
      o_.at_work += static_cast<std::int64_t>(all_busy ? present : needed);
      o_.starved += static_cast<std::int64_t>(all_busy ? 0 : present - needed);
      const double ran = needed * l.processor_share;
      o_.ran += static_cast<std::int64_t>(ran);
      if (all_busy && l.processor_share > .5) o_.crowded += static_cast<std::int64_t>(present - needed);
      o_.free_processors = processors - ran / (step_s * 1e9);
      o_.work_waits = all_busy;
      now_ += step_s * 1e9;
      look();
    }
  }
  [[nodiscard]] std::size_t workers() const { return workers_; }
  struct change {
    double at_s;
    std::size_t from, to;
    scaling_reason why;
  };
  [[nodiscard]] const std::vector<change>& changes() const { return changes_; }
  [[nodiscard]] std::size_t changes_since(double seconds) const {
    return static_cast<std::size_t>(
        std::ranges::count_if(changes_, [&](const change& c) { return c.at_s >= seconds; }));
  }
  [[nodiscard]] std::size_t highest() const {
    std::size_t most = 0;
    for (const change& c : changes_) most = std::max(most, c.to);
    return most;
  }

 private:
  static constexpr double step_s = .02;
  static constexpr std::size_t processors = 2;
  void look() {
    o_.at = static_cast<std::int64_t>(now_);
    o_.workers = workers_;
    o_.finished = static_cast<std::uint64_t>(finished_);
    const scaling::decision d = rule_.look(o_);
    if (d.workers == workers_) return;
    changes_.push_back({now_ * 1e-9, workers_, d.workers, d.why});
    workers_ = d.workers;
  }

  scaling rule_;
  scaling::observation o_;
  std::size_t workers_;
  double now_ = 0, waiting_ = 0, finished_ = 0;
  std::vector<change> changes_;
};

TEST(scaling_rule, steady_load_ends_within_a_fifth_of_what_it_needs_and_stays_there) {
  for (const double needed : {3., 7.5, 11., 20., 45.}) {
    model m(automatic);
    m.run(60, {.per_second = needed * 1000, .item_ns = 1 * ms, .processor_share = .01});
    EXPECT_GE(static_cast<double>(m.workers()), needed) << needed;
    EXPECT_LE(static_cast<double>(m.workers()), std::ceil(needed * 1.2)) << needed;
    EXPECT_EQ(m.changes_since(30), 0u) << needed;
  }
}

TEST(scaling_rule, an_endless_load_that_waits_outside_gets_the_whole_range_within_a_second) {
  model m({1, 64});
  m.run(1, {.processor_share = .005});
  EXPECT_EQ(m.workers(), 64u);
  for (const auto& c : m.changes()) EXPECT_EQ(c.why, scaling_reason::waits_outside);
}

TEST(scaling_rule, a_computing_stage_never_has_more_workers_than_processors) {
  model m(automatic);
  m.run(60, {.item_ns = .1 * ms, .processor_share = 1});
  EXPECT_EQ(m.workers(), 2u);
  EXPECT_EQ(m.highest(), 2u);
}

TEST(scaling_rule, a_half_computing_stage_gets_twice_the_processors) {
  model m(automatic);
  m.run(60, {.processor_share = .5});
  EXPECT_EQ(m.highest(), 4u);
}

TEST(scaling_rule, what_does_not_help_is_undone_and_tried_ever_more_rarely) {
  model m(automatic);
  m.run(300, {.processor_share = .001, .at_once_outside = 8});
  EXPECT_GE(m.workers(), 8u);
  EXPECT_LE(m.workers(), 9u);
  EXPECT_TRUE(std::ranges::any_of(m.changes(), [](const auto& c) { return c.why == scaling_reason::no_gain; }));
  EXPECT_LE(m.changes_since(100), 10u);  // every minute one attempt, undone
}

TEST(scaling_rule, an_idle_stage_shrinks_to_the_beginning_of_its_range) {
  model m({2, 64});
  m.run(5, {.per_second = 20'000, .processor_share = .01});
  EXPECT_GE(m.workers(), 20u);
  m.run(10, {.per_second = 0});
  EXPECT_EQ(m.workers(), 2u);
  EXPECT_EQ(m.changes().back().why, scaling_reason::idle);
}

TEST(scaling_rule, a_load_that_falls_is_followed) {
  model m(automatic);
  m.run(20, {.per_second = 30'000, .processor_share = .01});
  EXPECT_GE(m.workers(), 30u);
  m.run(40, {.per_second = 5'000, .processor_share = .01});
  EXPECT_GE(m.workers(), 5u);
  EXPECT_LE(m.workers(), 6u);
  m.run(20, {.per_second = 40'000, .processor_share = .01});
  EXPECT_GE(m.workers(), 40u);
  EXPECT_LE(m.workers(), 48u);
}

TEST(scaling_rule, bursts_make_it_patient_rather_than_restless) {
  model m(automatic);
  for (int i = 0; i < 100; ++i) {
    m.run(1, {.per_second = 16'000, .processor_share = .01});
    m.run(2, {.per_second = 0});
  }
  EXPECT_LE(m.changes_since(200), 10u);  // of a hundred seconds with 33 bursts
}

TEST(scaling_rule, of_items_longer_than_a_look_it_knows_nothing_before_they_are_done) {
  model m(automatic);
  m.run(120, {.per_second = 10, .item_ns = 2000 * ms});
  EXPECT_GE(m.workers(), 20u);
  EXPECT_LE(m.workers(), 24u);
}

TEST(scaling_rule, stays_within_its_range) {
  model m({3, 5});
  m.run(30, {.processor_share = .001});
  EXPECT_EQ(m.workers(), 5u);
  m.run(30, {.per_second = 0});
  EXPECT_EQ(m.workers(), 3u);
}

// Whether a step has helped is asked once, at the load it was made for.
TEST(scaling_rule, items_that_become_longer_are_no_reason_to_shrink) {
  model m({1, 2});
  m.run(2, {.processor_share = .01});
  EXPECT_EQ(m.workers(), 2u);
  m.run(2, {.item_ns = 10 * ms, .processor_share = .01});
  EXPECT_EQ(m.workers(), 2u);
  EXPECT_EQ(m.changes().size(), 1u);
}

TEST(scaling_rule, a_pause_after_a_step_ends_the_question_whether_it_has_helped) {
  model m({1, 2});
  while (m.changes().empty()) m.run(.02, {.processor_share = .01});
  m.run(.1, {.per_second = 0});
  m.run(2, {.item_ns = 10 * ms, .processor_share = .01});
  EXPECT_EQ(m.workers(), 2u);
  EXPECT_EQ(m.changes().size(), 1u);
}

TEST(scaling_rule, attempts_that_do_not_help_are_twice_as_far_apart_each_time) {
  model m({1, 64});
  m.run(70, {.processor_share = .001, .at_once_outside = 8});
  std::vector<double> undone;
  for (const auto& c : m.changes())
    if (c.why == scaling_reason::no_gain) undone.push_back(c.at_s);
  ASSERT_GE(undone.size(), 5u);
  for (std::size_t i = 1; i < undone.size(); ++i) {
    const double apart = undone[i] - undone[i - 1], meant = static_cast<double>(1 << (i - 1));
    EXPECT_GE(apart, meant) << i;
    EXPECT_LE(apart, meant + .5) << i;
  }
}

TEST(scaling_rule, whoever_shrank_in_vain_is_twice_as_patient_the_next_time) {
  model m({1, 64});
  for (const double patience : {1., 2., 4., 8.}) {
    m.run(1, {.processor_share = .005});
    EXPECT_EQ(m.workers(), 64u);
    double idle = 0;
    for (; m.workers() > 1 && idle < 100; idle += .1) m.run(.1, {.per_second = 0});
    EXPECT_GE(idle, patience - .1);
    EXPECT_LE(idle, 2 * patience + .2);
  }
}

// --- window by window ---

// What happens in so many milliseconds, to a stage whose workers are otherwise at work.
struct window {
  std::int64_t length = 20;
  std::uint64_t done = 8;
  double starved = 0, blocked = 0;  // shares of its workers' time
  double processor = .01;           // of their time at work
  double free_processors = 2;
  bool work_waits = true;
};
class by_hand {
 public:
  by_hand(worker_count range, std::size_t workers) : rule_(range, 2) {
    // Whatever was before the first look.
    constexpr auto hour = static_cast<std::int64_t>(3600e3 * ms);
    o_ = {.at = hour,
          .workers = workers,
          .finished = 1000,
          .present = hour,
          .at_work = hour / 2,
          .starved = hour / 2,
          .blocked = 0,
          .ran = hour / 4,
          .crowded = 0,
          .work_waits = true,
          .free_processors = 2};
    EXPECT_EQ(rule_.look(o_).workers, workers) << "the first look only opens the window";
  }
  // How many workers it shall have from then on.
  std::size_t after(const window& w) {
    const auto present = static_cast<double>(w.length) * ms * static_cast<double>(o_.workers);
    const double at_work = present * (1 - w.starved - w.blocked);
    o_.at += w.length * 1'000'000;
    o_.finished += w.done;
    o_.present += static_cast<std::int64_t>(present);
    o_.at_work += static_cast<std::int64_t>(at_work);
    o_.starved += static_cast<std::int64_t>(present * w.starved);
    o_.blocked += static_cast<std::int64_t>(present * w.blocked);
    o_.ran += static_cast<std::int64_t>(at_work * w.processor);
    o_.free_processors = w.free_processors;
    o_.work_waits = w.work_waits;
    const scaling::decision d = rule_.look(o_);
    why = d.why;
    return o_.workers = d.workers;
  }
  scaling_reason why = scaling_reason::none;

 private:
  scaling rule_;
  scaling::observation o_;
};

// Eight workers, who were sixteen for a while, which brought nothing. That was a second ago, when they did 100 items in
// 100 ms: now it may try again, in small steps.
by_hand one_that_grew_in_vain(std::uint64_t done_since_then = 100) {
  by_hand s({1, 64}, 8);
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 16u);
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 8u);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(s.after({.length = 100, .done = done_since_then}), 8u);
  return s;
}

TEST(scaling_windows, are_as_long_as_it_takes_to_tell) {
  EXPECT_EQ(by_hand({1, 64}, 1).after({.length = 20, .done = 8}), 2u);
  by_hand brief({1, 64}, 1);
  EXPECT_EQ(brief.after({.length = 19, .done = 100}), 1u);
  EXPECT_EQ(brief.after({.length = 1, .done = 0}), 2u);
  by_hand few({1, 64}, 1);
  EXPECT_EQ(few.after({.length = 20, .done = 7}), 1u);
  EXPECT_EQ(few.after({.length = 1, .done = 1}), 2u);
  by_hand several({5, 64}, 5);
  EXPECT_EQ(several.after({.done = 9}), 5u);
  EXPECT_EQ(several.after({.length = 1, .done = 1}), 10u);
  by_hand slow({1, 64}, 1);
  EXPECT_EQ(slow.after({.length = 249, .done = 2}), 1u);
  EXPECT_EQ(slow.after({.length = 1, .done = 0}), 2u);
}

TEST(scaling_windows, of_the_very_first_items_only_that_they_are_long_is_known) {
  by_hand s({1, 64}, 1);
  EXPECT_EQ(s.after({.length = 249, .done = 0}), 1u);
  EXPECT_EQ(s.after({.length = 1, .done = 0, .free_processors = .51}), 2u) << "a processor is idle";
  EXPECT_EQ(s.after({.length = 250, .done = 0, .free_processors = .5}), 2u);
  EXPECT_EQ(s.after({.length = 250, .done = 0, .free_processors = 2, .work_waits = false}), 2u);
  EXPECT_EQ(s.after({.length = 250, .done = 0}), 3u);
}

TEST(scaling_windows, a_stage_is_the_bottleneck_if_it_hardly_starves_and_is_not_blocked_half_its_time) {
  EXPECT_EQ(by_hand({1, 64}, 1).after({.starved = .05}), 2u);
  EXPECT_EQ(by_hand({1, 64}, 1).after({.starved = .06}), 1u);
  EXPECT_EQ(by_hand({1, 64}, 1).after({.blocked = .5}), 2u);
  EXPECT_EQ(by_hand({1, 64}, 1).after({.blocked = .51}), 1u);
}

TEST(scaling_windows, no_more_than_can_run) {
  EXPECT_EQ(by_hand({1, 64}, 16).after({.done = 100, .processor = .05}), 32u);
  EXPECT_EQ(by_hand({1, 64}, 16).after({.done = 100, .processor = .1}), 20u) << "two processors, a tenth of one each";
  EXPECT_EQ(by_hand({1, 24}, 16).after({.done = 100, .processor = .05}), 24u);
  by_hand computes({1, 64}, 1), waits({1, 64}, 1);
  (void)computes.after({.processor = .51});
  EXPECT_EQ(computes.why, scaling_reason::processors_free);
  (void)waits.after({.processor = .49});
  EXPECT_EQ(waits.why, scaling_reason::waits_outside);
}

TEST(scaling_windows, after_a_second_of_little_work_there_are_as_many_as_the_fullest_tenth_needed) {
  const auto after_a_second = [](std::size_t workers, double needed, std::int64_t last_ms) {
    by_hand s({1, 64}, workers);
    const auto idle = [&](double share) { return window{.length = 100, .starved = 1 - share}; };
    const double share = needed / static_cast<double>(workers);
    for (int tenth = 0; tenth < 9; ++tenth) EXPECT_EQ(s.after(idle(tenth == 4 ? share : share / 2)), workers);
    window last = idle(share / 2);
    last.length = last_ms;
    return s.after(last);
  };
  EXPECT_EQ(after_a_second(33, 27.5, 100), 30u) << "with a twelfth to spare";
  EXPECT_EQ(after_a_second(33, 27.5, 99), 33u) << "not yet";
  EXPECT_EQ(after_a_second(32, 27.5, 100), 32u) << "less than a tenth of them";
  EXPECT_EQ(after_a_second(4, 2.7, 100), 3u);
  EXPECT_EQ(after_a_second(4, 0, 100), 1u);
}

TEST(scaling_windows, a_step_that_brought_nothing_is_undone_and_the_next_are_small) {
  by_hand s({1, 64}, 8);
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 16u);
  EXPECT_EQ(s.after({.length = 100, .done = 109}), 8u) << "a tenth of what it should have brought";
  EXPECT_EQ(s.why, scaling_reason::no_gain);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(s.after({.length = 100, .done = 100}), 8u) << "for a second";
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 9u);
  EXPECT_EQ(s.after({.length = 100, .done = 102}), 8u) << "no more than noise";
  for (int i = 0; i < 19; ++i) EXPECT_EQ(s.after({.length = 100, .done = 100}), 8u) << "for two";
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 9u);
  EXPECT_EQ(s.after({.length = 100, .done = 104}), 10u) << "that is more";
}

TEST(scaling_windows, small_steps_that_were_all_needed_become_large_again) {
  by_hand s = one_that_grew_in_vain();
  std::vector<std::size_t> all{8};
  while (all.size() < 9) all.push_back(s.after({.length = 100, .done = 12 * all.back()}));
  EXPECT_EQ(all, (std::vector<std::size_t>{8, 9, 10, 11, 12, 13, 26, 52, 64}));
}

TEST(scaling_windows, what_is_known_of_the_items_is_also_learnt_while_others_are_the_bottleneck) {
  by_hand s({1, 64}, 16);
  EXPECT_EQ(s.after({.done = 100, .starved = .5, .processor = 1}), 16u);
  EXPECT_EQ(s.after({.done = 100, .processor = .05}), 16u) << "three quarters of a processor each, as far as is known";
  by_hand nothing({1, 64}, 1);
  (void)nothing.after({.starved = 1});  // items that took no time say nothing
  EXPECT_EQ(nothing.after({.processor = 0}), 2u);
  EXPECT_EQ(nothing.why, scaling_reason::waits_outside);
}

TEST(scaling_windows, a_pause_ends_the_question_whether_a_step_has_helped) {
  by_hand s({1, 64}, 8);
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 16u);
  EXPECT_EQ(s.after({.length = 100, .done = 0, .starved = 1}), 16u);
  EXPECT_EQ(s.after({.length = 100, .done = 50}), 32u) << "it is another load now";
}

TEST(scaling_windows, the_rate_before_a_step_is_that_of_the_window_before_it) {
  by_hand s = one_that_grew_in_vain(50);
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 9u);
  EXPECT_EQ(s.after({.length = 100, .done = 102}), 8u) << "no more than noise";
}

TEST(scaling_windows, steps_stay_small_where_the_bottleneck_was_elsewhere_for_a_while) {
  by_hand s = one_that_grew_in_vain();
  std::vector<std::size_t> all{8};
  while (all.size() < 4) all.push_back(s.after({.length = 100, .done = 12 * all.back()}));
  EXPECT_EQ(s.after({.length = 100, .done = 0, .starved = 1}), 11u);
  while (all.size() < 8) all.push_back(s.after({.length = 100, .done = 12 * all.back()}));
  EXPECT_EQ(all, (std::vector<std::size_t>{8, 9, 10, 11, 12, 13, 14, 15}));
}

TEST(scaling_windows, after_it_had_too_many_the_steps_are_small) {
  by_hand s({1, 64}, 33);
  for (int tenth = 0; tenth < 9; ++tenth) EXPECT_EQ(s.after({.length = 100, .starved = .2}), 33u);
  EXPECT_EQ(s.after({.length = 100, .starved = .2}), 29u);
  EXPECT_EQ(s.after({.length = 100, .done = 100}), 32u);
}

TEST(scaling_windows, a_stage_that_has_what_can_run_is_left_alone_until_more_can) {
  by_hand s({1, 64}, 4);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(s.after({.processor = .5}), 4u);
  EXPECT_EQ(s.after({.processor = .05}), 5u) << "at once";
  EXPECT_EQ(by_hand({1, 64}, 16).after({.done = 100, .processor = .5}), 16u) << "too many are no reason to have fewer";
}

TEST(scaling_windows, what_was_before_a_step_does_not_count_for_what_is_needed_after_it) {
  by_hand patient({1, 64}, 8);
  EXPECT_EQ(patient.after({.length = 100, .blocked = .6}), 8u) << "all of them, but not because it had too few";
  for (int tenth = 1; tenth < 9; ++tenth) EXPECT_EQ(patient.after({.length = 100, .starved = 1}), 8u);
  EXPECT_EQ(patient.after({.length = 50, .done = 100}), 16u);
  for (int i = 0; i < 19; ++i) EXPECT_EQ(patient.after({.length = 50, .starved = 1}), 16u) << "a second from there";
  EXPECT_EQ(patient.after({.length = 50, .starved = 1}), 1u) << "and not those who were at work before";
}

TEST(scaling_windows, moments_of_work_are_not_what_is_needed) {
  by_hand s({1, 64}, 10);
  for (int i = 0; i < 49; ++i) EXPECT_EQ(s.after({.done = 0, .starved = i % 5 == 2 ? 0.0 : 1.0}), 10u);
  EXPECT_EQ(s.after({.done = 0, .starved = 1}), 3u) << "a fifth of the time all ten";
}

}  // namespace
}  // namespace penstock
