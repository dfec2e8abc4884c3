// What a queue promises, each as a sentence that is true in every interleaving: of bounded_queue and of its reference.
#include <atomic>
#include <chrono>
#include <memory>
#include <numeric>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/queue_kinds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using status = conqueue_status;

using testing::queue_of;
using testing::until_waits;

template <class Kind>
class any_queue : public ::testing::Test {};
TYPED_TEST_SUITE(any_queue, testing::queue_kinds, testing::kind_names);

TYPED_TEST(any_queue, items_leave_in_the_order_in_which_they_entered) {
  queue_of<TypeParam, int> queue(3);
  for (int round = 0; round < 10; ++round) {
    ASSERT_TRUE(queue.push(3 * round));
    ASSERT_TRUE(queue.push(3 * round + 1));
    ASSERT_EQ(queue.pop(), 3 * round);
    ASSERT_TRUE(queue.push(3 * round + 2));
    ASSERT_EQ(queue.pop(), 3 * round + 1);
    ASSERT_EQ(queue.pop(), 3 * round + 2);
  }
}

TYPED_TEST(any_queue, needs_a_capacity) { EXPECT_THROW((queue_of<TypeParam, int>(0)), std::invalid_argument); }

TYPED_TEST(any_queue, try_push_says_full_and_leaves_the_item_with_its_owner) {
  queue_of<TypeParam, std::unique_ptr<int>> queue(1);
  EXPECT_EQ(queue.try_push(std::make_unique<int>(1)), status::success);
  auto second = std::make_unique<int>(2);
  EXPECT_EQ(queue.try_push(std::move(second)), status::full);
  ASSERT_TRUE(second);
  EXPECT_EQ(queue.push(std::move(second), 0ms), status::full);
  ASSERT_TRUE(second);
  queue.close();
  EXPECT_FALSE(queue.push(std::move(second)));
  ASSERT_TRUE(second);
  EXPECT_EQ(*second, 2);
}

TYPED_TEST(any_queue, try_pop_tells_empty_from_closed) {
  queue_of<TypeParam, int> queue(1);
  EXPECT_EQ(queue.try_pop().error(), status::empty);
  EXPECT_EQ(queue.pop(0ms).error(), status::empty);
  EXPECT_EQ(queue.try_take().error(), status::empty);
  queue.close();
  EXPECT_EQ(queue.try_pop().error(), status::closed);
  EXPECT_EQ(queue.pop(0ms).error(), status::closed);
  EXPECT_EQ(queue.try_take().error(), status::closed);
  EXPECT_FALSE(queue.pop());
}

TYPED_TEST(any_queue, close_lets_waiting_items_through_and_refuses_new_ones) {
  queue_of<TypeParam, int> queue(4);
  queue.push(1);
  queue.push(2);
  queue.close();
  queue.close();
  EXPECT_TRUE(queue.is_closed());
  EXPECT_FALSE(queue.push(3));
  EXPECT_EQ(queue.try_push(3), status::closed);
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(*queue.try_pop(), 2);
  EXPECT_FALSE(queue.pop());
}

TYPED_TEST(any_queue, close_wakes_everyone_who_blocks) {
  queue_of<TypeParam, int> full(1);
  queue_of<TypeParam, int> empty(1);
  full.push(0);
  std::atomic<int> refused = 0, ended = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] { refused += !full.push(1); });
      threads.emplace_back([&] { ended += !empty.pop().has_value(); });
    }
    until_waits(full, 4, 0);
    until_waits(empty, 0, 4);
    full.close();
    empty.close();
  }
  EXPECT_EQ(refused, 4);
  EXPECT_EQ(ended, 4);
}

TYPED_TEST(any_queue, a_stop_wakes_the_one_who_waits_with_it_and_nobody_else) {
  queue_of<TypeParam, int> queue(1);
  std::stop_source stop;
  std::atomic<bool> patient_got = false;
  std::jthread patient([&] { patient_got = queue.pop().has_value(); });
  until_waits(queue, 0, 1);
  std::atomic<status> impatient = status::success;
  std::jthread stopped([&] { impatient = queue.pop(stop.get_token()).error(); });
  until_waits(queue, 0, 2);
  stop.request_stop();
  stopped.join();
  EXPECT_EQ(impatient, status::empty);
  EXPECT_FALSE(patient_got);
  queue.push(1);
  patient.join();
  EXPECT_TRUE(patient_got);
}

