// How long does a round trip between two threads take, over two queues of capacity 1?
//
//   bench_queue_round_trip SYSTEM ROUND_TRIPS
#include <latch>
#include <string>
#include <thread>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace {

template <template <class> class Channel>
void measure(std::uint64_t round_trips) {
  Channel<std::uint64_t> there(1), back(1);
  std::latch ready(1);
  std::jthread echo([&] {
    ready.count_down();
    while (auto item = there.pop()) back.push(*item + 1);
  });
  ready.wait();
  std::uint64_t sum = 0;
  const bench::stopwatch watch;
  for (std::uint64_t i = 0; i < round_trips; ++i) {
    there.push(std::uint64_t{i});
    sum += *back.pop();
  }
  const bench::used used = watch.read();
  there.close(1);
  bench::check_sum(sum, bench::sum_below(round_trips) + round_trips, "the sum");
  bench::result(round_trips, used).print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_queue_round_trip SYSTEM ROUND_TRIPS");
  bench::with_channel(argv[1], [&]<template <class> class Channel>() { measure<Channel>(bench::number(argv[2])); });
}
