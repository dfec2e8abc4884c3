// Pipelines of random shape and habits on random schedules, each from a seed that is told when something is wrong. What is
// checked is what pipeline_accounts.hpp checks of every run: each item ends in one way, once; the report says the same.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
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
using testing::numbers;

std::string text_of(const report& r) {
  std::ostringstream text;
  text << '\n' << r;
  return text.str();
}
bool one_in(unsigned n) { return choose(n) == 0; }
int up_to(int most) { return 1 + static_cast<int>(choose(static_cast<unsigned>(most))); }

// What a stage is asked for and does, drawn for the run.
class habits {
 public:
  habits(fates& all, bool is_sink, bool in_order) : all_(all), is_sink_(is_sink) {
    const int least = is_sink && in_order ? 1 : up_to(3);
    const int most = is_sink && in_order ? 1 : least + static_cast<int>(one_in(3) ? choose(3) : 0);
    options.workers = {least, most};
    options.capacity = static_cast<std::size_t>(one_in(2) ? up_to(2) : 16);
    options.ordered = !is_sink && (in_order || one_in(4));
    options.on_error = one_in(3) ? on_error::stop : on_error::skip;
    options.retry = {.attempts = static_cast<unsigned>(up_to(3)), .backoff = std::chrono::milliseconds(choose(3))};
    if (one_in(3)) options.dead_letter = [this](unfinished_item&& letter) { all_.dead_lettered(letter); };
    at_work_.emplace(most);
    sleeps_on_ = choose(6);
    computes_on_ = choose(6);
    if (one_in(3)) fails_on_ = 2 + choose(4);
    is_flaky_ = one_in(2);
    if (!is_sink && one_in(3)) filters_on_ = 2 + choose(4);
    yields_ = one_in(2);
  }
  habits(const habits&) = delete;
  habits& operator=(const habits&) = delete;

  std::optional<int> work(int item) {
    const crowd::visit me(*at_work_);
    if (yields_) system::yield();
    if (on(sleeps_on_, item)) (void)sleep_for(std::chrono::milliseconds(item % 7), {});
    if (on(computes_on_, item)) simulation::compute(std::chrono::microseconds(100 * (item % 7)));
    if (on(fails_on_, item) && !(is_flaky_ && failed_before(item))) throw std::runtime_error("fails");
    if (is_sink_) return all_.delivered(item), std::nullopt;
    if (on(filters_on_, item)) return all_.filtered(item), std::nullopt;
    return item;
  }
  // Whether an item gets through if nothing stops the run.
  [[nodiscard]] bool lets_through(int item) const {
    return !(on(fails_on_, item) && !(is_flaky_ && options.retry.attempts > 1)) && !on(filters_on_, item);
  }

  stage_options options;

 private:
  static bool on(unsigned which, int item) { return which && static_cast<unsigned>(item) % which == 0; }
  bool failed_before(int item) {
    if (std::ranges::find(failed_once_, item) != failed_once_.end()) return true;
    failed_once_.push_back(item);
    return false;
  }
  fates& all_;
  const bool is_sink_;
  std::optional<crowd> at_work_;
  unsigned sleeps_on_ = 0, computes_on_ = 0, fails_on_ = 0, filters_on_ = 0;
  bool is_flaky_ = false, yields_ = false;
  std::vector<int> failed_once_;
};

// Calls go() with source | so many stages | sink.
template <class Source, class Note, class Go>
void with_line(Source source, std::vector<std::unique_ptr<habits>>& h, Note note, Go go) {
  const auto middle = [&](std::size_t s) {
    return stage(
        "stage " + std::to_string(s), [&own = *h[s]](int i) { return own.work(i); }, h[s]->options);
  };
  const auto last = [&own = *h.back(), note](int i) {
    note(i);
    (void)own.work(i);
  };
  const auto end = sink("sink", last, h.back()->options);
  switch (h.size()) {
    case 1:
      return go(std::move(source) | end);
    case 2:
      return go(std::move(source) | middle(0) | end);
    default:
      return go(std::move(source) | middle(0) | middle(1) | end);
  }
}

