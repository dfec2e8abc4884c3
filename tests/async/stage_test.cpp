// Stages of coroutines in a pipeline beside stages of threads: the same results, bounds, errors, accounts and ends.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/stage.hpp>
#include <penstock/base/exception_text.hpp>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;

std::vector<int> numbers(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}
task<int> twice(int i) {
  co_await sleep_for(std::chrono::microseconds(i % 7 * 20));
  co_return 2 * i;
}

TEST(async_stage, stands_beside_stages_of_threads) {
  std::mutex mutex;
  std::multiset<int> out;
  const auto r = from(numbers(2000)) | stage("before", [](int i) { return i; }, {.workers = 2}) |
                 stage("async", twice, {.in_flight = 100}) |
                 stage("after", [](int i) { return i + 1; }, {.workers = 2}) |
                 sink("out",
                      [&](int i) {
                        const std::scoped_lock lock(mutex);
                        out.insert(i);
                      }) |
                 run();
  EXPECT_EQ(r.outcome, outcome::completed);
  EXPECT_EQ(r.delivered, 2000u);
  ASSERT_EQ(out.size(), 2000u);
  for (int i = 0; i < 2000; ++i) EXPECT_EQ(out.count(2 * i + 1), 1u);
}

TEST(async_stage, first_and_last_and_after_one_another) {
  int sum = 0;
  const auto add = [&](int i) -> task<> {
    co_await yield_to_others();
    sum += i;
  };
  const auto r = from(numbers(1000)) | stage("a", twice, {.in_flight = 50}) | stage("b", twice, {.in_flight = 3}) |
                 sink("c", add, {.in_flight = 10}) | run();
  EXPECT_EQ(r.delivered, 1000u);
  EXPECT_EQ(sum, 4 * 999 * 1000 / 2);
}

TEST(async_stage, no_more_in_flight_than_allowed_however_slow_the_next_stage_is) {
  std::atomic<int> now = 0, most = 0;
  const auto f = [&](int i) -> task<int> {
    most = std::max<int>(most, ++now);
    while (most < 20) co_await yield_to_others();  // the first wait for each other
    co_await sleep_for(50us);
    --now;
    co_return i;
  };
  const auto r = from(numbers(300)) | stage("f", f, {.in_flight = 20, .capacity = 4}) |
                 sink("slow", [](int) { std::this_thread::yield(); }, {.capacity = 1}) | run();
  EXPECT_EQ(r.delivered, 300u);
  EXPECT_EQ(most, 20);
  EXPECT_LE(r.stages[1].peak_waiting, 4u);
  EXPECT_LE(r.stages[2].peak_waiting, 1u);
}

TEST(async_stage, a_call_goes_on_though_items_never_end) {
  testing::latch_gate gate;
  int begun = 0, begun_until_it_went_on = 0;
  const auto f = [&](int i) -> task<> {
    ++begun;
    if (i == 0) gate.pass();  // until all the others are there
    if (i != 1) co_return;
    co_await yield_to_others();
    begun_until_it_went_on = begun;
  };
  auto line = from<int>() | sink("f", f, {.in_flight = 10, .capacity = 1000}) | start();
  line.push(0);
  gate.until_arrived(1);
  for (int i = 1; i <= 1000; ++i) line.push(i);
  gate.open();
  line.close();
  EXPECT_EQ(line.wait().delivered, 1001u);
  EXPECT_LT(begun_until_it_went_on, 100);
}

TEST(async_stage, ordered_keeps_the_order_across_failed_and_filtered_items) {
  std::vector<int> out;
  const auto f = [](int i) -> task<std::optional<int>> {
    co_await sleep_for(std::chrono::microseconds((i * 7919) % 200));
    if (i % 10 == 3) throw std::runtime_error("bad");
    if (i % 10 == 4) co_return std::nullopt;
    co_return i;
  };
  const auto r = from(numbers(1000)) | stage("f", f, {.in_flight = 64, .ordered = true, .on_error = on_error::skip}) |
                 sink("out", [&](int i) { out.push_back(i); }) | run();
  EXPECT_EQ(r.failed, 100u);
  EXPECT_EQ(r.filtered, 100u);
  EXPECT_EQ(out.size(), 800u);
  EXPECT_TRUE(std::is_sorted(out.begin(), out.end()));
}

TEST(async_stage, each_expands) {
  std::multiset<int> out;
  const auto f = [](int i) -> task<each<std::vector<int>>> {
    co_await yield_to_others();
    std::vector<int> several(static_cast<std::size_t>(i), i);
    co_return each(std::move(several));
  };
  const auto r =
      from(numbers(20)) | stage("f", f, {.in_flight = 5}) | sink("out", [&](int i) { out.insert(i); }) | run();
  EXPECT_EQ(out.size(), 190u);
  EXPECT_EQ(r.filtered, 1u);
}