TYPED_TEST(any_queue, a_stop_wakes_a_blocked_push_and_the_item_stays) {
  queue_of<TypeParam, std::unique_ptr<int>> queue(1);
  queue.push(nullptr);
  std::stop_source stop;
  auto item = std::make_unique<int>(7);
  std::jthread producer([&] { EXPECT_EQ(queue.push(std::move(item), stop.get_token()), status::full); });
  until_waits(queue, 1, 0);
  stop.request_stop();
  producer.join();
  ASSERT_TRUE(item);
}

TYPED_TEST(any_queue, a_limit_that_has_passed_does_not_stop_a_call_that_need_not_wait) {
  queue_of<TypeParam, int> queue(1);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(queue.push(1, stop.get_token()), status::success);
  EXPECT_EQ(*queue.pop({stop.get_token(), 0ms}), 1);
  EXPECT_EQ(queue.push(2, std::chrono::steady_clock::time_point::min()), status::success);
  EXPECT_EQ(*queue.pop(std::chrono::hours::min()), 2);
  EXPECT_EQ(queue.push(3, std::chrono::hours::max()), status::success);
}

TYPED_TEST(any_queue, a_deadline_ends_the_wait_and_not_before) {
  queue_of<TypeParam, int> queue(1);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(queue.pop(20ms).error(), status::empty);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 20ms);
  queue.push(1);
  EXPECT_EQ(queue.push(2, 20ms), status::full);
  EXPECT_GE(std::chrono::steady_clock::now() - start, 40ms);
  EXPECT_EQ(queue.pop(), 1);
}

TYPED_TEST(any_queue, one_who_gives_up_passes_the_wake_on) {
  // Two wait for an item; the first has a deadline that falls together with the push. Whoever of them is called, the
  // item is taken.
  for (int round = 0; round < 300; ++round) {
    queue_of<TypeParam, int> queue(1);
    std::atomic<int> got = 0;
    std::jthread hasty([&] { got += queue.pop(std::chrono::microseconds(50 + round % 60)).has_value(); });
    std::jthread patient([&] { got += queue.pop().has_value(); });
    until_waits(queue, 0, 1);
    std::this_thread::yield();
    queue.push(1);
    hasty.join();
    queue.close();
    patient.join();
    ASSERT_EQ(got, 1) << "round " << round;
  }
}

TYPED_TEST(any_queue, holds_no_more_than_its_capacity) {
  queue_of<TypeParam, int> queue(3);
  std::jthread producer([&] {
    for (int i = 0; i < 2000; ++i) queue.push(i);
    queue.close();
  });
  int expected_next = 0;
  while (auto item = queue.pop()) {
    ASSERT_LE(queue.size_approx(), 3u);
    ASSERT_EQ(*item, expected_next++);
  }
  EXPECT_EQ(expected_next, 2000);
  EXPECT_LE(queue.statistics().peak_size, 3u);
}

TYPED_TEST(any_queue, a_capacity_in_bytes_holds_and_lets_an_oversized_item_in_alone) {
  queue_of<TypeParam, std::string> queue(100, {10, [](const std::string& s) { return s.size(); }});
  EXPECT_EQ(queue.try_push(std::string(6, 'a')), status::success);
  EXPECT_EQ(queue.try_push(std::string(5, 'b')), status::full);
  EXPECT_EQ(queue.try_push(std::string(4, 'c')), status::success);
  EXPECT_EQ(queue.statistics().bytes, 10u);
  EXPECT_EQ(queue.try_emplace(1, 'd'), status::full);
  EXPECT_EQ(queue.try_push(std::string()), status::success);
  EXPECT_EQ(queue.pop()->size(), 6u);
  EXPECT_EQ(queue.try_emplace(6, 'd'), status::success);
  for (int i = 0; i < 3; ++i) (void)queue.pop();
  EXPECT_EQ(queue.statistics().bytes, 0u);
  EXPECT_EQ(queue.try_push(std::string(50, 'e')), status::success);
  EXPECT_EQ(queue.try_push(std::string()), status::full);
  EXPECT_EQ(queue.pop()->size(), 50u);
}

