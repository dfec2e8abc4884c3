// What can the machine do at this moment? How long a cache line takes from one processor to another and back, and a
// step of computing. Both change with what else the host has to do, and figures of queues with them.
//
//   bench_machine
#include <atomic>
#include <chrono>
#include <thread>

#include "bench/measure.hpp"

int main() {
  constexpr std::uint64_t round_trips = 50'000;
  std::atomic<std::uint64_t> line = 0;
  std::jthread other([&] {
    for (std::uint64_t i = 0; i < round_trips; ++i) {
      while (line.load(std::memory_order_acquire) != 2 * i + 1) {  // acquire: pairs with the release below
      }
      line.store(2 * i + 2, std::memory_order_release);
    }
  });
  const bench::stopwatch watch;
  for (std::uint64_t i = 0; i < round_trips; ++i) {
    line.store(2 * i + 1, std::memory_order_release);
    while (line.load(std::memory_order_acquire) != 2 * i + 2) {
    }
  }
  const bench::used used = watch.read();
  const bench::work step = bench::calibrated(1000);
  bench::result(round_trips, used)
      .add("line_ns", 1e9 * used.wall_s / round_trips)
      .add("step_ns", step.ns / static_cast<double>(step.steps))
      .print();
}
