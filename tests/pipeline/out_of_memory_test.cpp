// Memory that cannot be had: each allocation of a run fails once, one run after the other, whoever asks for it. The run
// ends, every thread is joined, and every item is accounted for: it came out once, or is handed back, or the run has failed
// and says so.
#include <array>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <new>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>

#include <gtest/gtest.h>

#include "tests/pipeline/pipeline_testing.hpp"

namespace penstock {
namespace {

// Counts the program's allocations down and lets one fail, or all from then on.
class scarcity {
 public:
  explicit scarcity(int allocations_until, bool lasts = false) {
    lasts_ = lasts;
    left_ = allocations_until;
  }
  ~scarcity() { left_ = none; }
  scarcity(const scarcity&) = delete;
  scarcity& operator=(const scarcity&) = delete;
  [[nodiscard]] static bool came() { return left_ < 0; }
  [[nodiscard]] static bool is_now() { return lasts_ ? left_ == 0 : left_ >= 0 && left_-- == 0; }

 private:
  static constexpr int none = -1;
  static inline std::atomic<int> left_ = none;
  static inline std::atomic<bool> lasts_ = false;
};

// Counts who is alive, so that nothing leaks and nothing is destroyed twice, and who has arrived.
struct parcel {
  explicit parcel(int n) : number(n) { ++alive; }
  parcel(const parcel& other) : number(other.number) { ++alive; }
  parcel(parcel&& other) : number(other.number) { ++alive; }  // may throw, as far as is known: it travels on the heap
  parcel& operator=(const parcel&) = default;
  ~parcel() { --alive; }
  void arrive() const { ++arrived, ++arrivals[static_cast<std::size_t>(number)]; }
  int number;
  friend std::size_t item_bytes(const parcel&) { return 30; }
  friend std::string item_label(const parcel& p) {
    return "a parcel with a number that needs memory: " + std::to_string(p.number);
  }
  static constexpr int most = 400;
  static inline std::atomic<int> alive = 0, arrived = 0;
  static inline std::array<std::atomic<int>, most> arrivals{};
};

void expect_accounts(const report& r, int times_each) {
  EXPECT_TRUE(r.sums_meet()) << r;
  EXPECT_EQ(r.delivered, static_cast<std::uint64_t>(parcel::arrived)) << r;
  for (const auto& times : parcel::arrivals) EXPECT_LE(times, times_each) << "it arrived twice";
  if (r.outcome == outcome::failed) return;  // one may be missing in the list: there was no memory for it
  EXPECT_EQ(r.returned, r.unfinished.size()) << r;
  for (const auto& left : r.unfinished) EXPECT_TRUE(left.item.has_value()) << left.place.number;
}

// Runs it again and again, until it asks for no more than it is given, whatever turn it takes. times_each: how often an
// item arrives that gets through.
void with_each_allocation_failing_once(int times_each, const std::function<report()>& go) {
  int refused = 0;
  for (int never = 0, refuse = 0; never < 20; ++refuse) {
    SCOPED_TRACE(::testing::Message() << "the allocation after " << refuse);
    parcel::arrived = 0;
    for (auto& times : parcel::arrivals) times = 0;
    bool came = true;
    std::optional<report> r;
    std::string said;
    try {
      const scarcity s(refuse);
      r = go();
      came = scarcity::came();
    } catch (const run_error& e) {
      r = std::move(e.report());
      said = e.what();
    } catch (const std::bad_alloc&) {  // it could not begin, or not say how it ended
    }
    if (r) expect_accounts(*r, times_each);
    if (r && r->outcome == outcome::failed) {
      EXPECT_NE(said.find("bad_alloc"), std::string::npos) << said;
    }
    r.reset();
    ASSERT_EQ(parcel::alive, 0) << "an item leaked, or was destroyed twice";
    ASSERT_FALSE(::testing::Test::HasFailure());
    came ? ++refused : ++never;
  }
  EXPECT_GT(refused, 20) << "nothing was refused, so nothing was tested";
}

auto parcels(int count) {
  return [count, made = 0]() mutable -> std::optional<parcel> {
    if (made == count) return std::nullopt;
    return parcel(++made);
  };
}
const auto same = [](parcel p) { return p; };
const auto arrive = [](const parcel& p) { p.arrive(); };
const auto arrive_slowly = [](const parcel& p) {
  for (int i = 0; i < 50; ++i) std::this_thread::yield();
  p.arrive();
};
const auto fail_if_odd = [](const parcel& p) -> parcel {
  if (p.number % 2) throw std::runtime_error("a text that needs memory, however short it may seem");
  return p;
};

class out_of_memory : public ::testing::TestWithParam<bool> {};

TEST_P(out_of_memory, ends_a_run_of_several_stages) {
  const auto twice = [](const parcel& p) {
    return each(std::views::iota(0, 2) | std::views::transform([n = p.number](int) { return parcel(n); }));
  };
  with_each_allocation_failing_once(2, [&] {
    return from(parcels(20)) | stage("as it comes, with a long name", same, {.workers = 2, .ordered = GetParam()}) |
           stage("twice", twice, {.workers = 2, .capacity = 3, .ordered = GetParam()}) |
           sink("sink", arrive, {.workers = 2, .capacity = 3}) | run();
  });
}

TEST_P(out_of_memory, ends_a_run_with_threads_of_a_stage_s_own) {
  with_each_allocation_failing_once(1, [] {
    return from(parcels(20)) |
           stage("each worker has a function of its own", per_worker([] { return same; }),
                 {.workers = 2, .ordered = GetParam()}) |
           sink("sink", arrive) | run();
  });
}

TEST_P(out_of_memory, ends_a_run_whose_items_fail) {
  with_each_allocation_failing_once(1, [] {
    return from(parcels(10)) |
           stage("fails with every other item", fail_if_odd,
                 {.workers = 2,
                  .ordered = GetParam(),
                  .on_error = on_error::skip,
                  .retry = {.attempts = 2, .backoff = std::chrono::nanoseconds(0)}}) |
           sink("sink", arrive) | run({.on_failure = [](const failure&) {}});
  });
}

TEST_P(out_of_memory, ends_a_run_with_dead_letters) {
  with_each_allocation_failing_once(1, [] {
    std::atomic<std::uint64_t> letters = 0;
    const auto letter = [&](unfinished_item&& left) { letters += left.item.has_value(); };
    report r = from(parcels(10)) |
               stage("fails with every other item", fail_if_odd,
                     {.workers = 2, .ordered = GetParam(), .on_error = on_error::skip, .dead_letter = letter}) |
               sink("sink", arrive) | run();
    EXPECT_EQ(letters + r.delivered, 10u) << "it went well, so they are all there";
    return r;
  });
}

TEST_P(out_of_memory, ends_a_run_that_is_stopped) {
  with_each_allocation_failing_once(1, [] {
    std::stop_source stop;
    const auto stops = [&](parcel p) {
      if (p.number == 5) stop.request_stop();
      return p;
    };
    return from(parcels(30)) | stage("stops it at the fifth item", stops, {.workers = 2, .ordered = GetParam()}) |
           sink("sink", arrive, {.workers = 1, .capacity = 2}) | run({.stop = stop.get_token()});
  });
}

TEST_P(out_of_memory, ends_a_run_with_a_range_of_workers_and_weights) {
  with_each_allocation_failing_once(1, [] {
    return from(parcels(10)) | stage("few or many", same, {.workers = {1, 3}, .ordered = GetParam()}) |
           sink("sink", arrive_slowly, {.capacity_bytes = 30}) | run();
  });
}

// Batches go through in one thread's hands.
TEST_P(out_of_memory, ends_a_run_with_results_larger_than_their_items) {
  struct large {
    std::size_t number;
    std::array<std::size_t, 128> rest;
  };
  const auto enlarge = [](std::size_t n) { return large{n, {}}; };
  with_each_allocation_failing_once(1, [&] {
    return from(std::views::iota(std::size_t{0}, std::size_t{300})) |
           stage("as it comes", [](std::size_t n) { return n; }, {.workers = 2, .ordered = GetParam()}) |
           stage("enlarge", enlarge, {.workers = 2}) |
           sink("sink", [](const large& l) { ++parcel::arrived, ++parcel::arrivals[l.number]; }) | run();
  });
}

// What is done of the batch is sent on by the other worker, or it would wait for itself. (He is free: what he has done
// meanwhile does not have to wait for its turn in his hands.)
TEST_P(out_of_memory, ends_a_run_whose_batch_is_stuck) {
  const auto waits = [](parcel p, std::stop_token stop) {
    while (p.number == 250 && parcel::arrived < 249 && !stop.stop_requested()) std::this_thread::yield();
    return p;
  };
  with_each_allocation_failing_once(1, [&] {
    return from(parcels(300)) |
           stage("waits for those before it", waits, {.workers = 2, .capacity = 300, .ordered = GetParam()}) |
           sink("sink", arrive) | run();
  });
}

INSTANTIATE_TEST_SUITE_P(ordered, out_of_memory, ::testing::Bool());

TEST(out_of_memory, ends_an_open_pipeline) {
  with_each_allocation_failing_once(1, [] {
    auto line = from<parcel>() | stage("same", same, {.workers = 2}) | sink("sink", arrive, {.workers = 2}) | start();
    for (int i = 0; i < 10; ++i)
      if (!line.push(parcel(i))) break;
    line.close();
    return line.wait();
  });
}

TEST(out_of_memory, that_lasts_ends_the_run) {
  auto line = from<int>() | sink("sink", [](int) {}) | start();
  {
    const scarcity s(0, true);
    while (line.push(1)) {
    }
  }
  EXPECT_THROW((void)line.wait(), run_error);
}

TEST(out_of_memory, for_a_report_lets_it_be_asked_for_again) {
  int refused = 0;
  for (int refuse = 0; refuse < 60; ++refuse) {
    auto line = from<parcel>() | sink("sink", arrive) | start();
    line.push(parcel(1));
    line.request_stop();
    std::optional<report> r;
    try {
      const scarcity s(refuse);
      r = line.wait();
    } catch (const run_error&) {
      continue;  // not for the report, but for the item in it
    } catch (const std::bad_alloc&) {
      ++refused;
      r = line.wait();
    }
    EXPECT_EQ(r->delivered + r->unfinished.size(), 1u) << refuse;
  }
  EXPECT_GT(refused, 1) << "nothing was refused, so nothing was tested";
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