TYPED_TEST(any_queue, light_items_do_not_keep_a_heavy_one_waiting_for_ever) {
  queue_of<TypeParam, std::string> queue(100, {10, [](const std::string& s) { return s.size(); }});
  queue.push(std::string(6, 'a'));
  std::jthread heavy([&] { queue.push(std::string(9, 'h')); });
  until_waits(queue, 1, 0);
  EXPECT_EQ(queue.try_push("l"), status::full);  // there is room for it, but it would overtake
  EXPECT_EQ(queue.pop()->size(), 6u);
  heavy.join();
  EXPECT_EQ(queue.pop()->size(), 9u);
}

TYPED_TEST(any_queue, a_pop_that_frees_much_wakes_several_light_producers) {
  queue_of<TypeParam, std::string> queue(100, {10, [](const std::string& s) { return s.size(); }});
  queue.push(std::string(10, 'a'));
  std::vector<std::jthread> light;
  for (int i = 0; i < 5; ++i) light.emplace_back([&] { queue.push(std::string(2, 'l')); });
  until_waits(queue, 5, 0);
  EXPECT_EQ(queue.pop()->size(), 10u);
  light.clear();  // joins: all five were let in by one pop
  EXPECT_EQ(queue.size_approx(), 5u);
}

TYPED_TEST(any_queue, a_throwing_size_function_leaves_the_queue_as_it_was) {
  queue_of<TypeParam, int> queue(4, {10, [](const int& i) -> std::size_t {
                                       if (i < 0) throw std::runtime_error("no size");
                                       return 1;
                                     }});
  queue.push(1);
  EXPECT_THROW(queue.push(-1), std::runtime_error);
  EXPECT_EQ(queue.size_approx(), 1u);
  EXPECT_EQ(queue.statistics().pushed, 1u);
}

struct fragile {  // throws on the n-th copy or move from now, counted across all of them
  static inline int fuse = -1;
  explicit fragile(int v) : value(v) {}
  fragile(const fragile& other) : value(other.value) { burn(); }
  fragile(fragile&& other) : value(other.value) {
    burn();
    other.value = -1;
  }
  fragile& operator=(const fragile&) = default;
  static void burn() {
    if (fuse >= 0 && fuse-- == 0) throw std::runtime_error("burnt");
  }
  int value;
};

TYPED_TEST(any_queue, a_push_that_throws_changes_nothing) {
  queue_of<TypeParam, fragile> queue(4);
  queue.emplace(1);
  fragile two(2);
  fragile::fuse = 0;
  EXPECT_THROW(queue.push(two), std::runtime_error);
  fragile::fuse = 0;
  EXPECT_THROW(queue.push(std::move(two)), std::runtime_error);
  fragile::fuse = -1;
  EXPECT_EQ(two.value, 2);
  EXPECT_EQ(queue.size_approx(), 1u);
  EXPECT_TRUE(queue.push(two));
  EXPECT_EQ(queue.pop()->value, 1);
  EXPECT_EQ(queue.pop()->value, 2);
}

TYPED_TEST(any_queue, a_pop_whose_move_throws_leaves_the_item_at_the_front) {
  queue_of<TypeParam, fragile> queue(4);
  queue.emplace(1);
  queue.emplace(2);
  fragile::fuse = 0;
  EXPECT_THROW((void)queue.pop(), std::runtime_error);
  fragile::fuse = 0;
  EXPECT_THROW((void)queue.take(), std::runtime_error);
  fragile::fuse = -1;
  EXPECT_EQ(queue.size_approx(), 2u);
  EXPECT_EQ(queue.pop()->value, 1);
  EXPECT_EQ(queue.pop()->value, 2);
  queue.close();
  EXPECT_EQ(queue.join().done, 2u);
}

