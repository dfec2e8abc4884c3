// What goes in comes out, once, in order, whole, and with everything that was written before it.
//
// Cases that the suites of other channels check, and where they are here:
//   Go fifo asynchronous, TestChan 100 in order; crossbeam spsc, len    one_to_one_in_order, the_size_follows
//   Go fifo synchronous (a chain of receivers that take turns)          a_chain_of_threads_takes_turns
//   Go goroutines (a daisy chain)                                       through_a_hundred_queues
//   Go sieve1, sieve2                                                   a_sieve_of_queues_finds_primes
//   Go TestMultiConsumer, ken/chan1; crossbeam mpmc, mpsc stress_shared,
//     CPython test_many_threads(_nonblock, _timeout)                    many_to_many_each_item_once
//   Go chanbarrier, race/testdata chan                                  a_pop_sees_what_was_written_before_the_push,
//                                                                       a_queue_of_one_place_is_a_mutex, of_n_a_semaphore
//   Go TestChanSendInterface, crossbeam channel_through_channel         a_queue_goes_through_a_queue
//   crossbeam stress_iter, mpsc recv_try_iter                           requests_and_answers
//   crossbeam iter nested_recv_iter, recv_iter_break, into_iter         loops_nest_break_and_go_on
//   mpsc stream_send_recv_stress, shared_chan_stress                    each_item_by_another_thread
//   mpsc recv_a_lot                                                     the_size_follows (a long way round the ring)
//   Go nonblock (four item types), CPython basic_queue_test             covered by the typed differential test
//   Go powser1, powser2, perm                                           not applicable: programs and type checks of Go
//   Go doubleselect, select*, TestSelect*, TestPseudoRandomSend         not applicable: no select
//   CPython LifoQueue, PriorityQueue, SimpleQueue reentrancy            not applicable: other orders; signal handlers
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <numeric>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/items.hpp"
#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;
using status = conqueue_status;

#ifdef __SANITIZE_THREAD__
constexpr number many = 6000;
#else
constexpr number many = 60000;
#endif

template <class Kind>
class handover : public ::testing::Test {};
TYPED_TEST_SUITE(handover, queue_kinds, kind_names);

TYPED_TEST(handover, one_to_one_in_order) {
  for (const std::size_t capacity : {1u, 3u, 10u, 1000u}) {
    queue_of<TypeParam, number> queue(capacity);
    number wrong = 0;
    team both(2);
    both.run([&](std::size_t self) {
      if (self == 0) {
        for (number n = 0; n < many; ++n) queue.push(n);
        queue.close();
      } else {
        for (number n = 0; n < many; ++n) wrong += queue.pop() != n;
        wrong += queue.pop().has_value();
      }
    });
    ASSERT_EQ(wrong, 0u) << "capacity " << capacity;
  }
}

TYPED_TEST(handover, the_size_follows) {
  constexpr std::size_t capacity = 100;
  queue_of<TypeParam, number> queue(capacity);
  ASSERT_EQ(queue.capacity(), capacity);
  for (number around = 0; around < 20; ++around) {
    const std::size_t count = 1 + static_cast<std::size_t>(around) * 7 % capacity;
    for (std::size_t i = 0; i < count; ++i) {
      queue.push(i);
      ASSERT_EQ(queue.size_approx(), i + 1);
    }
    for (std::size_t i = count; i-- > 0;) {
      ASSERT_EQ(queue.pop(), count - 1 - i);
      ASSERT_EQ(queue.size_approx(), i);
    }
  }
  std::atomic<number> wrong = 0;
  team both(2);
  both.run([&](std::size_t self) {
    for (number n = 0; n < many; ++n) {
      if (self == 0)
        queue.push(n);
      else
        wrong += queue.pop() != n;
      wrong += queue.size_approx() > capacity;
    }
  });
  EXPECT_EQ(wrong, 0u);
  EXPECT_EQ(queue.size_approx(), 0u);
}

