// What does a running pipeline of (3, 4, 5) workers cost while nothing comes?
//
//   bench_pipeline_idle SYSTEM SECONDS
#include <array>
#include <atomic>
#include <chrono>
#include <string_view>
#include <thread>

#include "bench/measure.hpp"
#include "bench/pipeline/phases.hpp"

namespace {

constexpr std::array<std::size_t, 3> workers{3, 4, 5};
constexpr auto add_one = [](std::uint64_t item) { return item + 1; };

// One item goes through before, so that everything has started.
bench::used penstock_idle(std::chrono::seconds how_long) {
  using namespace penstock;
  const auto with = [](std::size_t n) { return stage_options{.workers = n, .capacity = bench::phase_capacity}; };
  std::atomic<std::uint64_t> got = 0;
  const auto collect = [&](std::uint64_t item) {
    got = item;
    got.notify_one();
  };
  auto line = from<std::uint64_t>() | stage("a", add_one, with(workers[0])) | stage("b", add_one, with(workers[1])) |
              sink("c", collect, with(workers[2])) | start();
  line.push(1);
  got.wait(0);
  const bench::used used = bench::while_asleep(how_long);
  line.close();
  bench::check_sum(line.wait().delivered, 1, "the number of items");
  bench::check_sum(got, 3, "the item");
  return used;
}

template <template <class> class Channel>
bench::used threads_idle(std::chrono::seconds how_long) {
  bench::hand_made_line<Channel, decltype(add_one)> line(workers, add_one);
  line.push(1);
  bench::check_sum(*line.pop(), 4, "the item");
  const bench::used used = bench::while_asleep(how_long);
  line.close();
  bench::check(!line.pop(), "an item came that was not pushed");
  return used;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_pipeline_idle SYSTEM SECONDS");
  const std::string_view system = argv[1];
  const std::chrono::seconds how_long(bench::number(argv[2]));
  bench::used used;
  if (system == "penstock")
    used = penstock_idle(how_long);
  else
    bench::with_channel(system == "penstock_queue" ? "penstock" : system,
                        [&]<template <class> class Channel>() { used = threads_idle<Channel>(how_long); });
  bench::result(1, used).print();
}
