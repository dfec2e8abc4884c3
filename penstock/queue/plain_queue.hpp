// plain_queue<T>: bounded_queue on its plain engine whatever T is: the slow, obviously right one that tests compare the
// fast one with.
#pragma once

#include <penstock/queue/bounded_queue.hpp>

namespace penstock {

template <class T>
using plain_queue = bounded_queue<T, plain_engine<T>>;

}  // namespace penstock