TYPED_TEST(handover, a_chain_of_threads_takes_turns) {
  constexpr int links = 10;
  queue_of<TypeParam, int> items(1);
  std::vector<std::unique_ptr<queue_of<TypeParam, int>>> turns;
  for (int i = 0; i <= links; ++i) turns.push_back(std::make_unique<queue_of<TypeParam, int>>(1));
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < links; ++i)
    threads.emplace_back([&, i] {
      (void)turns[i]->pop();
      EXPECT_EQ(items.pop(), static_cast<int>(i));
      turns[i + 1]->push(0);
    });
  turns[0]->push(0);
  for (int i = 0; i < links; ++i) items.push(i);
  EXPECT_TRUE(turns[links]->pop());
}

TYPED_TEST(handover, through_a_hundred_queues) {
  constexpr std::size_t links = 100;
  std::vector<std::unique_ptr<queue_of<TypeParam, int>>> queues;
  for (std::size_t i = 0; i <= links; ++i) queues.push_back(std::make_unique<queue_of<TypeParam, int>>(1));
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < links; ++i)
    threads.emplace_back([&, i] {
      while (auto item = queues[i]->pop()) queues[i + 1]->push(*item + 1);
      queues[i + 1]->close();
    });
  for (int round = 0; round < 3; ++round) {
    queues[0]->push(round);
    EXPECT_EQ(queues[links]->pop(), round + 100);
  }
  queues[0]->close();
  EXPECT_FALSE(queues[links]->pop());
}

TYPED_TEST(handover, a_sieve_of_queues_finds_primes) {
  using stream = queue_of<TypeParam, int>;
  std::vector<std::shared_ptr<stream>> streams{std::make_shared<stream>(2)};
  std::vector<std::jthread> threads;
  threads.emplace_back([out = streams[0]] {
    for (int n = 2; out->push(n); ++n) {
    }
  });
  std::vector<int> primes;
  while (primes.size() < 20) {
    const auto in = streams.back();
    const int prime = *in->pop();
    primes.push_back(prime);
    const auto out = std::make_shared<stream>(2);
    threads.emplace_back([in, out, prime] {
      while (auto n = in->pop())
        if (*n % prime != 0 && !out->push(*n)) return;
    });
    streams.push_back(out);
  }
  for (const auto& s : streams) s->close();
  EXPECT_EQ(primes, (std::vector<int>{2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71}));
}

TYPED_TEST(handover, many_to_many_each_item_once) {
  constexpr std::size_t producers = 3, workers = 7;
  queue_of<TypeParam, number> work(workers * 3), results(workers * 3);
  std::vector<std::atomic<int>> seen(producers * many / 3);
  std::atomic<std::size_t> feeding = producers, working = workers;
  team everyone(producers + workers + 1);
  everyone.run([&](std::size_t self) {
    if (self < producers) {
      for (number n = self; n < seen.size(); n += producers) {
        if (self == 0)
          work.push(n);
        else if (self == 1)
          while (work.try_push(n) != status::success) std::this_thread::yield();
        else
          while (work.push(n, 30us) != status::success) {
          }
      }
      if (--feeding == 0) work.close();
    } else if (self < producers + workers) {
      for (const number n : work.items()) {
        if (n % workers == self) std::this_thread::yield();
        results.push(n);
      }
      if (--working == 0) results.close();
    } else {
      while (auto n = results.pop()) ++seen[*n];
    }
  });
  for (std::size_t n = 0; n < seen.size(); ++n) ASSERT_EQ(seen[n], 1) << n;
}

TYPED_TEST(handover, a_pop_sees_what_was_written_before_the_push) {
  std::array<number, 64> slots{};  // plain memory: a race, if the queue does not order it
  queue_of<TypeParam, std::size_t> filled(4), free(slots.size());
  for (std::size_t i = 0; i < slots.size(); ++i) free.push(i);
  number wrong = 0;
  team both(2);
  both.run([&](std::size_t self) {
    for (number n = 1; n <= many; ++n) {
      if (self == 0) {
        const std::size_t slot = *free.pop();
        slots[slot] = n;
        filled.push(slot);
      } else {
        const std::size_t slot = *filled.pop();
        wrong += slots[slot] != n;
        free.push(slot);
      }
    }
  });
  EXPECT_EQ(wrong, 0u);
}

