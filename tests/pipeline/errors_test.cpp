// Failures: who is told what, and what the policies do.
#include <chrono>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include <penstock/base/exception_text.hpp>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using testing::failure_of;
using testing::numbers;

struct photo {
  std::string name;
  friend std::string item_label(const photo& p) { return p.name; }
};

TEST(errors, the_exception_says_stage_item_label_attempt_and_nests_the_cause) {
  const std::vector<photo> photos{{"a.jpg"}, {"b.jpg"}, {"c.jpg"}};
  const auto e = failure_of([&] {
    return from(photos) |
           stage("resize",
                 [](const photo& p) {
                   if (p.name == "b.jpg") throw std::out_of_range("truncated");
                   return p;
                 },
                 {.retry = {.attempts = 3, .backoff = 0ms}}) |
           sink("s", [](const photo&) {}) | run();
  });
  EXPECT_STREQ(e.what(), "stage \"resize\", item 2 (b.jpg), attempt 3: truncated");
  EXPECT_EQ(e.stage(), "resize");
  EXPECT_EQ(e.place().number, 2u);
  EXPECT_EQ(e.place().label, "b.jpg");
  EXPECT_EQ(e.place().attempt, 3u);
  EXPECT_THROW(std::rethrow_if_nested(e), std::out_of_range);
  EXPECT_EQ(e.report().outcome, outcome::failed);
  EXPECT_EQ(e.report().failed, 1u);
  ASSERT_EQ(e.report().failures.size(), 1u);
  EXPECT_EQ(e.report().failures[0].reason, "truncated");
}

// what() is a C string: what stands after a zero byte in a label must not be lost.
TEST(errors, a_zero_byte_in_a_label_hides_nothing_and_is_refused_in_a_name) {
  const std::string name("a\0b.jpg", 7);
  const std::vector<photo> photos{{name}};
  const auto e = failure_of(
      [&] { return from(photos) | sink("s", [](const photo&) { throw std::runtime_error("truncated"); }) | run(); });
  EXPECT_STREQ(e.what(), "stage \"s\", item 1 (a\\0b.jpg): truncated");
  EXPECT_EQ(e.place().label, name);
  try {
    (void)(from(photos) | sink(name, [](const photo&) {}) | run());
    ADD_FAILURE() << "the name was taken";
  } catch (const std::invalid_argument& refused) {
    EXPECT_STREQ(refused.what(),
                 "penstock: the name of the stage \"a\" goes on after a zero byte; a name is text without one");
  }
}

TEST(errors, an_item_taken_by_value_is_named_too) {
  const auto e = failure_of([&] {
    return from(std::vector<photo>{{"a.jpg"}}) |
           sink("s",
                [](photo p) {
                  const photo gone = std::move(p);
                  throw std::runtime_error("no");
                }) |
           run();
  });
  EXPECT_EQ(e.place().label, "a.jpg");
}

TEST(errors, skip_records_and_goes_on) {
  const auto r = from(numbers(100)) |
                 stage("odd",
                       [](int i) {
                         if (i % 10 == 0) throw std::runtime_error("round");
                         return i;
                       },
                       {.workers = 3, .on_error = on_error::skip}) |
                 sink("s", [](int) {}) | run({.keep_failures = 4});
  testing::expect_sums_meet(r);
  EXPECT_EQ(r.delivered, 90u);
  EXPECT_EQ(r.failed, 10u);
  EXPECT_EQ(r.failures.size(), 4u);
  for (const failure& f : r.failures) EXPECT_THROW(std::rethrow_exception(f.error), stage_error);
  EXPECT_EQ(r.outcome, outcome::completed);
}

TEST(errors, every_failure_is_announced_as_it_happens) {
  std::mutex m;
  std::set<std::uint64_t> told;
  (void)(from(numbers(50)) |
         sink("s",
              [](int i) {
                if (i % 5 == 0) throw std::runtime_error("no");
              },
              {.workers = 2, .on_error = on_error::skip}) |
         run({.keep_failures = 0, .on_failure = [&](const failure& f) {
                const std::scoped_lock lock(m);
                told.insert(f.place.number);
              }}));
  EXPECT_EQ(told, (std::set<std::uint64_t>{5, 10, 15, 20, 25, 30, 35, 40, 45, 50}));
}