TEST(async_stage, a_failure_ends_the_run_and_names_the_item) {
  const auto f = [](int i) -> task<int> {
    co_await sleep_for(10us);
    if (i == 17) throw std::runtime_error("no route");
    co_return i;
  };
  try {
    (void)(from(numbers(100'000)) | stage("fetch", f, {.in_flight = 50}) | sink("out", [](int) {}) | run());
    FAIL();
  } catch (const run_error& e) {
    EXPECT_EQ(e.stage(), "fetch");
    EXPECT_EQ(e.place().label, "17");
    EXPECT_EQ(exception_text(std::current_exception()), "stage \"fetch\", item 18 (17): no route");
  }
}

TEST(async_stage, retries_after_a_pause_and_then_dead_letters) {
  std::map<std::string, int> tries;
  std::vector<std::string> dead;
  const auto f = [&](const std::string& s) -> task<> {
    co_await yield_to_others();
    if (++tries[s] < (s == "bad" ? 100 : 3)) throw std::runtime_error("not yet");
  };
  const std::vector<std::string> items{"a", "bad", "c"};
  const auto r = from(items) |
                 sink("f", f,
                      {.in_flight = 2,
                       .retry = {.attempts = 3, .backoff = 10us},
                       .dead_letter = [&](unfinished_item&& u) { dead.push_back(*u.item.get<std::string>()); }}) |
                 run();
  EXPECT_EQ(r.delivered, 2u);
  EXPECT_EQ(r.dead_lettered, 1u);
  EXPECT_EQ(dead, std::vector<std::string>{"bad"});
  EXPECT_EQ(tries["a"], 3);
}

TEST(async_stage, a_drain_ends_the_pauses_before_retries_and_not_the_retries) {
  std::stop_source drain;
  int calls = 0;
  const auto f = [&](int) -> task<> {
    co_await yield_to_others();
    if (++calls == 1) drain.request_stop();
    if (calls < 4) throw std::runtime_error("not yet");
  };
  const auto r = from(numbers(1)) |
                 sink("f", f, {.in_flight = 2, .retry = {.attempts = 4, .backoff = 24h, .max_backoff = 24h}}) |
                 run({.drain = drain.get_token()});
  EXPECT_EQ(r.delivered, 1u);
  EXPECT_EQ(r.stages[1].retried, 3u);
}

TEST(async_stage, a_timeout_ends_an_attempt_that_does_not_listen) {
  const auto f = [](int i) -> task<> {
    if (i == 1) co_await sleep_for(1h);
  };
  const auto r = from(numbers(3)) | sink("f", f, {.in_flight = 3, .on_error = on_error::skip, .timeout = 1ms}) | run();
  EXPECT_EQ(r.delivered, 2u);
  ASSERT_EQ(r.failures.size(), 1u);
  EXPECT_EQ(r.failures[0].place.label, "1");
}

TEST(async_stage, a_stop_hands_back_what_waits_and_finishes_what_is_in_flight) {
  std::stop_source stop;
  std::atomic<int> begun = 0, finished = 0;
  const auto f = [&](int i, std::stop_token token) -> task<int> {
    if (++begun == 5) stop.request_stop();
    (void)co_await sleep_until(wait_limit(token, std::chrono::hours(1)));
    ++finished;
    co_return i;
  };
  const auto r = from(numbers(1000)) | stage("f", f, {.in_flight = 5, .capacity = 3}) | sink("out", [](int) {}) |
                 run({.stop = stop.get_token()});
  EXPECT_EQ(r.outcome, outcome::cancelled);
  EXPECT_EQ(begun, finished);
  EXPECT_EQ(r.entered, r.delivered + r.returned);
}

// One that is still there is handed back whole; one that has been used up is accounted for.
TEST(async_stage, an_expansion_in_progress_is_cut_short_by_a_stop) {
  const auto used_up = [](int&& i) -> task<each<std::ranges::iota_view<int>>> { co_return each(std::views::iota(i)); };
  const auto still_there = [](const int& i) -> task<each<std::ranges::iota_view<int>>> {
    co_return each(std::views::iota(i));
  };
  const auto stopped = [](auto endless, bool ordered) {
    std::stop_source stop;
    int got = 0;
    const auto last = [&](int) {
      if (++got == 100) stop.request_stop();
    };
    return from(numbers(3)) | stage("endless", endless, {.in_flight = 2, .ordered = ordered}) | sink("last", last) |
           run({.stop = stop.get_token()});
  };
  const auto expect = [](const report& r, bool is_there) {
    EXPECT_EQ(r.outcome, outcome::cancelled);
    EXPECT_EQ(r.stages[1].failed + r.stages[1].passed, 0u) << r;
    for (const auto& left : r.unfinished) {
      if (left.place.stage != "endless" || left.place.attempt != 1) continue;
      EXPECT_EQ(left.item.has_value(), is_there) << left.place.number;
    }
    EXPECT_GT(r.stages[1].returned, 0u) << r;
  };
  for (const bool ordered : {false, true}) {
    expect(stopped(used_up, ordered), false);
    expect(stopped(still_there, ordered), true);
  }
}

TEST(async_stage, move_only_items_by_value_and_by_reference) {
  int sum = 0;
  const auto make = [](int i) { return std::make_unique<int>(i); };
  const auto pass = [](std::unique_ptr<int> p) -> task<std::unique_ptr<int>> {
    co_await yield_to_others();
    co_return p;
  };
  const auto add = [&](const std::unique_ptr<int>& p) -> task<> {
    co_await yield_to_others();
    sum += *p;
  };
  const auto r = from(numbers(100)) | stage("make", make) | stage("pass", pass, {.in_flight = 10}) |
                 sink("add", add, {.in_flight = 10}) | run();
  EXPECT_EQ(r.delivered, 100u);
  EXPECT_EQ(sum, 4950);
}

// A result that waits for bytes waits in its task: the others go on, and one of them may be what the next stage waits for.
TEST(async_stage, a_next_stage_with_a_limit_in_bytes_does_not_hold_up_the_loop) {
  std::atomic<bool> last_one_came = false;
  const auto f = [&](int i) -> task<std::string> {
    if (i == 5) {
      co_await sleep_for(5ms);
      last_one_came = true;
      last_one_came.notify_all();
    }
    co_return std::string(static_cast<std::size_t>(100 + i), 'x');
  };
  std::size_t bytes = 0;
  const auto add = [&](const std::string& s) {
    last_one_came.wait(false);
    bytes += s.size();
  };
  const auto r = from(numbers(6)) | stage("f", f, {.in_flight = 6}) | sink("add", add, {.capacity_bytes = 150}) | run();
  EXPECT_EQ(r.delivered, 6u);
  EXPECT_EQ(bytes, 615u);
}

TEST(async_stage, bytes_are_counted_between_stages_of_either_kind) {
  for (const bool stopped : {false, true}) {
    std::stop_source stop;
    const auto make = [&](int i) -> task<std::string> {
      if (i % 5 == 0) co_await sleep_for(1us);
      if (stopped && i == 500) stop.request_stop();
      std::string s(static_cast<std::size_t>(i % 40 + 1), 'x');
      co_return s;
    };
    const auto pass = [&](std::string s) -> task<std::string> {
      if (s.size() % 7 == 0) co_await yield_to_others();
      co_return s;
    };
    std::size_t bytes = 0;
    const auto r = from(numbers(1000)) | stage("make", make, {.in_flight = 20}) |
                   stage("pass", pass, {.in_flight = 5, .capacity_bytes = 64}) |
                   sink("add", [&](const std::string& s) { bytes += s.size(); }, {.capacity_bytes = 50}) |
                   run({.stop = stop.get_token()});
    EXPECT_EQ(r.entered, r.delivered + r.returned);
    if (!stopped) {
      EXPECT_EQ(bytes, 25u * 820u);
    }
  }
}

TEST(async_stage, options_that_do_not_fit_are_refused_before_the_run) {
  EXPECT_THROW((void)(from(numbers(1)) | stage("f", twice, {.in_flight = 0}) | sink("out", [](int) {}) | run()),
               std::invalid_argument);
}

// Wherever it fails or is stopped, the sums meet (wait() throws if they do not) and the run ends.
TEST(async_stage, sums_meet_wherever_it_ends) {
  for (int at = 0; at < 60; ++at)
    for (const int mode : {0, 1, 2}) {
      std::stop_source stop;
      const auto f = [&](int i) -> task<int> {
        if (i % 3 == 0) co_await sleep_for(5us);
        if (i == at && mode == 0) throw std::runtime_error("bad");
        if (i == at && mode == 1) stop.request_stop();
        co_return i;
      };
      const auto last = [&](int i) {
        if (i == at && mode == 2) throw std::runtime_error("bad");
      };
      try {
        const auto r = from(numbers(60)) | stage("f", f, {.in_flight = 4, .capacity = 2}) |
                       sink("last", last, {.capacity = 1}) | run({.stop = stop.get_token()});
        EXPECT_EQ(mode, 1);
      } catch (const run_error& e) {
        EXPECT_NE(mode, 1);
        EXPECT_EQ(e.place().label, std::to_string(at));
      }
    }
}

}  // namespace
}  // namespace penstock
