// A program of its own, because it replaces sched_yield() for the whole process: every yield takes as long as the test says,
// as on a machine where unrelated programs want the processors.
#include <atomic>
#include <chrono>
#include <optional>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <sched.h>

#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/task.hpp>
#include <penstock/queue/bounded_queue.hpp>

namespace {

using namespace std::chrono_literals;
using clock_of_test = std::chrono::steady_clock;

std::atomic<std::chrono::nanoseconds> length_of_yield{0ns};
std::atomic<int> yields_of_all = 0;
thread_local int yields_of_thread = 0;

void spend(std::chrono::nanoseconds time) {
  for (const auto end = clock_of_test::now() + time; clock_of_test::now() < end;) {
  }
}

}  // namespace

extern "C" int sched_yield() noexcept {
  ++yields_of_thread;
  ++yields_of_all;
  spend(length_of_yield.load());
  return 0;
}

namespace penstock {
namespace {

// How often a thread yields in a call that waits; release() ends the wait once the thread sleeps.
template <class Call, class Sleeps, class Release>
int yields_in(Call call, Sleeps sleeps, Release release) {
  length_of_yield = 100us;
  int yields = 0;
  std::jthread waiting([&] {
    call();
    yields = yields_of_thread;
  });
  while (!sleeps()) {
  }
  release();
  waiting.join();
  return yields;
}

TEST(yields, a_thread_sleeps_after_one_slow_yield) {
  for (const std::size_t capacity : {1u, 16u, 1024u}) {
    bounded_queue<int> empty(capacity);
    const auto consumer_sleeps = [&] { return empty.statistics().pop_waits > 0; };
    const auto push = [&] { empty.push(1); };
    EXPECT_LE(yields_in([&] { (void)empty.pop(); }, consumer_sleeps, push), 1);

    bounded_queue<int> more(capacity);
    std::vector<int> into;
    EXPECT_LE(yields_in([&] { (void)more.pop_some(into, 4); }, [&] { return more.statistics().pop_waits > 0; },
                        [&] { more.push(1); }),
              1);

    bounded_queue<int> full(capacity);
    while (full.try_push(1) == conqueue_status::success) {
    }
    EXPECT_LE(
        yields_in([&] { full.push(2); }, [&] { return full.statistics().push_waits > 0; }, [&] { (void)full.pop(); }),
        1);

    bounded_queue<int> fuller(capacity);
    while (fuller.try_push(1) == conqueue_status::success) {
    }
    std::vector<int> items{2};
    EXPECT_LE(yields_in([&] { fuller.push_range(items); }, [&] { return fuller.statistics().push_waits > 0; },
                        [&] { (void)fuller.pop(); }),
              1);
  }
}

TEST(yields, a_task_waits_after_one_slow_yield) {
  bounded_queue<int> empty(4), full(1);
  full.push(1);
  const auto pops = [&]() -> task<> { (void)co_await async_pop(empty); };
  const auto pushes = [&]() -> task<> { (void)co_await async_push(full, 2); };
  EXPECT_LE(yields_in([&] { run(pops()); }, [&] { return empty.statistics().pop_waits > 0; }, [&] { empty.push(1); }),
            1);
  EXPECT_LE(
      yields_in([&] { run(pushes()); }, [&] { return full.statistics().push_waits > 0; }, [&] { (void)full.pop(); }),
      1);
}

// Two threads at a time may be in a yield; then there are none for 32 times as long as one took.
TEST(yields, hand_overs_do_without_where_each_would_take_a_time_slice) {
  length_of_yield = 2ms;
  yields_of_all = 0;
  const auto start = clock_of_test::now();
  {
    bounded_queue<int> there(1), back(1);
    std::jthread echo([&] {
      while (auto item = there.pop()) back.push(*item);
    });
    for (int i = 0; i < 300; ++i) {
      there.push(i);
      EXPECT_EQ(back.pop(), i);
    }
    there.close();
  }
  const auto took = clock_of_test::now() - start;
  EXPECT_LE(yields_of_all, 2 * (1 + took / (32 * 2ms)));
}

// An item that stays on its way into the queue for a while: its thread was interrupted there.
struct slow_to_move {
  slow_to_move() = default;
  slow_to_move(slow_to_move&& other) noexcept : interrupted(other.interrupted) {
    if (!interrupted) return;
    *interrupted = true;
    std::this_thread::sleep_for(200ms);
    interrupted = nullptr;
  }
  slow_to_move& operator=(slow_to_move&&) noexcept = default;
  std::atomic<bool>* interrupted = nullptr;
};

TEST(yields, a_wait_for_a_thread_between_two_instructions_yields_no_more_than_once) {
  length_of_yield = 40ms;
  bounded_queue<slow_to_move> queue(1);
  std::atomic<bool> interrupted = false;
  std::jthread producer([&] {
    slow_to_move item;
    item.interrupted = &interrupted;
    queue.push(std::move(item));
  });
  while (!interrupted) {
  }
  const int before = yields_of_thread;
  const auto start = clock_of_test::now();
  while (!queue.try_pop()) {
  }
  EXPECT_LE(yields_of_thread - before, 1 + (clock_of_test::now() - start) / 1s);
}

}  // namespace
}  // namespace penstock