TEST(errors, a_limit_by_count_ends_the_run_at_the_next_failure) {
  const auto e = failure_of([&] {
    return from(numbers(1000)) |
           sink("s", [](int) { throw std::runtime_error("no"); }, {.on_error = on_error::skip, .limit = {.count = 5}}) |
           run();
  });
  EXPECT_EQ(e.report().failed, 6u);
  EXPECT_EQ(e.place().number, 6u);
}

TEST(errors, a_limit_by_rate_ends_the_run_once_enough_went_through) {
  const auto fails_every = [](int n, double rate) {
    return from(numbers(1000)) |
           sink("s",
                [n](int i) {
                  if (i % n == 0) throw std::runtime_error("no");
                },
                {.on_error = on_error::skip, .limit = {.rate = rate, .rate_after = 50}}) |
           run();
  };
  EXPECT_EQ(fails_every(10, .2).failed, 100u);
  const auto e = failure_of([&] { return fails_every(2, .2); });
  EXPECT_GE(e.report().delivered + e.report().failed, 50u);
  EXPECT_LT(e.report().delivered, 40u);
}

TEST(errors, a_limit_by_rate_counts_from_the_number_given_on) {
  const auto half_fail = [](std::uint64_t rate_after) {
    return from(numbers(4)) |
           sink("s",
                [](int i) {
                  if (i > 2) throw std::runtime_error("no");
                },
                {.on_error = on_error::skip, .limit = {.rate = .4, .rate_after = rate_after}}) |
           run();
  };
  EXPECT_EQ(half_fail(5).failed, 2u);
  EXPECT_EQ(failure_of([&] { return half_fail(4); }).place().number, 4u);
}

// Which may cost more than the work.
struct with_a_long_name {
  int number;
  static inline std::atomic<int> asked = 0;
  friend std::string item_label(const with_a_long_name& item) {
    ++asked;
    return "number " + std::to_string(item.number);
  }
};

TEST(errors, an_item_is_asked_for_its_name_when_there_is_something_to_tell_of_it) {
  std::vector<with_a_long_name> items;
  for (int i = 1; i <= 20; ++i) items.push_back({i});
  const report r = from(items) |
                   sink("s",
                        [](const with_a_long_name& item) {
                          if (item.number == 3) throw std::runtime_error("no");
                        },
                        {.on_error = on_error::skip}) |
                   run();
  EXPECT_EQ(r.failures.at(0).place.label, "number 3");
  EXPECT_EQ(with_a_long_name::asked, 1);
}

TEST(errors, a_retry_succeeds_without_a_trace_but_the_count) {
  std::atomic<int> calls = 0;
  const auto r = from(numbers(10)) |
                 sink("flaky",
                      [&](const int&) {
                        if (++calls % 2) throw std::runtime_error("busy");
                      },
                      {.retry = {.attempts = 2, .backoff = 1us}}) |
                 run();
  EXPECT_EQ(r.delivered, 10u);
  EXPECT_EQ(r.failed, 0u);
  EXPECT_EQ(r.stages[1].retried, 10u);
}

TEST(errors, an_item_taken_by_value_is_copied_for_its_retry) {
  int calls = 0;
  std::string got;
  (void)(from(std::vector<std::string>{"precious"}) |
         sink("s",
              [&](std::string s) {
                const std::string mine = std::move(s);
                if (++calls < 3) throw std::runtime_error("again");
                got = mine;
              },
              {.retry = {.attempts = 3, .backoff = 0ms}}) |
         run());
  EXPECT_EQ(got, "precious");
}

TEST(errors, retry_if_decides) {
  int calls = 0;
  const auto e = failure_of([&] {
    return from(numbers(1)) |
           sink("s",
                [&](int) {
                  ++calls;
                  throw std::invalid_argument("hopeless");
                },
                {.retry = {.attempts = 5,
                           .backoff = 0ms,
                           .retry_if =
                               [](const std::exception_ptr& cause) {
                                 try {
                                   std::rethrow_exception(cause);
                                 } catch (const std::invalid_argument&) {
                                   return false;
                                 } catch (...) {
                                   return true;
                                 }
                               }}}) |
           run();
  });
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(e.place().attempt, 1u);
}