TYPED_TEST(any_queue, a_throwing_consumer_that_was_called_passes_the_wake_on) {
  queue_of<TypeParam, fragile> queue(4);
  std::atomic<int> got = 0, threw = 0;
  fragile::fuse = -1;
  {
    std::vector<std::jthread> consumers;
    for (int i = 0; i < 2; ++i)
      consumers.emplace_back([&] {
        try {
          got += queue.pop().has_value();
        } catch (const std::runtime_error&) {
          ++threw;
        }
      });
    until_waits(queue, 0, 2);
    fragile::fuse = 0;  // read under the queue's lock by the one that is woken by the push below
    queue.emplace(1);
  }
  fragile::fuse = -1;
  EXPECT_EQ(threw, 1);
  EXPECT_EQ(got, 1);
}

TYPED_TEST(any_queue, some_that_end_where_the_memory_ends_are_enough) {
  queue_of<TypeParam, int> queue(4);
  for (int i = 0; i < 2; ++i) queue.push(i);
  for (int i = 0; i < 2; ++i) (void)queue.pop();
  for (int i = 2; i < 4; ++i) queue.push(i);
  std::vector<int> some;
  EXPECT_EQ(queue.pop_some(some, 3), 2u);
  EXPECT_EQ(some, (std::vector{2, 3}));
}

// One who waits without a thread.
struct told_place : wait_line::place {
  told_place() {
    told = [](wait_line::place& self) noexcept { ++static_cast<told_place&>(self).calls; };
  }
  int calls = 0;
};

TYPED_TEST(any_queue, one_in_line_whose_move_throws_has_left_it_and_passes_the_call_on) {
  queue_of<TypeParam, fragile> queue(1);
  queue.emplace(1);
  told_place first, second;
  fragile two(2), three(3);
  EXPECT_EQ(queue.push_in_line(first, two), conqueue_status::full);
  EXPECT_EQ(queue.push_in_line(second, three), conqueue_status::full);
  EXPECT_EQ(queue.pop()->value, 1);
  EXPECT_EQ(first.calls, 1);
  fragile::fuse = 0;
  EXPECT_THROW(queue.push_in_line(first, two), std::runtime_error);
  EXPECT_EQ(two.value, 2);
  EXPECT_FALSE(first.is_linked());
  EXPECT_EQ(second.calls, 1);
  EXPECT_EQ(queue.push_in_line(second, three), conqueue_status::success);
  EXPECT_EQ(queue.pop()->value, 3);

  std::optional<fragile> out, other;
  EXPECT_EQ(queue.pop_in_line(first, out), conqueue_status::empty);
  EXPECT_EQ(queue.pop_in_line(second, other), conqueue_status::empty);
  queue.emplace(4);
  EXPECT_EQ(first.calls, 2);
  fragile::fuse = 0;
  EXPECT_THROW(queue.pop_in_line(first, out), std::runtime_error);
  EXPECT_FALSE(first.is_linked());
  EXPECT_EQ(second.calls, 2);
  EXPECT_EQ(queue.pop_in_line(second, other), conqueue_status::success);
  EXPECT_EQ(other->value, 4);
}

TYPED_TEST(any_queue, cancel_hands_back_what_waits_oldest_first) {
  queue_of<TypeParam, std::unique_ptr<int>> queue(4);
  for (int i = 0; i < 3; ++i) queue.push(std::make_unique<int>(i));
  (void)queue.pop();
  queue.push(std::make_unique<int>(3));
  queue.push(std::make_unique<int>(4));
  std::vector<int> back;
  for (auto& item : queue.cancel()) back.push_back(*item);
  EXPECT_EQ(back, (std::vector<int>{1, 2, 3, 4}));
  EXPECT_TRUE(queue.is_closed());
  EXPECT_FALSE(queue.pop());
  EXPECT_TRUE(queue.cancel().empty());
  EXPECT_FALSE(queue.push(nullptr));
  EXPECT_EQ(queue.join().returned, 4u);
}

TYPED_TEST(any_queue, push_range_takes_all_in_order_and_what_is_refused_stays) {
  queue_of<TypeParam, std::unique_ptr<int>> queue(2);
  std::vector<std::unique_ptr<int>> items;
  for (int i = 0; i < 5; ++i) items.push_back(std::make_unique<int>(i));
  EXPECT_EQ(queue.push_range(items, 0ms), 2u);
  EXPECT_FALSE(items[1]);
  ASSERT_TRUE(items[2]);
  std::jthread consumer([&] {
    for (int i = 0; i < 5; ++i) EXPECT_EQ(**queue.pop(), i);
  });
  EXPECT_EQ(queue.push_range(std::span(items).subspan(2)), 3u);
  consumer.join();
  EXPECT_EQ(queue.push_range({}), 0u);
  queue.close();
  items[0] = std::make_unique<int>(0);
  EXPECT_EQ(queue.push_range(std::span(items).first(1)), 0u);
  EXPECT_TRUE(items[0]);
}

