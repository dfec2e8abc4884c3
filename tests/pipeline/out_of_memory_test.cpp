// Memory that cannot be had: each allocation of a run fails once, one run after the other, whoever asks for it. The run
// ends, every thread is joined, and every item is accounted for: it came out once, or is handed back, or the run has failed
// and says so.
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <ranges>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/thread_stage.hpp>

#include "tests/pipeline/scarcity.hpp"

namespace penstock {
namespace {

using testing::parcel;
using testing::parcels;
using testing::scarcity;
using testing::with_each_allocation_failing_once;

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

// Not after all the others: a failure that cannot be listed ends a run that was to go on after failures.
TEST(out_of_memory, ends_a_run_whose_items_fail_at_once) {
  constexpr std::uint64_t many = 10'000;
  int failed = 0;
  for (int refuse = 0; refuse < 10; ++refuse) {
    std::optional<scarcity> shortage;  // of what the failure of the first item asks for
    const auto first_fails = [&](std::uint64_t i) {
      if (i == 1) shortage.emplace(refuse), throw 1;
      if (i == 2) shortage.reset();
      return i;
    };
    try {
      (void)(from(std::views::iota(std::uint64_t{1}, many)) |
             stage("first", first_fails, {.workers = 1, .on_error = on_error::skip}) |
             sink("sink", [](std::uint64_t) {}) | run());
    } catch (const run_error& e) {
      shortage.reset();
      EXPECT_LT(e.report().entered, many / 2) << e.report();
      ++failed;
    }
  }
  EXPECT_GT(failed, 0);
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

// The first item waits for the stop, and the others, where in order, for the first.
TEST_P(out_of_memory, ends_a_run_that_is_stopped_while_results_wait) {
  with_each_allocation_failing_once(1, [] {
    std::stop_source stop;
    std::atomic<int> done = 0;
    const auto wait = [&](const parcel& p, const std::stop_token& asked) {
      while (p.number == 1 && !asked.stop_requested()) std::this_thread::yield();
      if (p.number > 1 && ++done == 5) stop.request_stop();
      return p;
    };
    return from(parcels(8)) | stage("waits", wait, {.workers = 2, .ordered = GetParam()}) |
           sink("sink", arrive, {.workers = 1, .capacity = 8}) | run({.stop = stop.get_token()});
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

// An item takes far longer than those of its batch: others look after them.
TEST_P(out_of_memory, ends_a_run_whose_batch_is_stuck) {
  const auto slow_once = [](parcel p) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(p.number == 250 ? 3 : 0);
    while (std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return p;
  };
  with_each_allocation_failing_once(1, [&] {
    return from(parcels(300)) | stage("slow once", slow_once, {.workers = 2, .ordered = GetParam()}) |
           sink("sink", arrive) | run();
  });
}

INSTANTIATE_TEST_SUITE_P(ordered, out_of_memory, ::testing::Bool());

// Two stages before one where nobody works. Their results are larger than their items: who carries a batch on needs more
// room for what comes of it.
template <std::size_t Bytes>
struct bale {
  std::array<char, Bytes> content;
};

TEST(out_of_memory, a_batch_is_not_carried_on_without_room_for_its_results) {
  for (int refuse = 0; refuse < 6; ++refuse) {
    const std::vector<std::unique_ptr<node>> no_other;
    supervisor watch(no_other);
    crew all(no_other, watch);
    run_control control({});
    thread_stage<bale<2100>, void (*)(const bale<2100>&)> last(
        "last", [](const bale<2100>&) {}, {.capacity = 100}, nullptr, control);
    thread_stage<bale<10>, bale<2100> (*)(const bale<10>&)> second(
        "second", [](const bale<10>&) { return bale<2100>{}; }, {}, &last, control);
    thread_stage<int, bale<10> (*)(int)> first(
        "first", [](int) { return bale<10>{}; }, {}, &second, control);
    crew_member me(all, true);
    const auto put = [&] {
      envelope<int> e{.item = box<int>(0)};
      ASSERT_EQ(first.reserve(1), 1u);
      first.accept(&e, 1);
    };
    const auto work = [&] {
      while (first.turn(me) || second.turn(me)) me.deliver();
    };
    for (int i = 0; i < 32; ++i) {  // they are quick, so the next are taken together
      put();
      work();
    }
    for (int i = 0; i < 5; ++i) put();
    try {
      const scarcity s(refuse);
      work();
    } catch (const std::bad_alloc&) {  // before anything is taken
    }
    work();
    EXPECT_EQ(last.room(), 63u) << "the allocation after " << refuse;
  }
}

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
