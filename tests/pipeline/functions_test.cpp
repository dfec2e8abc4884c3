// What a stage's function may look like, and what becomes of its item and its result.
#include <filesystem>
#include <list>
#include <memory>
#include <mutex>
#include <set>
#include <sstream>
#include <string>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using testing::numbers;

TEST(functions, value_optional_each_and_void) {
  std::vector<std::string> got;
  const auto r = from(numbers(10)) | stage("double", [](int i) { return 2 * i; }) |
                 stage("not of 3",
                       [](int i) -> std::optional<int> {
                         if (i % 3 == 0) return std::nullopt;
                         return i;
                       }) |
                 stage("twice",
                       [](int i) {
                         return each(std::vector<std::string>{std::to_string(i), std::to_string(i) + "b"});
                       }) |
                 sink("collect", [&](std::string s) { got.push_back(std::move(s)); }) | run();
  testing::expect_sums_meet(r);
  EXPECT_EQ(got.size(), 14u);
  EXPECT_EQ(got.front(), "2");
  EXPECT_EQ(got.back(), "20b");
  EXPECT_EQ(r.entered, 10u);
  EXPECT_EQ(r.filtered, 3u);
  EXPECT_EQ(r.expanded, 7u);
  EXPECT_EQ(r.delivered, 14u);
  EXPECT_EQ(r.outcome, outcome::completed);
}

TEST(functions, a_container_is_one_item_and_each_makes_it_many) {
  int vectors = 0, elements = 0;
  (void)(from(numbers(3)) | stage("make", [](int i) { return std::vector<int>(static_cast<std::size_t>(i)); }) |
         sink("count", [&](const std::vector<int>&) { ++vectors; }) | run());
  (void)(from(numbers(3)) | stage("make", [](int i) { return each(std::vector<int>(static_cast<std::size_t>(i))); }) |
         sink("count", [&](int) { ++elements; }) | run());
  EXPECT_EQ(vectors, 3);
  EXPECT_EQ(elements, 6);
}

TEST(functions, an_empty_expansion_is_filtered) {
  const auto r =
      from(numbers(3)) | stage("none", [](int) { return each(std::vector<int>{}); }) | sink("s", [](int) {}) | run();
  EXPECT_EQ(r.filtered, 3u);
  EXPECT_EQ(r.delivered, 0u);
}