// The room that a pop makes is told in order, too: whoever pushes into it sees what its popper wrote before.
TYPED_TEST(handover, a_queue_of_one_place_is_a_mutex) {
  queue_of<TypeParam, int> lock(1);
  number count = 0;  // plain memory
  team four(4);
  four.run([&](std::size_t) {
    for (number n = 0; n < many / 4; ++n) {
      lock.push(0);
      ++count;
      (void)lock.pop();
    }
  });
  EXPECT_EQ(count, many / 4 * 4);
}

TYPED_TEST(handover, a_queue_of_n_places_is_a_semaphore) {
  constexpr int places = 3;
  queue_of<TypeParam, int> semaphore(places);
  std::atomic<int> inside = 0, too_many = 0;
  team six(6);
  six.run([&](std::size_t) {
    for (number n = 0; n < many / 6; ++n) {
      semaphore.push(0);
      too_many += ++inside > places;
      --inside;
      (void)semaphore.pop();
    }
  });
  EXPECT_EQ(too_many, 0);
}

template <class Kind>
struct nested {
  std::unique_ptr<queue_of<Kind, nested>> next;
};
TYPED_TEST(handover, a_queue_goes_through_a_queue) {
  constexpr int depth = 500;
  using link = nested<TypeParam>;
  auto first = std::make_unique<queue_of<TypeParam, link>>(1);
  auto* writes_to = first.get();
  team both(2);
  int followed = 0;
  std::vector<std::unique_ptr<queue_of<TypeParam, link>>> passed;  // kept: its push may not have returned yet
  both.run([&](std::size_t self) {
    if (self == 0) {
      for (int i = 0; i < depth; ++i) {
        auto inner = std::make_unique<queue_of<TypeParam, link>>(1);
        auto* then = inner.get();
        writes_to->push(link{std::move(inner)});
        writes_to = then;
      }
    } else {
      auto reads_from = std::move(first);
      for (; followed < depth; ++followed) {
        auto got = reads_from->pop();
        passed.push_back(std::exchange(reads_from, std::move(got->next)));
      }
    }
  });
  EXPECT_EQ(followed, depth);
}

TYPED_TEST(handover, requests_and_answers) {
  queue_of<TypeParam, int> requests(1), answers(1);
  number count = 0;
  team both(2);
  both.run([&](std::size_t self) {
    if (self == 0) {
      while (count < many / 4) {
        while (auto answer = answers.try_pop()) count += static_cast<number>(*answer);
        if (requests.push(0, 50us) == status::closed) break;
      }
      requests.close();
      answers.close();
    } else {
      for (int request : requests.items())
        if (!answers.push(request + 1)) break;
    }
  });
  EXPECT_GE(count, many / 4);
}

TYPED_TEST(handover, loops_nest_break_and_go_on) {
  queue_of<TypeParam, int> queue(10);
  for (int i = 0; i < 10; ++i) queue.push(i);
  queue.close();
  std::vector<int> seen;
  for (int outer : queue.items()) {
    seen.push_back(outer);
    if (outer == 2) {
      for (int inner : queue.items()) {
        seen.push_back(inner);
        if (inner == 5) break;
      }
    }
    if (outer == 7) break;
  }
  for (int rest : queue.items()) seen.push_back(rest);
  std::vector<int> all(10);
  std::iota(all.begin(), all.end(), 0);
  EXPECT_EQ(seen, all);
}

TYPED_TEST(handover, each_item_by_another_thread) {
  for (int round = 0; round < 5; ++round) {
    queue_of<TypeParam, boxed> queue(1);
    std::vector<std::jthread> threads;
    std::atomic<number> sum = 0;
    for (number n = 1; n <= 20; ++n) {
      threads.emplace_back([&, n] { queue.push(make_item<boxed>(n)); });
      threads.emplace_back([&] { sum += number_of(*queue.pop()); });
    }
    threads.clear();
    ASSERT_EQ(sum, 210u);
  }
}

}  // namespace
}  // namespace penstock::testing
