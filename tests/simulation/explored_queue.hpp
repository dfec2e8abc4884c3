// explored_queue<Kind>: a test of a queue of that kind, of capacity 1 and of capacity 2, under every schedule within bounds.
// The items are watched values: the memory orders around them are tested, too.
#pragma once

#include <cstddef>
#include <iostream>

#include <gtest/gtest.h>

#include <penstock/simulation/simulation.hpp>

#include "tests/queue/history.hpp"
#include "tests/queue/queue_kinds.hpp"

namespace penstock::testing {

template <class Kind>
class explored_queue : public ::testing::Test {
 protected:
  using item = simulation::watched<number>;

  template <class Body>
  static void explore_both(const simulation::options& within, Body body) {
    for (const std::size_t capacity : {1, 2}) {
      const auto done = simulation::explore(within, [&] {
        queue_of<Kind, item> q(capacity);
        body(q);
      });
      if (!done.complete) std::cout << "cut short after " << done.runs << " runs\n";
    }
  }
};

}  // namespace penstock::testing