// Quick ones, taken many at a time: each that is left out, or fails, leaves its place behind to those that come after it.
TEST(functions, what_is_left_out_of_many_takes_no_room) {
  for (const bool ordered : {false, true})
    for (const unsigned workers : {1U, 3U}) {
      std::uint64_t sum = 0;
      const report r = from(numbers(30'000, 0)) |
                       stage("tenth", [](int i) { return i % 10 ? std::nullopt : std::optional(i); },
                             {.workers = workers, .ordered = ordered}) |
                       stage("even",
                             [](int i) {
                               if (i % 20) throw std::runtime_error("odd");
                               return i;
                             },
                             {.workers = workers, .capacity = 4, .ordered = ordered, .on_error = on_error::skip}) |
                       sink("sum", [&](int i) { sum += static_cast<std::uint64_t>(i); }, {.capacity = 4}) |
                       run({.keep_failures = 1});
      testing::expect_sums_meet(r);
      EXPECT_EQ(r.filtered, 27'000u);
      EXPECT_EQ(r.failed, 1'500u);
      EXPECT_EQ(r.delivered, 1'500u);
      EXPECT_EQ(sum, 20u * 1'499 * 1'500 / 2);
    }
}

TEST(functions, an_expansion_may_be_lazy_and_its_items_move_only) {
  int sum = 0;
  const auto lazily = [](int i) {
    return each(std::views::iota(0, i) | std::views::transform([](int k) { return std::make_unique<int>(k); }));
  };
  (void)(from(numbers(4)) | stage("expand", lazily) | sink("sum", [&](std::unique_ptr<int> p) { sum += *p; }) | run());
  EXPECT_EQ(sum, 0 + 1 + 3 + 6);
}

TEST(functions, move_only_items_go_all_the_way) {
  std::vector<std::unique_ptr<int>> items;
  for (int i = 0; i < 50; ++i) items.push_back(std::make_unique<int>(i));
  int sum = 0;
  (void)(from(std::move(items)) | stage("pass", [](std::unique_ptr<int> p) { return p; }, {.workers = 3}) |
         stage("look", [](const std::unique_ptr<int>& p) { return *p; }) | sink("sum", [&](int i) { sum += i; }) |
         run());
  EXPECT_EQ(sum, 49 * 50 / 2);
}

TEST(functions, an_lvalue_range_is_referred_to_and_unchanged) {
  std::list<std::string> names{"a", "b", "c"};
  std::string all;
  (void)(from(names) | sink("s", [&](std::string s) { all += s; }) | run());
  EXPECT_EQ(all, "abc");
  EXPECT_EQ(names, (std::list<std::string>{"a", "b", "c"}));
}

TEST(functions, a_range_may_be_a_stream_and_is_not_read_ahead) {
  std::istringstream words("one two three");
  std::vector<std::string> got;
  auto stream = std::views::istream<std::string>(words);
  (void)(from(stream) | sink("s", [&](std::string s) { got.push_back(s); }) | run());
  EXPECT_EQ(got, (std::vector<std::string>{"one", "two", "three"}));
}

TEST(functions, a_callable_is_a_source_with_or_without_a_stop_token) {
  int n = 0, sum = 0;
  (void)(from([&]() -> std::optional<int> { return n < 5 ? std::optional(++n) : std::nullopt; }) |
         sink("s", [&](int i) { sum += i; }) | run());
  EXPECT_EQ(sum, 15);
  bool possible = false;
  (void)(from([&](std::stop_token stop) -> std::optional<int> {
           possible = stop.stop_possible();
           return std::nullopt;
         }) |
         sink("s", [](int) {}) | run());
  EXPECT_TRUE(possible);
}

TEST(functions, references_mutable_values_member_functions_and_generic_lambdas) {
  struct shot {
    int number = 0;
    int twice() const { return 2 * number; }
  };
  std::vector<shot> shots{{1}, {2}, {3}};
  int sum = 0;
  (void)(from(shots) | stage("by reference", [](shot& s) { return shot{s.number + 1}; }) |
         stage("member", &shot::twice) | stage("generic", [](auto i) { return i + 1; }) |
         stage("rvalue", [](int&& i) { return std::string(static_cast<std::size_t>(i), 'x'); }) |
         sink("counts",
              [&sum, calls = 0](const std::string& s) mutable { sum += static_cast<int>(s.size()) + 0 * ++calls; }) |
         run());
  EXPECT_EQ(sum, 5 + 7 + 9);
}

TEST(functions, a_factory_runs_once_per_worker_on_its_thread) {
  std::mutex m;
  std::set<std::thread::id> made_on;
  std::atomic<int> made = 0, elsewhere = 0;
  const auto r = from(numbers(300)) |
                 stage("work", per_worker([&] {
                         ++made;
                         const std::scoped_lock lock(m);
                         made_on.insert(std::this_thread::get_id());
                         return [&elsewhere, home = std::this_thread::get_id(), calls = 0](int i) mutable {
                           ++calls;
                           elsewhere += home != std::this_thread::get_id();
                           return i + 0 * calls;
                         };
                       }),
                       {.workers = 4}) |
                 sink("s", [](int) {}) | run();
  EXPECT_EQ(made, 4);
  EXPECT_EQ(made_on.size(), 4u);
  EXPECT_EQ(elsewhere, 0);
  EXPECT_EQ(r.delivered, 300u);
}

TEST(functions, items_are_worked_on_at_the_same_time) {
  testing::latch_gate gate;  // opens only when all three workers are in the function at once
  std::jthread opener([&] {
    gate.until_arrived(3);
    gate.open();
  });
  const auto r = from(numbers(3)) | sink("meet", [&](int) { gate.pass(); }, {.workers = 3}) | run();
  EXPECT_EQ(r.delivered, 3u);
}

TEST(functions, what_is_ahead_of_a_slow_stage_is_bounded_by_capacities_and_workers) {
  std::atomic<int> made = 0, taken = 0;
  std::atomic<int> worst = 0;
  const auto note = [&] {
    const int ahead = made - taken;
    int seen = worst;
    while (ahead > seen && !worst.compare_exchange_weak(seen, ahead)) {
    }
  };
  (void)(from([&]() -> std::optional<int> {
           if (made == 2000) return std::nullopt;
           ++made;
           note();
           return 1;
         }) |
         stage("a", [](int i) { return i; }, {.workers = 2, .capacity = 3}) |
         sink("b", [&](int) { ++taken; }, {.workers = 1, .capacity = 4}) | run());
  EXPECT_EQ(taken, 2000);
  // In the source's hand, waiting before a, with a's workers, waiting before b, with b's worker.
  EXPECT_LE(worst, 1 + 3 + 2 + 4 + 1);
}

}  // namespace
}  // namespace penstock