TEST(errors, a_dead_letter_carries_item_place_and_cause_and_the_run_goes_on) {
  std::vector<std::string> letters;
  const auto r = from(std::vector<photo>{{"a"}, {"bad"}, {"c"}}) |
                 stage("s",
                       [](photo p) {
                         if (p.name == "bad") throw std::runtime_error("broken");
                         return p;
                       },
                       {.retry = {.attempts = 2, .backoff = 0ms},
                        .dead_letter =
                            [&](unfinished_item&& u) {
                              ASSERT_TRUE(u.item.get<photo>());
                              EXPECT_FALSE(u.item.get<int>());
                              EXPECT_EQ(u.place.attempt, 2u);
                              EXPECT_THROW(std::rethrow_exception(u.error), stage_error);
                              letters.push_back(u.item.get<photo>()->name);
                            }}) |
                 sink("t", [](const photo&) {}) | run();
  testing::expect_sums_meet(r);
  EXPECT_EQ(letters, std::vector<std::string>{"bad"});
  EXPECT_EQ(r.dead_lettered, 1u);
  EXPECT_EQ(r.delivered, 2u);
  EXPECT_EQ(r.outcome, outcome::completed);
}

TEST(errors, a_dead_letter_function_that_throws_fails_the_run) {
  const auto e = failure_of([&] {
    return from(numbers(3)) |
           sink("s", [](const int&) { throw std::runtime_error("broken"); },
                {.dead_letter = [](unfinished_item&&) { throw std::runtime_error("letter box full"); }}) |
           run();
  });
  EXPECT_NE(std::string(e.what()).find("letter box full"), std::string::npos);
  EXPECT_NE(std::string(e.what()).find("dead-letter"), std::string::npos);
}

TEST(errors, later_failures_are_counted_and_kept) {
  testing::latch_gate gate;
  std::jthread opener([&] {
    gate.until_arrived(2);
    gate.open();
  });
  const auto e = failure_of([&] {
    return from(numbers(2)) |
           sink("s",
                [&](int i) {
                  gate.pass();
                  throw std::runtime_error("no " + std::to_string(i));
                },
                {.workers = 2}) |
           run();
  });
  // The second one failed too, or was handed back because the run was stopping by then; in either case it is told.
  EXPECT_EQ(e.report().failed + e.report().returned, 2u);
}

TEST(errors, a_timeout_tells_the_function_and_names_itself) {
  const auto e = failure_of([&] {
    return from(numbers(1)) |
           sink("slow",
                [](const int&, std::stop_token stop) {
                  sleep_for(24h, stop);
                  throw std::runtime_error("gave up reading");
                },
                {.timeout = 1ms}) |
           run();
  });
  EXPECT_STREQ(e.what(), "stage \"slow\", item 1 (1): gave up after its timeout of 1.0 ms: gave up reading");
  EXPECT_THROW(std::rethrow_if_nested(e), timed_out);
}

TEST(errors, a_result_that_comes_in_spite_of_the_timeout_counts) {
  const auto r = from(numbers(3)) |
                 sink("slow", [](int, std::stop_token stop) { sleep_for(24h, stop); }, {.workers = 3, .timeout = 1ms}) |
                 run();
  EXPECT_EQ(r.delivered, 3u);
}

TEST(errors, many_timeouts_at_once_each_hit_their_own_item) {
  const auto r = from(numbers(60)) |
                 sink("mixed",
                      [](const int& i, std::stop_token stop) {
                        if (i % 3 == 0 && !sleep_for(24h, stop)) throw std::runtime_error("slow");
                      },
                      {.workers = 6, .on_error = on_error::skip, .timeout = 2ms}) |
                 run();
  EXPECT_EQ(r.failed, 20u);
  EXPECT_EQ(r.delivered, 40u);
}

