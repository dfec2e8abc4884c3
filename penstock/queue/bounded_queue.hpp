// bounded_queue<T>: a first-in-first-out queue between threads that holds at most `capacity` items.
#pragma once

#include <penstock/queue/plain_queue.hpp>

namespace penstock {

template <class T>
using bounded_queue = plain_queue<T>;
static_assert(concurrent_queue<bounded_queue<int>>);

}  // namespace penstock
