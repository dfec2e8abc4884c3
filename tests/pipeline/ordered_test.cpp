// `ordered`: results leave in the order of the items, whichever worker is done first, and nothing stalls on a gap.
#include <cstdint>
#include <optional>
#include <random>
#include <ranges>
#include <string>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

using testing::numbers;

// Work of a random length, so that workers finish in every order.
void dawdle(unsigned seed) {
  std::minstd_rand random(seed);
  for (unsigned i = random() % 8; i > 0; --i) std::this_thread::yield();
}

TEST(ordered, results_leave_in_the_order_of_the_items) {
  for (const std::size_t capacity : {1u, 3u, 16u}) {
    std::vector<int> got;
    (void)(from(numbers(2000)) |
           stage("a",
                 [](int i) {
                   dawdle(static_cast<unsigned>(i));
                   return i;
                 },
                 {.workers = 4, .capacity = capacity, .ordered = true}) |
           sink("s", [&](int i) { got.push_back(i); }) | run());
    ASSERT_EQ(got, numbers(2000));
  }
}

// Items that cost nothing go in batches, and batches past empty queues.
TEST(ordered, batches_leave_in_the_order_of_the_items) {
  for (const std::size_t capacity : {300u, 1024u}) {
    constexpr std::uint64_t items = 1'000'000;
    std::uint64_t expected = 0, out_of_order = 0;
    (void)(from(std::views::iota(std::uint64_t{0}, items)) |
           stage("a", [](std::uint64_t i) { return i; }, {.workers = 4, .capacity = capacity, .ordered = true}) |
           sink("s", [&](std::uint64_t i) { out_of_order += i != expected++; }, {.capacity = capacity}) | run());
    EXPECT_EQ(expected, items) << capacity;
    EXPECT_EQ(out_of_order, 0) << capacity;
  }
}

// Now and then an item takes long, so that places that are promised and results without one are under way together.
TEST(ordered, long_and_short_items_with_little_room_behind_neither_stall_nor_change_places) {
  for (const std::size_t room : {1u, 2u, 8u, 64u}) {
    constexpr int items = 30'000;
    int expected = 0, out_of_order = 0;
    (void)(from(std::views::iota(0, items)) |
           stage("a",
                 [](int i) -> std::optional<int> {
                   if (i % 4096 > 4000) dawdle(static_cast<unsigned>(i));
                   if (i % 11 == 0) return std::nullopt;
                   return i;
                 },
                 {.workers = 4, .capacity = 64, .ordered = true}) |
           sink("s",
                [&](int i) {
                  while (expected % 11 == 0) ++expected;
                  out_of_order += i != expected++;
                },
                {.capacity = room}) |
           run());
    EXPECT_EQ(out_of_order, 0) << room;
    EXPECT_GE(expected, items - 1) << room;
  }
}

TEST(ordered, failed_and_filtered_items_do_not_stall_the_rest) {
  std::vector<int> got;
  const auto r = from(numbers(2000)) |
                 stage("a",
                       [](int i) -> std::optional<int> {
                         dawdle(static_cast<unsigned>(i));
                         if (i % 7 == 0) throw std::runtime_error("no");
                         if (i % 5 == 0) return std::nullopt;
                         return i;
                       },
                       {.workers = 4, .capacity = 2, .ordered = true, .on_error = on_error::skip}) |
                 sink("s", [&](int i) { got.push_back(i); }) | run();
  testing::expect_sums_meet(r);
  std::vector<int> ideal;
  for (int i = 1; i <= 2000; ++i)
    if (i % 7 && i % 5) ideal.push_back(i);
  EXPECT_EQ(got, ideal);
}

TEST(ordered, expansions_stay_together_and_in_order) {
  std::vector<int> got, ideal;
  (void)(from(numbers(300)) |
         stage("a",
               [](int i) {
                 dawdle(static_cast<unsigned>(i));
                 std::vector<int> out;
                 for (int k = 0; k < i % 4; ++k) out.push_back(10 * i + k);
                 return each(out);
               },
               {.workers = 4, .capacity = 2, .ordered = true}) |
         sink("s", [&](int i) { got.push_back(i); }) | run());
  for (int i = 1; i <= 300; ++i)
    for (int k = 0; k < i % 4; ++k) ideal.push_back(10 * i + k);
  EXPECT_EQ(got, ideal);
}

TEST(ordered, a_slow_item_does_not_stop_the_other_workers_before_the_window_is_full) {
  testing::latch_gate gate;
  std::atomic<int> others = 0;
  std::vector<int> got;
  // Item 1 is held until 6 others are finished: with 2 workers and a window of 2 + 6 that must be possible.
  std::jthread opener([&] {
    while (others < 6) std::this_thread::yield();
    gate.open();
  });
  (void)(from(numbers(20)) |
         stage("a",
               [&](int i) {
                 if (i == 1)
                   gate.pass();
                 else
                   ++others;
                 return i;
               },
               {.workers = 2, .capacity = 6, .ordered = true}) |
         sink("s", [&](int i) { got.push_back(i); }) | run());
  EXPECT_EQ(got, numbers(20));
}

TEST(ordered, several_ordered_stages_keep_the_order_to_the_end) {
  std::vector<std::string> got, ideal;
  (void)(from(numbers(500)) |
         stage("a", [](int i) { return dawdle(static_cast<unsigned>(i)), i; }, {.workers = 3, .ordered = true}) |
         stage("b", [](int i) { return dawdle(static_cast<unsigned>(i + 7)), std::to_string(i); },
               {.workers = 4, .ordered = true}) |
         sink("s", [&](std::string s) { got.push_back(std::move(s)); }) | run());
  for (int i = 1; i <= 500; ++i) ideal.push_back(std::to_string(i));
  EXPECT_EQ(got, ideal);
}

TEST(ordered, an_expansion_that_throws_fails_its_item) {
  const auto r = from(numbers(20)) |
                 stage("a",
                       [](int i) {
                         return each(std::views::iota(0, 2) | std::views::transform([i](int k) {
                                       if (i % 5 == 0) throw std::runtime_error("torn");
                                       return k;
                                     }));
                       },
                       {.workers = 3, .ordered = true, .on_error = on_error::skip}) |
                 sink("s", [](int) {}) | run();
  testing::expect_sums_meet(r);
  EXPECT_EQ(r.failed, 4u);
  EXPECT_EQ(r.delivered, 32u);
}

}  // namespace
}  // namespace penstock