TEST(errors, options_that_contradict_each_other_are_refused_before_anything_starts) {
  int entered = 0;
  const auto refused = [&](const char* why, stage_options options, auto function) {
    try {
      const auto next = [&]() -> std::optional<int> { return ++entered < 3 ? std::optional(1) : std::nullopt; };
      (void)(from(next) | sink("s", function, std::move(options)) | run());
    } catch (const std::invalid_argument& e) {
      return std::string(e.what()).starts_with("penstock: stage \"s\": ") &&
             std::string(e.what()).find(why) != std::string::npos;
    }
    return false;
  };
  const auto plain = [](int) {};
  EXPECT_TRUE(refused("at least one worker", {.workers = 0}, plain));
  EXPECT_TRUE(refused("range of workers", {.workers = {2, 1}}, plain));
  EXPECT_TRUE(refused("a capacity", {.capacity = 0}, plain));
  EXPECT_TRUE(refused("retry.attempts", {.retry = {.attempts = 0}}, plain));
  EXPECT_TRUE(refused("retry.jitter", {.retry = {.jitter = 1.01}}, plain));
  EXPECT_TRUE(refused("retry.backoff", {.retry = {.backoff = -1ns}}, plain));
  EXPECT_TRUE(refused("retry.max_backoff", {.retry = {.max_backoff = std::chrono::nanoseconds::min()}}, plain));
  EXPECT_TRUE(refused("retry.jitter", {.retry = {.jitter = -.01}}, plain));
  EXPECT_TRUE(refused("limit.rate", {.limit = {.rate = 1.01}}, plain));
  EXPECT_TRUE(refused("limit.rate", {.limit = {.rate = -.01}}, plain));
  EXPECT_TRUE(refused("negative", {.timeout = -1s}, plain));
  EXPECT_TRUE(refused("no std::stop_token", {.timeout = 1s}, plain));
  EXPECT_TRUE(refused("capacity in bytes", {.capacity_bytes = 10}, plain));
  EXPECT_TRUE(refused("keep the order", {.workers = 2, .ordered = true}, plain));
  EXPECT_TRUE(refused("keep the order", {.workers = {1, 2}, .ordered = true}, plain));
  EXPECT_TRUE(
      refused("mutable lambda", {.workers = 2}, [seen = std::vector<int>()](int i) mutable { seen.push_back(i); }));
  EXPECT_TRUE(refused("fixed number", {.workers = {1, 2}}, per_worker([] { return [](int) {}; })));
  EXPECT_EQ(entered, 0);
  const auto used_up = [](std::unique_ptr<int>) {};
  EXPECT_THROW(
      (void)(from(std::vector<std::unique_ptr<int>>(1)) | sink("s", used_up, {.retry = {.attempts = 2}}) | run()),
      std::invalid_argument);
  EXPECT_THROW((void)(from(std::vector<std::unique_ptr<int>>(1)) |
                      sink("s", used_up, {.dead_letter = [](unfinished_item&&) {}}) | run()),
               std::invalid_argument);
  // What is just allowed.
  EXPECT_NO_THROW((void)(from(std::vector<std::unique_ptr<int>>(1)) | sink("s", used_up) | run()));
  EXPECT_NO_THROW(
      (void)(from(std::vector{1}) |
             sink("s", plain, {.capacity = 1, .ordered = true, .limit = {.rate = 1}, .retry = {.jitter = 1}}) | run()));
  EXPECT_NO_THROW((void)(from(std::vector{1}) | stage("s", [](int i) { return i; }, {.workers = 2, .ordered = true}) |
                         sink("e", plain, {.workers = {2, 2}}) | run()));
}

TEST(errors, a_source_or_a_factory_that_throws_fails_the_run_in_its_name) {
  const auto of_source = failure_of([] {
    return from([]() -> std::optional<int> { throw std::runtime_error("no camera"); }) | sink("s", [](int) {}) | run();
  });
  EXPECT_STREQ(of_source.what(), "stage \"source\", item 1: no camera");
  const auto of_factory = failure_of([] {
    return from(numbers(3)) |
           sink("s", per_worker([]() -> void (*)(int) { throw std::runtime_error("no connection"); })) | run();
  });
  EXPECT_STREQ(of_factory.what(), "stage \"s\": no connection");
}

TEST(errors, a_retry_if_that_throws_is_the_reason_told) {
  const auto e = failure_of([] {
    return from(numbers(1)) |
           sink("s", [](const int&) { throw std::runtime_error("first"); },
                {.retry = {.attempts = 2,
                           .retry_if = [](const std::exception_ptr&) -> bool {
                             throw std::runtime_error("cannot decide");
                           }}}) |
           run();
  });
  EXPECT_NE(std::string(e.what()).find("cannot decide"), std::string::npos) << e.what();
}

TEST(errors, a_stop_is_not_told_as_a_timeout) {
  std::stop_source stop;
  const auto r = from(numbers(1)) |
                 sink("s",
                      [&](const int&, std::stop_token token) {
                        stop.request_stop();
                        if (!sleep_for(24h, token)) throw std::runtime_error("interrupted");
                      },
                      {.timeout = 48h}) |
                 run({.stop = stop.get_token()});
  ASSERT_EQ(r.unfinished.size(), 1u);
  EXPECT_EQ(exception_text(r.unfinished[0].error).find("timeout"), std::string::npos);
}

