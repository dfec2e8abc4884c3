// Memory that cannot be had: each allocation of a run fails once, one run after the other, whoever asks for it. The run
// ends, every thread is joined, and every item is accounted for.
#include <atomic>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

// Counts the program's allocations down and lets one fail.
class scarcity {
 public:
  explicit scarcity(int allocations_until) { left_ = allocations_until; }
  ~scarcity() { left_ = -1; }
  scarcity(const scarcity&) = delete;
  scarcity& operator=(const scarcity&) = delete;
  [[nodiscard]] static bool came() { return left_ < 0; }
  [[nodiscard]] static bool is_now() { return left_ >= 0 && left_-- == 0; }

 private:
  static inline std::atomic<int> left_ = -1;
};

// Counts who is alive: nothing leaks, nothing is destroyed twice.
struct parcel {
  explicit parcel(int n) : number(n) { ++alive; }
  parcel(const parcel& other) : number(other.number) { ++alive; }
  parcel(parcel&& other) noexcept : number(other.number) { ++alive; }
  parcel& operator=(const parcel&) = default;
  ~parcel() { --alive; }
  int number;
  friend std::size_t item_bytes(const parcel&) { return 30; }
  friend std::string item_label(const parcel& p) {
    return "a parcel with a number that needs memory: " + std::to_string(p.number);
  }
  static inline std::atomic<int> alive = 0;
};

// Runs it again and again, until it asks for no more than it is given.
void with_each_allocation_failing_once(const std::function<report()>& go) {
  int refused = 0;
  for (;; ++refused) {
    SCOPED_TRACE(::testing::Message() << "the allocation after " << refused);
    bool came = true;
    try {
      const scarcity s(refused);
      const report r = go();
      came = scarcity::came();
      testing::expect_sums_meet(r);
    } catch (const run_error& e) {
      EXPECT_EQ(e.report().outcome, outcome::failed);
      EXPECT_TRUE(e.report().sums_meet()) << e.report();
      // One of them may be what there was no memory to list for.
      EXPECT_LE(e.report().returned, e.report().unfinished.size() + 1);
    } catch (const std::bad_alloc&) {  // it could not begin, or not say how it ended
    }
    ASSERT_EQ(parcel::alive, 0) << "an item leaked, or was destroyed twice";
    if (!came) break;
    ASSERT_FALSE(::testing::Test::HasFailure());
  }
  EXPECT_GT(refused, 20) << "nothing was refused, so nothing was tested";
}

auto parcels(int count) {
  return [count, made = 0]() mutable -> std::optional<parcel> {
    if (made == count) return std::nullopt;
    return parcel(++made);
  };
}

class out_of_memory : public ::testing::TestWithParam<bool> {};

TEST_P(out_of_memory, ends_a_run_of_several_stages) {
  with_each_allocation_failing_once([] {
    return from(parcels(20)) | stage("same", [](parcel p) { return p; }, {.workers = 2, .ordered = GetParam()}) |
           stage(
               "twice",
               [](const parcel& p) {
                 return each(std::views::iota(0, 2) | std::views::transform([n = p.number](int) { return parcel(n); }));
               },
               {.workers = 2, .capacity = 3, .ordered = GetParam()}) |
           sink("sink", [](const parcel&) {}, {.workers = 2, .capacity = 3}) | run();
  });
}

TEST_P(out_of_memory, ends_a_run_whose_items_fail) {
  with_each_allocation_failing_once([] {
    return from(parcels(10)) |
           stage("fails",
                 [](const parcel& p) -> parcel {
                   if (p.number % 2) throw std::runtime_error("a text that needs memory, however short it may seem");
                   return p;
                 },
                 {.workers = 2,
                  .ordered = GetParam(),
                  .on_error = on_error::skip,
                  .retry = {.attempts = 2, .backoff = std::chrono::nanoseconds(0)}}) |
           sink("sink", [](const parcel&) {}) | run({.on_failure = [](const failure&) {}});
  });
}

TEST_P(out_of_memory, ends_a_run_that_is_stopped) {
  with_each_allocation_failing_once([] {
    std::stop_source stop;
    return from(parcels(30)) |
           stage("stops",
                 [&](parcel p) {
                   if (p.number == 5) stop.request_stop();
                   return p;
                 },
                 {.workers = 2, .ordered = GetParam()}) |
           sink("sink", [](const parcel&) {}, {.workers = 1, .capacity = 2}) | run({.stop = stop.get_token()});
  });
}

TEST_P(out_of_memory, ends_a_run_with_a_range_of_workers) {
  with_each_allocation_failing_once([] {
    return from(parcels(10)) |
           stage("few or many", [](parcel p) { return p; }, {.workers = {1, 3}, .ordered = GetParam()}) |
           sink("sink", [](const parcel&) {}, {.capacity_bytes = 100}) | run();
  });
}

INSTANTIATE_TEST_SUITE_P(ordered, out_of_memory, ::testing::Bool());

TEST(out_of_memory, ends_an_open_pipeline) {
  with_each_allocation_failing_once([] {
    auto line = from<parcel>() | stage("same", [](parcel p) { return p; }, {.workers = 2}) |
                sink("sink", [](const parcel&) {}, {.workers = 2}) | start();
    for (int i = 0; i < 10; ++i)
      if (!line.push(parcel(i))) break;
    line.close();
    return line.wait();
  });
}

}  // namespace
}  // namespace penstock

// NOLINTBEGIN: a program's own, as the standard allows. Not inline: g++ would see a new that ends in free().
[[gnu::noinline]] void* operator new(std::size_t size) {
  if (penstock::scarcity::is_now()) throw std::bad_alloc();
  if (void* const memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return penstock::scarcity::is_now() ? nullptr : std::malloc(size);
}
[[gnu::noinline]] void* operator new(std::size_t size, std::align_val_t alignment) {
  if (penstock::scarcity::is_now()) throw std::bad_alloc();
  const auto each = static_cast<std::size_t>(alignment);
  if (void* const memory = std::aligned_alloc(each, (size + each - 1) / each * each)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
// NOLINTEND