TYPED_TEST(any_queue, pop_some_takes_what_is_there_and_never_waits_to_fill) {
  queue_of<TypeParam, int> queue(8);
  for (int i = 0; i < 5; ++i) queue.push(i);
  std::vector<int> out{-1};
  EXPECT_EQ(queue.pop_some(out, 0), 0u);
  EXPECT_EQ(queue.pop_some(out, 3), 3u);
  EXPECT_EQ(queue.pop_some(out, 100), 2u);
  EXPECT_EQ(out, (std::vector<int>{-1, 0, 1, 2, 3, 4}));
  EXPECT_EQ(queue.pop_some(out, 3, 0ms), 0u);
  queue.close();
  EXPECT_EQ(queue.pop_some(out, 3), 0u);
}

TYPED_TEST(any_queue, the_counters_add_up) {
  queue_of<TypeParam, int> queue(2);
  queue.push(1);
  queue.push(2);
  EXPECT_EQ(queue.statistics().peak_size, 2u);
  (void)queue.pop();
  (void)queue.take();
  queue.push(3);
  (void)queue.cancel();
  const auto s = queue.statistics();
  EXPECT_EQ(s.pushed, 3u);
  EXPECT_EQ(s.popped, 2u);
  EXPECT_EQ(s.size, 0u);
  EXPECT_EQ(s.peak_size, 2u);
  EXPECT_EQ(s.push_waits + s.pop_waits, 0u);
}

TYPED_TEST(any_queue, an_emplaced_item_is_not_made_when_it_is_refused) {
  queue_of<TypeParam, std::string> queue(1);
  EXPECT_TRUE(queue.emplace(3, 'x'));
  std::string s = "moved only if taken";
  EXPECT_EQ(queue.try_emplace(std::move(s)), status::full);
  EXPECT_EQ(s, "moved only if taken");
}

struct alignas(64) aligned {
  int value = 0;
};
TYPED_TEST(any_queue, respects_alignment) {
  queue_of<TypeParam, aligned> queue(3);
  for (int i = 0; i < 7; ++i) {
    queue.push(aligned{i});
    auto item = queue.pop();
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(&*item) % 64, 0u);
    EXPECT_EQ(item->value, i);
  }
}

// Conservation and order under load: what went in came out, once, in the order of each producer; with every way of
// pushing and popping mixed, deadlines and stops included.
TYPED_TEST(any_queue, nothing_is_lost_doubled_or_reordered_per_producer) {
  for (const std::size_t capacity : {1u, 2u, 7u, 64u}) {
    constexpr int producers = 3, consumers = 3, each = 3000;
    queue_of<TypeParam, std::pair<int, int>> queue(capacity);
    std::vector<std::vector<std::pair<int, int>>> seen(consumers);
    {
      std::vector<std::jthread> threads;
      std::atomic<int> left = producers;
      for (int p = 0; p < producers; ++p)
        threads.emplace_back([&, p] {
          std::minstd_rand random(static_cast<unsigned>(p + 1));
          for (int i = 0; i < each;) {
            switch (random() % 4) {
              case 0:
                i += queue.push({p, i});
                break;
              case 1:
                i += queue.try_push({p, i}) == status::success;
                break;
              case 2:
                i += queue.push({p, i}, std::chrono::microseconds(20)) == status::success;
                break;
              case 3: {
                std::vector<std::pair<int, int>> some;
                for (int k = i; k < std::min(i + 5, each); ++k) some.emplace_back(p, k);
                i += static_cast<int>(queue.push_range(some, 50us));
                break;
              }
              default:
                break;
            }
          }
          if (--left == 0) queue.close();
        });
      for (int c = 0; c < consumers; ++c)
        threads.emplace_back([&, c] {
          auto& mine = seen[static_cast<std::size_t>(c)];
          std::minstd_rand random(static_cast<unsigned>(c + 100));
          for (;;) {
            switch (random() % 4) {
              case 0:
                if (auto item = queue.pop())
                  mine.push_back(*item);
                else
                  return;
                break;
              case 1:
                if (auto item = queue.try_pop()) mine.push_back(*item);
                break;
              case 2:
                if (auto item = queue.take(20us)) mine.push_back(**item);
                break;
              case 3:
                (void)queue.pop_some(mine, 4, 20us);
                break;
              default:
                break;
            }
          }
        });
    }
    std::vector<std::vector<int>> per_producer(producers);
    for (auto& mine : seen) {
      std::vector<int> last(producers, -1);
      for (auto [p, i] : mine) {
        ASSERT_LT(last[static_cast<std::size_t>(p)], i);
        last[static_cast<std::size_t>(p)] = i;
        per_producer[static_cast<std::size_t>(p)].push_back(i);
      }
    }
    for (auto& all : per_producer) {
      std::sort(all.begin(), all.end());
      std::vector<int> ideal(each);
      std::iota(ideal.begin(), ideal.end(), 0);
      ASSERT_EQ(all, ideal);
    }
    const auto s = queue.statistics();
    EXPECT_EQ(s.pushed, static_cast<std::uint64_t>(producers * each));
    EXPECT_EQ(s.popped, s.pushed);
    EXPECT_LE(s.peak_size, capacity);
    EXPECT_EQ(queue.join().done, s.pushed);
  }
}

