// Does an item cost more when more of them go through? Between one producer and one consumer, from the arrival of the
// first item to that of the last, so that starting threads does not count; several times over for small numbers.
//
//   bench_queue_growth SYSTEM ITEMS [BLOCK]
#include <algorithm>
#include <chrono>
#include <string>
#include <thread>
#include <vector>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace {

// ns per item
template <template <class> class Channel>
double once(std::uint64_t items, std::size_t block) {
  Channel<std::uint64_t> channel(1024);
  std::jthread producer([&] {
    std::vector<std::uint64_t> some(block);
    for (std::uint64_t i = 0; i < items;) {
      const std::size_t count = std::min<std::uint64_t>(block, items - i);
      for (std::size_t k = 0; k < count; ++k) some[k] = i++;
      if constexpr (requires { channel.push_block(some); }) {
        if (block > 1) {
          channel.push_block(std::span(some).first(count));
          continue;
        }
      }
      channel.push(std::uint64_t{some[0]});
    }
    channel.close(1);
  });
  std::uint64_t count = 0, sum = 0;
  auto first = std::chrono::steady_clock::now();
  const auto take = [&](std::uint64_t item) {
    if (count++ == 0) first = std::chrono::steady_clock::now();
    sum += item;
  };
  if constexpr (requires(std::vector<std::uint64_t> v) { channel.pop_block(v, block); }) {
    if (block > 1) {
      std::vector<std::uint64_t> some;
      some.reserve(block);
      for (; channel.pop_block(some, block) > 0; some.clear()) std::for_each(some.begin(), some.end(), take);
    }
  }
  while (auto item = channel.pop()) take(*item);
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - first;
  bench::check_sum(count, items, "the number of items");
  bench::check_sum(sum, bench::sum_below(items), "the sum");
  return took.count() / static_cast<double>(items);
}

template <template <class> class Channel>
void measure(std::uint64_t items, std::size_t block) {
  if (block > 1 && !requires(Channel<std::uint64_t>& c, std::vector<std::uint64_t> v) { c.push_block(v); })
    bench::fail("this system takes no blocks");
  const std::uint64_t times = std::clamp<std::uint64_t>(1'000'000 / items, 1, 100);
  std::vector<double> ns;
  const bench::stopwatch watch;
  for (std::uint64_t i = 0; i < times; ++i) ns.push_back(once<Channel>(items, block));
  const bench::used used = watch.read();
  std::nth_element(ns.begin(), ns.begin() + static_cast<std::ptrdiff_t>(ns.size() / 2), ns.end());
  bench::result(items * times, used).add("ns_per_item", ns[ns.size() / 2]).print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 && argc != 4) bench::fail("usage: bench_queue_growth SYSTEM ITEMS [BLOCK]");
  bench::with_channel(argv[1], [&]<template <class> class Channel>() {
    measure<Channel>(bench::number(argv[2]), argc > 3 ? bench::number(argv[3]) : 1);
  });
}
