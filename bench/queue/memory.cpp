// How many bytes does a queue need, heap included, when it is full?
//
//   bench_queue_memory SYSTEM CAPACITY [number|64B|4KiB]
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include <malloc.h>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace {

std::size_t heap_in_use() {
  const struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

template <class T, template <class> class Channel>
void measure(std::size_t capacity) {
  constexpr std::size_t queues = 16;  // the mean of several, so that what the first one sets up weighs less
  using channel = Channel<T>;
  mallopt(M_MMAP_THRESHOLD, 1 << 30);  // else large blocks are rounded up to pages, which are not the queue's
  const bench::stopwatch watch;
  std::vector<std::unique_ptr<channel>> made;
  made.reserve(queues);
  const std::size_t before = heap_in_use();
  const std::size_t fits = std::is_same_v<channel, bench::fiber_channel<T>> && capacity > 1 ? capacity - 1 : capacity;
  for (std::size_t i = 0; i < queues; ++i) {
    made.push_back(std::make_unique<channel>(capacity));
    for (std::size_t n = 0; n < fits; ++n) made.back()->push(bench::make_item<T>(n));
  }
  const std::size_t bytes = (heap_in_use() - before) / queues;
  for (const auto& queue : made)
    for (std::size_t n = 0; n < fits; ++n)
      bench::check_sum(bench::number_of(*queue->pop()), n, "an item");  // one thread: in order, whatever the system
  bench::result(queues, watch.read())
      .add("bytes", bytes)
      .add("allowed", 1024 + capacity * (sizeof(T) + 16))
      .add("per_place", static_cast<double>(bytes) / static_cast<double>(capacity))
      .print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) bench::fail("usage: bench_queue_memory SYSTEM CAPACITY [number|64B|4KiB]");
  const std::string kind = argc > 3 ? argv[3] : "number";
  const std::size_t capacity = bench::number(argv[2]);
  bench::with_channel(argv[1], [&]<template <class> class Channel>() {
    if (kind == "number") return measure<std::uint64_t, Channel>(capacity);
    if (kind == "64B") return measure<bench::large<64>, Channel>(capacity);
    if (kind == "4KiB") return measure<bench::large<4096>, Channel>(capacity);
    bench::fail("no such kind of item: " + kind);
  });
}