TYPED_TEST(any_queue, one_item_wakes_one_consumer_and_one_pop_one_producer) {
  queue_of<TypeParam, int> queue(2);
  std::vector<std::jthread> consumers;
  for (int i = 0; i < 4; ++i) consumers.emplace_back([&] { (void)queue.pop(); });
  until_waits(queue, 0, 4);
  for (int i = 0; i < 4; ++i) {
    queue.push(i);
    while (queue.size_approx() > 0) std::this_thread::yield();  // it has been taken
    EXPECT_EQ(queue.statistics().wakes, static_cast<std::uint64_t>(i + 1));
  }
  consumers.clear();
  queue.push(0);
  queue.push(0);
  std::vector<std::jthread> producers;
  for (int i = 0; i < 4; ++i) producers.emplace_back([&] { queue.push(1); });
  until_waits(queue, 4, 4);
  for (int i = 0; i < 4; ++i) {
    (void)queue.pop();
    while (queue.size_approx() < 2) std::this_thread::yield();  // the room has been filled
    EXPECT_EQ(queue.statistics().wakes, static_cast<std::uint64_t>(4 + i + 1));
  }
}

TYPED_TEST(any_queue, nobody_is_woken_when_nobody_waits) {
  queue_of<TypeParam, int> queue(4);
  for (int i = 0; i < 100; ++i) {
    queue.push(i);
    (void)queue.pop();
  }
  queue.close();
  EXPECT_EQ(queue.statistics().wakes, 0u);
}

TYPED_TEST(any_queue, cancel_under_load_accounts_for_every_item) {
  for (int round = 0; round < 200; ++round) {
    queue_of<TypeParam, int> queue(4);
    std::atomic<std::uint64_t> accepted = 0, popped = 0;
    std::size_t returned = 0;
    {
      std::vector<std::jthread> threads;
      for (int t = 0; t < 2; ++t) {
        threads.emplace_back([&] {
          while (queue.push(1)) ++accepted;
        });
        threads.emplace_back([&] {
          while (queue.pop()) ++popped;
        });
      }
      while (queue.statistics().popped < 20) std::this_thread::yield();
      returned = queue.cancel().size();
    }
    ASSERT_EQ(accepted, popped + returned);
  }
}

TYPED_TEST(any_queue, without_a_limit_nobody_is_told_full_or_empty_before_the_queue_is_closed) {
  queue_of<TypeParam, int> queue(1);
  std::atomic<int> too_early = 0, left = 2;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 2; ++t) {
      threads.emplace_back([&] {  // patient ones, and ones who take what a woken one was called for
        for (int i = 0; i < 2000; ++i) too_early += !queue.push(i);
        if (--left == 0) queue.close();
      });
      threads.emplace_back([&] {
        for (;;) {
          if (queue.pop()) continue;
          if (queue.is_closed()) return;
          ++too_early;
        }
      });
      threads.emplace_back([&] {
        for (; !queue.is_closed(); std::this_thread::yield()) (void)queue.try_pop();
      });
      threads.emplace_back([&] {
        for (; !queue.is_closed(); std::this_thread::yield()) (void)queue.try_push(-1);
      });
    }
  }
  EXPECT_EQ(too_early, 0);
}

