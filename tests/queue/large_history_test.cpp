// Long runs under load, judged by the rules of large_history.hpp: nothing lost, doubled, reordered, over capacity, told
// closed early, or told full or empty when that was impossible; whatever is mixed, and whether it ends by close or by
// cancel in the middle.
#include "tests/queue/large_history.hpp"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;

#ifdef __SANITIZE_THREAD__
constexpr number each = 1500;  // pushes of one producer
#else
constexpr number each = 6000;
#endif
constexpr std::size_t producers = 3, consumers = 3;

template <class Queue>
void produce(witness<Queue>& does, dice d, std::size_t self) {
  const number first = (self + 1) << 32;
  for (number done = 0; done < each;) {
    shake(d);
    switch (below(d, 6)) {
      case 0:
        if (!does.push(first + done)) return;
        ++done;
        break;
      case 1:
        done += does.try_push(first + done);
        break;
      case 2:
        done += does.push(first + done, std::chrono::microseconds(below(d, 40)));
        break;
      case 3:
        done += does.push_range(first + done, 1 + below(d, 20), std::chrono::microseconds(below(d, 60)));
        break;
      case 4: {
        const auto count = 1 + below(d, 100);
        const auto taken = does.push_range(first + done, count);
        if (taken < count) return;
        done += taken;
        break;
      }
      default:
        if (does.is_closed()) return;
        break;
    }
  }
}

template <class Queue>
void consume(witness<Queue>& does, dice d) {
  for (;;) {
    shake(d);
    switch (below(d, 7)) {
      case 0:
        if (!does.pop()) return;
        break;
      case 1:
        does.try_pop();
        break;
      case 2:
        does.pop(std::chrono::microseconds(below(d, 40)));
        break;
      case 3:
        if (!does.take()) return;
        break;
      case 4:
        does.take(20us);
        break;
      case 5:
        does.pop_some(1 + below(d, 20), 20us);
        break;
      default:
        if (does.pop_some(1 + below(d, 100)) == 0) return;
        break;
    }
  }
}

template <class Queue>
void runs_without_problems(std::size_t capacity, bool cancels) {
  constexpr std::uint64_t seed = 7;
  Queue queue(capacity);
  history_clock clock;
  std::vector<witness<Queue>> witnesses(producers + consumers + 1, witness<Queue>(queue, clock));
  std::atomic<std::size_t> left = producers;
  team everyone(producers + consumers + cancels);
  everyone.run([&](std::size_t self) {
    if (self < producers) {
      produce(witnesses[self], dice_of(seed, capacity, self), self);
      if (--left == 0) witnesses[self].close();
    } else if (self < producers + consumers) {
      consume(witnesses[self], dice_of(seed, capacity, self));
    } else {
      while (queue.statistics().popped < producers * each / 2 && left != 0) std::this_thread::yield();
      witnesses[self].cancel();
    }
  });
  history h;
  for (const auto& w : witnesses) h.threads.push_back(w.calls());
  for (const auto& problem : problems_in(h, capacity)) ADD_FAILURE() << problem << ", capacity " << capacity;
  EXPECT_LE(queue.statistics().peak_size, capacity);
}

template <class Kind>
class any_queue_under_load : public ::testing::Test {};
TYPED_TEST_SUITE(any_queue_under_load, queue_kinds, kind_names);

TYPED_TEST(any_queue_under_load, keeps_the_rules_until_it_is_closed) {
  for (const std::size_t capacity : {1u, 2u, 7u, 64u})
    runs_without_problems<queue_of<TypeParam, number>>(capacity, false);
}
TYPED_TEST(any_queue_under_load, keeps_the_rules_when_it_is_cancelled) {
  for (const std::size_t capacity : {1u, 3u, 16u, 1024u})
    runs_without_problems<queue_of<TypeParam, number>>(capacity, true);
}
TYPED_TEST(any_queue_under_load, keeps_the_rules_whatever_the_items_are) {
  runs_without_problems<queue_of<TypeParam, boxed>>(5, true);
  runs_without_problems<queue_of<TypeParam, text>>(33, false);
  runs_without_problems<queue_of<TypeParam, large>>(4, true);
  runs_without_problems<queue_of<TypeParam, dawdling>>(2, false);
  runs_without_problems<queue_of<TypeParam, dawdling>>(6, true);
}

}  // namespace
}  // namespace penstock::testing