enum class ending { none, stopped, drained, source_throws };

void any_pipeline() {
  const int items = up_to(12);
  fates all(items);
  const bool in_order = one_in(3);
  std::vector<std::unique_ptr<habits>> h;
  for (int stages = up_to(3), s = 1; s <= stages; ++s)
    h.push_back(std::make_unique<habits>(all, s == stages, in_order));
  const auto end = static_cast<ending>(choose(4));
  const int throws_at = end == ending::source_throws ? up_to(items) : 0;
  std::stop_source stop, drain;
  if (end == ending::stopped) simulation::at_step(choose(3000), [stop]() mutable { stop.request_stop(); });
  if (end == ending::drained) simulation::at_step(choose(3000), [drain]() mutable { drain.request_stop(); });
  const bool open = throws_at == 0 && one_in(3);

  int last = 0;
  const auto note = [&](int i) {
    // An attempt at the same item again is no disorder.
    if (in_order) check(i >= last, "in order"), last = i;
  };
  const run_options asked{.stop = stop.get_token(), .drain = drain.get_token()};
  std::optional<report> r;
  const auto settle = [&](auto line) {
    auto running = std::move(line) | start(asked);
    if constexpr (requires { running.push(1); }) {
      for (int i = 1; i <= items; ++i) {
        conqueue_status status = conqueue_status::full;
        while (status == conqueue_status::full)
          status = one_in(2) ? running.push(int{i}, 2ms)
                             : (running.push(i) ? conqueue_status::success : conqueue_status::closed);
        if (status == conqueue_status::closed) break;
      }
      if (one_in(2)) (void)running.snapshot();
      running.close();
    }
    r.emplace(end_of(running));
  };
  if (open) {
    with_line(from<int>(), h, note, settle);
  } else {
    const auto pull = [n = 0, items, throws_at]() mutable -> std::optional<int> {
      if (n + 1 == throws_at) throw std::runtime_error("no more");
      return n < items ? std::optional(++n) : std::nullopt;
    };
    with_line(from(pull), h, note, settle);
  }
  all.settle(*r);
  if (r->outcome == outcome::completed || r->outcome == outcome::drained) {
    check(r->returned == 0, "nothing comes back from a run that went to its end");
    std::uint64_t through = 0;
    for (int i = 1; i <= static_cast<int>(r->entered); ++i)
      through += std::ranges::all_of(h, [&](const auto& stage) { return stage->lets_through(i); });
    check(r->delivered == through, "what can get through does");
    if (end == ending::none && r->entered != static_cast<std::uint64_t>(items))
      simulation::fail("not all have entered" + text_of(*r));
  }
  if (r->outcome == outcome::cancelled) check(end == ending::stopped, "nobody has asked for a stop");
  if (r->outcome == outcome::drained) check(end == ending::drained, "nobody has asked for a drain");
}