TYPED_TEST(any_queue, a_throwing_producer_that_was_called_passes_the_wake_on) {
  queue_of<TypeParam, fragile> queue(1);
  queue.emplace(0);
  std::atomic<int> threw = 0;
  fragile::fuse = -1;
  {
    std::vector<std::jthread> producers;
    for (int i = 0; i < 2; ++i)
      producers.emplace_back([&] {
        const fragile mine(1);
        try {
          queue.push(mine);
        } catch (const std::runtime_error&) {
          ++threw;
        }
      });
    until_waits(queue, 2, 0);
    fragile::fuse = 1;  // the pop's own move passes; the producer that is woken by it throws
    EXPECT_EQ(queue.pop()->value, 0);
  }
  fragile::fuse = -1;
  EXPECT_EQ(threw, 1);
  EXPECT_EQ(queue.size_approx(), 1u);
}

TYPED_TEST(any_queue, a_pop_some_that_throws_midway_lets_producers_in_and_counts_what_left) {
  queue_of<TypeParam, fragile> queue(2);
  queue.emplace(1);
  queue.emplace(2);
  std::jthread producer([&] { queue.emplace(3); });
  until_waits(queue, 1, 0);
  std::vector<fragile> out;
  fragile::fuse = 1;
  EXPECT_THROW(queue.pop_some(out, 2), std::runtime_error);
  fragile::fuse = -1;
  producer.join();
  ASSERT_EQ(out.size(), 1u);
  EXPECT_EQ(queue.pop()->value, 2);
  EXPECT_EQ(queue.pop()->value, 3);
  EXPECT_EQ(queue.join(0ms)->done, 3u);
}

TYPED_TEST(any_queue, a_push_range_that_throws_midway_wakes_who_waits_for_what_is_in) {
  queue_of<TypeParam, fragile> queue(4);
  std::jthread consumer([&] { EXPECT_EQ(queue.pop()->value, 1); });
  until_waits(queue, 0, 1);
  std::vector<fragile> items{fragile(1), fragile(2), fragile(3)};
  fragile::fuse = 1;
  EXPECT_THROW(queue.push_range(items), std::runtime_error);
  consumer.join();
  EXPECT_EQ(items[1].value, 2);
}

TYPED_TEST(any_queue, push_range_weighs_each_item) {
  queue_of<TypeParam, std::string> queue(100, {10, [](const std::string& s) { return s.size(); }});
  std::vector<std::string> items{std::string(2, 'a'), std::string(6, 'b'), std::string(6, 'c')};
  EXPECT_EQ(queue.push_range(items, 0ms), 2u);
  EXPECT_EQ(queue.statistics().bytes, 8u);
  EXPECT_EQ(items[2].size(), 6u);
}

TYPED_TEST(any_queue, nothing_weighs_anything_after_cancel) {
  queue_of<TypeParam, std::string> queue(4, {10, [](const std::string& s) { return s.size(); }});
  queue.push("four");
  EXPECT_EQ(queue.cancel().size(), 1u);
  EXPECT_EQ(queue.statistics().bytes, 0u);
}

TYPED_TEST(any_queue, pop_some_of_none_does_not_wait) {
  queue_of<TypeParam, int> queue(1);
  std::vector<int> out;
  EXPECT_EQ(queue.pop_some(out, 0), 0u);
}

TYPED_TEST(any_queue, a_call_whose_limit_has_passed_is_not_counted_as_a_wait) {
  queue_of<TypeParam, int> queue(1);
  (void)queue.pop(0ms);
  queue.push(1);
  EXPECT_EQ(queue.push(2, 0ms), status::full);
  EXPECT_EQ(queue.statistics().push_waits + queue.statistics().pop_waits, 0u);
}

}  // namespace
}  // namespace penstock
