// What a queue tells about itself: queue_statistics, and join_result, which join() returns.
#pragma once

#include <cstddef>
#include <cstdint>
#include <exception>

namespace penstock {

// What has happened so far, at one moment.
struct queue_statistics {
  std::uint64_t pushed = 0;
  std::uint64_t popped = 0;      // by pop and take in all their forms; not what cancel() handed back
  std::uint64_t push_waits = 0;  // pushes that had to sleep
  std::uint64_t pop_waits = 0;   // pops that had to sleep
  std::uint64_t wakes = 0;       // of sleeping threads: one per need
  std::size_t size = 0;          // items inside now
  std::size_t bytes = 0;         // their size now; 0 without byte_capacity
  std::size_t peak_size = 0;     // the largest that was seen: by whoever slept, and by whoever asked for this
};

// What join() found.
struct join_result {
  std::uint64_t done = 0;
  std::uint64_t failed = 0;            // leases that ended by fail() or by an exception
  std::uint64_t returned = 0;          // handed back by cancel()
  std::exception_ptr first_failure{};  // the first reason that was given to fail(); may be null though failed > 0
};

}  // namespace penstock