TEST(simulated_pipeline_at_random, everything_ends_and_is_accounted_for) {
  const std::uint64_t first = 1, count = testing::few_schedules ? 300 : 12'000;
  std::cout << "seeds " << first << " to " << first + count - 1 << "\n";
  const auto done = simulation::simulate_many(first, count, any_pipeline, {.steps = 200'000});
  std::cout << done.steps / done.runs << " steps a run\n";
}

// The same seed, the same run: nothing in a pipeline depends on anything else, the jitter of its pauses included.
TEST(simulated_pipeline_at_random, the_same_seed_does_the_same) {
  const simulation::options with{.steps = 200'000};
  const std::uint64_t count = testing::few_schedules ? 20 : 200;
  EXPECT_EQ(simulation::simulate_many(7, count, any_pipeline, with).hash,
            simulation::simulate_many(7, count, any_pipeline, with).hash);
}

TEST(simulated_pipeline_at_random, pauses_are_drawn_from_the_seed) {
  const auto pauses_of = [](std::uint64_t seed) {
    std::vector<std::int64_t> moments;
    const auto body = [&] {
      const auto fails = [&](const int&) {
        moments.push_back(system::clock::now().time_since_epoch().count());
        throw std::runtime_error("fails");
      };
      (void)(from(numbers(1)) |
             sink("fails", fails, {.on_error = on_error::skip, .retry = {.attempts = 4, .backoff = 1s, .jitter = .5}}) |
             run());
    };
    simulation::explore({.preemptions = 0, .delayed_stores = 0, .early_timeouts = false, .runs = 1, .seed = seed},
                        body);
    return moments;
  };
  const auto once = pauses_of(1);
  ASSERT_EQ(once.size(), 4u);
  for (std::size_t i = 1; i < once.size(); ++i) {
    EXPECT_GE(once[i] - once[i - 1], std::int64_t{500'000'000} << (i - 1));
    EXPECT_LE(once[i] - once[i - 1], std::int64_t{1'000'000'000} << (i - 1));
  }
  EXPECT_EQ(once, pauses_of(1));
  EXPECT_NE(once, pauses_of(2));
}

// A counterexample carries the seed of the jitter: run again from its text alone, it does the same.
TEST(simulated_pipeline_at_random, a_pause_is_the_same_when_a_failure_is_replayed) {
  const auto body = [] {
    const auto began = system::clock::now();
    const auto flaky = simulation::failing([](int) {}, {.at = 0});
    (void)(from(numbers(1)) | sink("flaky", flaky, {.retry = {.attempts = 2, .backoff = 1s, .jitter = .5}}) | run());
    check(system::clock::now() - began >= 520ms, "a pause too short");  // one in 25 is
  };
  const auto found = simulation::search_random(1, 2000, body, {.early_timeouts = false});
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("a pause too short (seed"), std::string::npos) << found->reason();
  EXPECT_THROW(simulation::replay(found->choices(), body), simulation::counterexample);
}

TEST(simulated_pipeline_at_random, children_of_an_item_come_once_each) {
  std::cout << "seeds from 1\n";
  simulation::simulate_many(1, testing::few_schedules ? 100 : 3'000, [] {
    const int items = up_to(8);
    const bool in_order = one_in(2);
    std::stop_source stop;
    if (one_in(2)) simulation::at_step(choose(2000), [stop]() mutable { stop.request_stop(); });
    std::vector<int> seen(static_cast<std::size_t>(10 * items + 10));
    int last = 0;
    const auto children = [](int i) {
      std::vector<int> made;
      for (int k = 0; k < i % 4; ++k) made.push_back(10 * i + k);
      return each(std::move(made));
    };
    const report r =
        from(numbers(items)) | stage("children", children, {.workers = up_to(3), .capacity = 2, .ordered = in_order}) |
        stage("pass", [](int i) { return i; }, {.workers = up_to(2), .capacity = 1 + choose(3), .ordered = in_order}) |
        sink("end",
             [&](int i) {
               if (in_order) check(i > last, "in order"), last = i;
               ++seen.at(static_cast<std::size_t>(i));
             },
             {.capacity = 1 + choose(3)}) |
        run({.stop = stop.get_token()});
    check(r.sums_meet() && r.returned == r.unfinished.size());
    for (int i = 1; i <= items; ++i)
      for (int k = 0; k < 10; ++k) {
        const int times = seen[static_cast<std::size_t>(10 * i + k)];
        if (times != (k < i % 4) && !(times == 0 && r.outcome == outcome::cancelled))
          simulation::fail("child " + std::to_string(k) + " of " + std::to_string(i) + " came " +
                           std::to_string(times) + " times" + text_of(r));
      }
  });
}

TEST(simulated_pipeline_at_random, pushed_by_two_and_closed_by_a_third) {
  std::cout << "seeds from 1\n";
  simulation::simulate_many(1, testing::few_schedules ? 100 : 4'000, [] {
    std::uint64_t pushed = 0, delivered = 0;
    auto line = from<int>() | stage("pass", [](int i) { return i; }, {.workers = up_to(2), .capacity = 1 + choose(2)}) |
                sink("end", [&](int) { ++delivered; }, {.workers = up_to(2), .capacity = 1 + choose(2)}) | start();
    const auto push = [&] {
      for (int i = 0; i < 4; ++i)
        pushed += one_in(2) ? line.push(i) : line.push(int{i}, 1ms) == conqueue_status::success;
    };
    thread a(push), b(push);
    for (unsigned i = choose(20); i > 0; --i) system::yield();
    const bool stops = one_in(3);
    stops ? line.request_stop() : line.close();
    const report r = line.wait();
    a.join();
    b.join();
    check(r.sums_meet() && r.entered == pushed && r.delivered == delivered, "what was taken is accounted for");
    check(stops || r.delivered == pushed, "and delivered, unless stopped");
  });
}

TEST(simulated_pipeline_at_random, destroyed_while_it_runs) {
  std::cout << "seeds from 1\n";
  simulation::simulate_many(1, testing::few_schedules ? 100 : 3'000, [] {
    const auto slow = simulation::delayed([](int i) { return i; }, 1ms, [](int i) { return i % 3 == 0; });
    auto line = from(numbers(8)) | stage("slow", slow, {.workers = {1, 3}, .capacity = 2, .ordered = one_in(2)}) |
                sink("end", [](int) {}, {.capacity = 1}) | start();
    for (unsigned i = choose(30); i > 0; --i) system::yield();
    if (one_in(2)) (void)sleep_for(std::chrono::milliseconds(choose(5)), {});
  });
}

// Batches, and places enough for producers to be patient: what must wake whom is another matter there.
TEST(simulated_pipeline_at_random, batches_through_many_places) {
  std::cout << "seeds from 1\n";
  const auto body = [] {
    const int items = 20 + up_to(80);
    const bool in_order = one_in(2);
    fates all(items);
    int last = 0;
    const std::size_t places = std::size_t{16} << choose(2);
    const auto work =
        simulation::delayed([](int i) { return i; }, 5ms, [slow = up_to(items)](int i) { return i == slow; });
    const report r = from(numbers(items)) |
                     stage("work", work, {.workers = up_to(4), .capacity = places, .ordered = in_order}) |
                     sink("end",
                          [&](int i) {
                            if (in_order) check(i == ++last, "in order");
                            all.delivered(i);
                          },
                          {.capacity = places}) |
                     run();
    all.settle_complete(r);
  };
  simulation::simulate_many(1, testing::few_schedules ? 50 : 1'500, body, {.steps = 200'000});
}

// --- bytes ---

struct parcel {
  int number;
  friend std::size_t item_bytes(const parcel& p) { return static_cast<std::size_t>(p.number % 3 + 1); }
};

TEST(simulated_pipeline_at_random, limits_in_bytes_hold) {
  std::cout << "seeds from 1\n";
  simulation::simulate_many(1, testing::few_schedules ? 100 : 3'000, [] {
    std::uint64_t delivered = 0;
    std::stop_source stop;
    if (one_in(3)) simulation::at_step(choose(2000), [stop]() mutable { stop.request_stop(); });
    auto line =
        from(numbers(6)) | stage("pack", [](int i) { return parcel{i}; }, {.workers = up_to(2), .capacity = 2}) |
        sink("end", [&](const parcel&) { ++delivered; }, {.workers = up_to(2), .capacity = 4, .capacity_bytes = 3}) |
        start({.stop = stop.get_token()});
    const report r = line.wait();
    check(r.sums_meet() && r.delivered == delivered && r.returned == r.unfinished.size());
    check(r.delivered == 6 || r.outcome == outcome::cancelled);
  });
}

}  // namespace
}  // namespace penstock
