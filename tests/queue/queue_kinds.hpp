// The queues that every test of a promise runs on: the reference and the fast one. A promise is one test, whoever keeps
// it.
//
//   TYPED_TEST(any_queue, items_leave_in_order) {
//     queue_of<TypeParam, int> queue(3);
//     ...
//   }
//
// Tags, not the queues themselves: a typed test may need queues of several item types, and the two need not be
// different types.
#pragma once

#include <cstdint>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include <penstock/queue/bounded_queue.hpp>
#include <penstock/queue/plain_queue.hpp>

namespace penstock::testing {

struct plain {
  static constexpr const char* name = "plain_queue";
  template <class T>
  using of = plain_queue<T>;
};
struct bounded {
  static constexpr const char* name = "bounded_queue";
  template <class T>
  using of = bounded_queue<T>;
};
template <class Kind, class T>
using queue_of = typename Kind::template of<T>;

using queue_kinds = ::testing::Types<plain, bounded>;
struct kind_names {
  template <class Kind>
  static std::string GetName(int) {
    return Kind::name;
  }
};

// Waits until `queue` has counted that many waits: then a thread is committed to blocking. Yields, because nothing
// announces it.
template <class Queue>
void until_waits(const Queue& queue, std::uint64_t push_waits, std::uint64_t pop_waits) {
  for (auto now = queue.statistics(); now.push_waits < push_waits || now.pop_waits < pop_waits;
       now = queue.statistics())
    std::this_thread::yield();
}

}  // namespace penstock::testing
