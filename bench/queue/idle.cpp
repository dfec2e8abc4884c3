// What does waiting cost? Three consumers of an empty queue and three producers of a full one, for so many seconds.
//
//   bench_queue_idle SYSTEM SECONDS
#include <chrono>
#include <latch>
#include <string>
#include <thread>
#include <vector>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace {

constexpr std::size_t waiting = 3;  // on each side

template <template <class> class Channel>
void measure(std::chrono::seconds how_long) {
  Channel<std::uint64_t> empty(1024), full(1);
  full.push(0);
  std::latch ready(2 * waiting);
  std::vector<std::jthread> consumers, producers;
  for (std::size_t i = 0; i < waiting; ++i) {
    consumers.emplace_back([&] {
      ready.count_down();
      while (empty.pop()) {
      }
    });
    producers.emplace_back([&] {
      ready.count_down();
      full.push(1);
    });
  }
  ready.wait();
  const bench::used used = bench::while_asleep(how_long);
  empty.close(waiting);
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < waiting + 1; ++i) count += full.pop().has_value();
  bench::check_sum(count, waiting + 1, "the number of items");
  bench::result(1, used).print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_queue_idle SYSTEM SECONDS");
  bench::with_channel(argv[1], [&]<template <class> class Channel>() {
    measure<Channel>(std::chrono::seconds(bench::number(argv[2])));
  });
}
