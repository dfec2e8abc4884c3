// Who owns an item, and that it is destroyed once, when its time has come.
//
// Cases that the suites of other channels check, and where they are here:
//   crossbeam drops, mpsc drop_full, drop_full_shared          what_is_left_dies_with_the_queue
//   crossbeam drop_unreceived, mpsc oneshot_*_send_port_close  a_refused_item_dies_with_its_owner,
//                                                              what_cancel_hands_back_is_the_callers
//   CPython SimpleQueue test_references                        a_popped_item_leaves_nothing_behind
//   Go zerosize; crossbeam capacity                            items_of_no_size
//   crossbeam drops (under load)                               under_load_every_item_dies_once
// Not applicable: destructors that throw (crossbeam panic_on_drop): an item's destructor must not.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/team.hpp"

namespace penstock::testing {
namespace {

using namespace std::chrono_literals;

// Counts those that are alive; what was moved from is alive until it is destroyed.
struct counted {
  static inline std::atomic<int> alive = 0;
  int value;
  explicit counted(int v) : value(v) { ++alive; }
  counted(const counted& other) : value(other.value) { ++alive; }
  counted(counted&& other) noexcept : value(std::exchange(other.value, -1)) { ++alive; }
  counted& operator=(counted&&) = default;
  ~counted() { --alive; }
};

template <class Kind>
class ownership : public ::testing::Test {
 public:
  void SetUp() override { ASSERT_EQ(counted::alive, 0); }
  void TearDown() override { EXPECT_EQ(counted::alive, 0); }
};
TYPED_TEST_SUITE(ownership, queue_kinds, kind_names);

TYPED_TEST(ownership, what_is_left_dies_with_the_queue) {
  for (const std::size_t capacity : {1u, 5u, 64u})
    for (const bool closed : {false, true}) {
      {
        queue_of<TypeParam, counted> queue(capacity);
        for (std::size_t i = 0; i < 3 * capacity; ++i) {  // once around, so that the rest lies across the ring's end
          queue.emplace(1);
          if (i % 2 == 0 || queue.size_approx() == capacity) (void)queue.pop();
        }
        EXPECT_EQ(counted::alive, static_cast<int>(queue.size_approx()));
        if (closed) queue.close();
      }
      ASSERT_EQ(counted::alive, 0) << "capacity " << capacity;
    }
}

TYPED_TEST(ownership, a_popped_item_leaves_nothing_behind) {
  queue_of<TypeParam, counted> queue(4);
  queue.emplace(1);
  queue.emplace(2);
  queue.emplace(3);
  EXPECT_EQ(counted::alive, 3);
  {
    auto item = queue.pop();
    EXPECT_EQ(counted::alive, 3);
  }
  EXPECT_EQ(counted::alive, 2);
  {
    auto leased = queue.take();
    EXPECT_EQ(counted::alive, 2);
    leased->done();
    EXPECT_EQ(counted::alive, 2);
  }
  EXPECT_EQ(counted::alive, 1);
  std::vector<counted> some;
  EXPECT_EQ(queue.pop_some(some, 3), 1u);
  EXPECT_EQ(counted::alive, 1);
}

TYPED_TEST(ownership, a_refused_item_dies_with_its_owner) {
  queue_of<TypeParam, counted> queue(1);
  queue.emplace(1);
  {
    counted mine(2);
    EXPECT_EQ(queue.try_push(std::move(mine)), conqueue_status::full);
    EXPECT_EQ(queue.try_push(std::as_const(mine)), conqueue_status::full);
    EXPECT_EQ(queue.push(std::move(mine), 0ms), conqueue_status::full);
    queue.close();
    EXPECT_FALSE(queue.push(std::move(mine)));
    EXPECT_EQ(mine.value, 2);
    EXPECT_EQ(counted::alive, 2);
  }
  EXPECT_EQ(counted::alive, 1);
}

TYPED_TEST(ownership, what_cancel_hands_back_is_the_callers) {
  std::optional<ring<counted>> back;
  {
    queue_of<TypeParam, counted> queue(3);
    for (int i = 0; i < 3; ++i) queue.emplace(i);
    (void)queue.pop();
    queue.emplace(3);
    back = queue.cancel();
    EXPECT_EQ(counted::alive, 3);
  }
  EXPECT_EQ(counted::alive, 3);
  int next = 1;
  for (const counted& item : *back) EXPECT_EQ(item.value, next++);
}

TYPED_TEST(ownership, items_of_no_size) {
  struct nothing {};
  for (std::size_t capacity = 1; capacity < 10; ++capacity) {
    queue_of<TypeParam, nothing> queue(capacity);
    EXPECT_EQ(queue.capacity(), capacity);
    for (std::size_t i = 0; i < capacity; ++i) EXPECT_TRUE(queue.push(nothing{}));
    EXPECT_EQ(queue.try_push(nothing{}), conqueue_status::full);
    queue.close();
    std::size_t count = 0;
    while (queue.pop()) ++count;
    EXPECT_EQ(count, capacity);
  }
}

TYPED_TEST(ownership, under_load_every_item_dies_once) {
  for (const bool cancels : {false, true}) {
    {
      queue_of<TypeParam, counted> queue(5);
      team four(4);
      four.run([&](std::size_t self) {
        if (self < 2) {
          for (int i = 0; i < 2000; ++i) {
            if (i % 3 == 0) {
              std::vector<counted> some(3, counted(i));
              queue.push_range(some);
            } else {
              queue.emplace(i);
            }
          }
        } else if (self == 2) {
          for (int i = 0; i < 1500 && queue.pop(20ms); ++i) {
          }
          if (cancels) {
            for (const counted& item : queue.cancel()) EXPECT_NE(item.value, -1);
          }
        } else {
          std::vector<counted> some;
          while (queue.pop_some(some, 4, cancels ? wait_limit{} : wait_limit{20ms}) > 0) {
            for (const counted& item : some) EXPECT_NE(item.value, -1);
            some.clear();
          }
          queue.close();
        }
      });
      EXPECT_EQ(counted::alive, static_cast<int>(queue.size_approx()));
    }
    ASSERT_EQ(counted::alive, 0);
  }
}

}  // namespace
}  // namespace penstock::testing