TEST(errors, pauses_double_up_to_their_maximum) {
  const auto took = [](retry_policy retry) {
    const auto start = std::chrono::steady_clock::now();
    EXPECT_THROW(
        (void)(from(numbers(1)) |
               sink("s", [](const int&) { throw std::runtime_error("no"); }, {.retry = std::move(retry)}) | run()),
        run_error);
    return std::chrono::steady_clock::now() - start;
  };
  EXPECT_GE(took({.attempts = 4, .backoff = 20ms, .jitter = 0}), 140ms);
  EXPECT_GE(took({.attempts = 3, .backoff = 24h, .max_backoff = 1ms, .jitter = 0}), 2ms);  // and it ends
}

TEST(errors, the_rate_is_of_all_that_went_through_and_must_be_exceeded) {
  const auto run_with = [](auto function) {
    return from(numbers(100)) |
           stage("s", function, {.on_error = on_error::skip, .limit = {.rate = .5, .rate_after = 2}}) |
           sink("t", [](int) {}) | run();
  };
  EXPECT_EQ(run_with([](int i) -> std::optional<int> {
              if (i % 2 == 0) throw std::runtime_error("no");
              return std::nullopt;
            }).failed,
            50u);
}

TEST(errors, the_first_failure_is_the_one_that_is_thrown) {
  const auto e = failure_of([] {
    return from(std::vector<std::string>{"one", "two"}) |
           sink("s",
                [begun = std::make_shared<std::atomic<int>>(0)](std::string s, std::stop_token stop) {
                  for (++*begun; *begun < 2;) std::this_thread::yield();
                  if (s == "two") sleep_for(24h, stop);
                  throw std::runtime_error(s);
                },
                {.workers = 2}) |
           run();
  });
  EXPECT_EQ(e.place().label, "one");
}

TEST(errors, the_first_on_failure_that_throws_is_the_one_that_is_told) {
  try {
    int n = 0;
    (void)(from(std::vector{1, 2}) |
           sink("s", [](int i) { throw std::runtime_error("item " + std::to_string(i)); },
                {.on_error = on_error::skip}) |
           run({.on_failure = [&](const failure&) { throw std::runtime_error("log " + std::to_string(++n)); }}));
    FAIL();
  } catch (const run_error& e) {
    EXPECT_NE(std::string(e.what()).find("log 1"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("s, its on_failure function"), std::string::npos) << e.what();
  }
}

TEST(errors, a_limit_of_none_at_all_is_one) {
  const auto fails = [](int i) {
    if (i == 3) throw std::runtime_error("no");
  };
  const std::vector<int> items(100, 3);
  EXPECT_THROW((void)(from(items) |
                      sink("s", fails, {.on_error = on_error::skip, .limit = {.rate = 0, .rate_after = 10}}) | run()),
               run_error);
  EXPECT_EQ((from(std::vector{1, 2}) | sink("s", fails, {.on_error = on_error::skip, .limit = {.rate = 0}}) | run())
                .delivered,
            2u);
}

TEST(errors, what_ended_the_run_is_told_before_what_on_failure_threw_about_it) {
  try {
    (void)(from(std::vector{1}) | sink("s", [](int) { throw std::runtime_error("no disk"); }) |
           run({.on_failure = [](const failure&) { throw std::runtime_error("no log"); }}));
    FAIL();
  } catch (const run_error& e) {
    EXPECT_NE(std::string(e.what()).find("no disk"), std::string::npos) << e.what();
    EXPECT_EQ(std::string(e.what()).find("no log"), std::string::npos) << e.what();
  }
}

TEST(errors, an_on_failure_that_throws_fails_the_run_though_items_may_be_skipped) {
  const auto endless = []() -> std::optional<int> { return 1; };
  EXPECT_THROW(
      (void)(from(endless) | sink("s", [](int) { throw std::runtime_error("no"); }, {.on_error = on_error::skip}) |
             run({.on_failure = [](const failure&) { throw std::runtime_error("log full"); }})),
      run_error);
}

TEST(errors, what_an_item_threw_because_it_was_asked_to_stop_is_told_with_it) {
  std::stop_source stop;
  const auto gives_up = [&](const int&, const std::stop_token& asked) {
    stop.request_stop();
    if (asked.stop_requested()) throw std::runtime_error("as asked");
  };
  const report r = from(numbers(1)) | sink("s", gives_up) | run({.stop = stop.get_token()});
  ASSERT_EQ(r.unfinished.size(), 1u);
  EXPECT_THROW(std::rethrow_exception(r.unfinished[0].error), stage_error);
}

}  // namespace
}  // namespace penstock
