// How many items a second go through a queue of 1024, between how many threads, one by one or in blocks, and what kinds
// of items?
//
//   bench_queue_throughput SYSTEM PRODUCERS CONSUMERS ITEMS [BLOCK [number|64B|4KiB|unique_ptr|string]]
//
// BLOCK: so many items per call; 1: the calls for single items.
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace {

constexpr std::size_t capacity = 1024;

struct load {
  std::size_t producers, consumers, block;
  std::uint64_t items;
};
struct tally {
  std::uint64_t count = 0, sum = 0;
};

template <class T, class Channel>
void produce(Channel& channel, std::uint64_t first, std::uint64_t last, std::size_t block) {
  if constexpr (requires(std::vector<T> v) { channel.push_block(v); }) {
    if (block > 1) {
      std::vector<T> items(block);
      while (first < last) {
        const std::size_t count = std::min<std::uint64_t>(block, last - first);
        for (std::size_t i = 0; i < count; ++i) items[i] = bench::make_item<T>(first++);
        channel.push_block(std::span(items).first(count));
      }
      return;
    }
  }
  for (; first < last; ++first) channel.push(bench::make_item<T>(first));
}

template <class T, class Channel>
tally consume(Channel& channel, std::size_t block) {
  tally t;
  if constexpr (requires(std::vector<T> v) { channel.pop_block(v, block); }) {
    if (block > 1) {
      std::vector<T> items;
      items.reserve(block);
      for (; channel.pop_block(items, block) > 0; items.clear()) {
        t.count += items.size();
        for (const T& item : items) t.sum += bench::number_of(item);
      }
      return t;
    }
  }
  while (auto item = channel.pop()) {
    ++t.count;
    t.sum += bench::number_of(*item);
  }
  return t;
}

template <class T, template <class> class Channel>
void measure(const load& l) {
  if (l.block > 1 && !requires(Channel<T>& c, std::vector<T> v) { c.push_block(v); })
    bench::fail("this system takes no blocks");
  Channel<T> channel(capacity);
  std::latch ready(static_cast<std::ptrdiff_t>(l.producers + l.consumers)), begin(1);
  const auto wait_for_start = [&] {
    ready.count_down();
    begin.wait();
  };
  std::vector<tally> tallies(l.consumers);
  std::vector<std::jthread> consumers, producers;
  for (std::size_t i = 0; i < l.consumers; ++i) {
    consumers.emplace_back([&, i] {
      wait_for_start();
      tallies[i] = consume<T>(channel, l.block);
    });
  }
  for (std::size_t i = 0; i < l.producers; ++i) {
    producers.emplace_back([&, i] {
      wait_for_start();
      produce<T>(channel, l.items * i / l.producers, l.items * (i + 1) / l.producers, l.block);
    });
  }
  ready.wait();
  const bench::stopwatch watch;
  begin.count_down();
  producers.clear();  // joins
  channel.close(l.consumers);
  consumers.clear();
  const bench::used used = watch.read();
  tally all;
  for (const tally& t : tallies) {
    all.count += t.count;
    all.sum += t.sum;
  }
  bench::check_sum(all.count, l.items, "the number of items");
  bench::check_sum(all.sum, bench::sum_below(l.items), "the sum");
  bench::result(l.items, used).print();
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> given(argv + 1, argv + argc);
  if (given.size() < 4 || given.size() > 6)
    bench::fail(
        "usage: bench_queue_throughput SYSTEM PRODUCERS CONSUMERS ITEMS [BLOCK [number|64B|4KiB|unique_ptr|string]]");
  const load l{bench::number(given[1]), bench::number(given[2]), given.size() > 4 ? bench::number(given[4]) : 1,
               bench::number(given[3])};
  const std::string kind = given.size() > 5 ? given[5] : "number";
  bench::with_channel(given[0], [&]<template <class> class Channel>() {
    if (kind == "number") return measure<std::uint64_t, Channel>(l);
    if (kind == "64B") return measure<bench::large<64>, Channel>(l);
    if (kind == "4KiB") return measure<bench::large<4096>, Channel>(l);
    if (kind == "unique_ptr") return measure<std::unique_ptr<std::uint64_t>, Channel>(l);
    if (kind == "string") return measure<std::string, Channel>(l);
    bench::fail("no such kind of item: " + kind);
  });
}
