// Does a slow item hold back others? One item in a hundred takes 10 ms (it sleeps), the others 1 µs; a stage of four
// workers between a source and a collector.
//
//   bench_pipeline_slow_items SYSTEM saturated|bursts ITEMS
//
// saturated: the source always has more; the stage's workers are the limit. efficiency is the time that four workers
//            would need if none of them ever waited / the time measured.
// bursts:    a hundred items at once every 20 ms, one of them slow: workers are free, so that a fast item waits for
//            nothing but the fast ones before it, unless somebody holds it back.
// p99_us: how long the fast ones took from the source to the collector; of a hundred one is longer.
//
// SYSTEM: penstock, the pipeline; penstock_queue, mutex and other queues: threads by hand that take one item at a time,
// so that none is ever held back.
#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <optional>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace {

using clock = std::chrono::steady_clock;

constexpr std::size_t workers = 4;
constexpr std::size_t capacity = 256;  // a burst fits
constexpr std::uint64_t one_in = 100;
constexpr std::chrono::milliseconds slow(10), between_bursts(20);

struct item {
  std::uint64_t number = bench::no_number;
  clock::time_point entered{};
};

// The load and the notes that are taken of it. Every call of work() and collect() is for another item.
class load {
 public:
  load(std::uint64_t items, bool bursts)
      : items_(items), bursts_(bursts), fast_(bench::calibrated(1000)), slow_ones_(items), latency_us_(items) {
    std::mt19937_64 random(1);
    for (std::uint64_t i = 0; i < items; i += one_in) slow_ones_[std::min(items - 1, i + random() % one_in)] = true;
  }

  std::optional<item> next() {
    if (made_ == items_) return std::nullopt;
    if (bursts_ && made_ % one_in == 0) std::this_thread::sleep_until(start_ + between_bursts * (made_ / one_in));
    return item{made_++, clock::now()};
  }
  void work(const item& i) {
    if (!slow_ones_[i.number]) return fast_(i.number);
    const auto before = clock::now();
    std::this_thread::sleep_for(slow);
    slept_ns_ += std::chrono::nanoseconds(clock::now() - before).count();
  }
  void collect(const item& i) {
    ++collected_;
    sum_ += i.number;
    latency_us_[i.number] = std::chrono::duration<double, std::micro>(clock::now() - i.entered).count();
  }

  void print(const bench::used& used) {
    bench::check_sum(collected_, items_, "the number of items");
    bench::check_sum(sum_, bench::sum_below(items_), "the sum");
    std::vector<double> fast;
    for (std::uint64_t i = 0; i < items_; ++i)
      if (!slow_ones_[i]) fast.push_back(latency_us_[i]);
    std::sort(fast.begin(), fast.end());
    const double ideal_s =
        1e-9 * (static_cast<double>(slept_ns_) + fast_.ns * static_cast<double>(fast.size())) / workers;
    bench::result(items_, used)
        .add("efficiency", ideal_s / used.wall_s)
        .add("p50_us", fast[fast.size() / 2])
        .add("p99_us", fast[fast.size() * 99 / 100])
        .print();
  }

 private:
  const std::uint64_t items_;
  const bool bursts_;
  const bench::work fast_;
  std::vector<char> slow_ones_;  // not vector<bool>: read by several threads at the same time
  const clock::time_point start_ = clock::now();
  std::uint64_t made_ = 0;
  std::atomic<std::int64_t> slept_ns_ = 0;
  std::uint64_t collected_ = 0, sum_ = 0;
  std::vector<double> latency_us_;
};

bench::used run_penstock(load& l) {
  using namespace penstock;
  const auto work = [&](item i) {
    l.work(i);
    return i;
  };
  const auto collect = [&](const item& i) { l.collect(i); };
  const bench::stopwatch watch;
  (void)(from([&] { return l.next(); }) | stage("work", work, {.workers = workers, .capacity = capacity}) |
         sink("collect", collect, {.capacity = capacity}) | run());
  return watch.read();
}

template <template <class> class Channel>
bench::used run_threads(load& l) {
  const bench::stopwatch watch;
  {
    Channel<item> waiting(capacity), done(capacity);
    std::atomic<std::size_t> left = workers;
    std::vector<std::jthread> threads;
    for (std::size_t w = 0; w < workers; ++w) {
      threads.emplace_back([&] {
        while (auto i = waiting.pop()) {
          l.work(*i);
          done.push(*std::move(i));
        }
        if (--left == 0) done.close(1);
      });
    }
    threads.emplace_back([&] {
      while (auto i = done.pop()) l.collect(*i);
    });
    threads.emplace_back([&] {
      while (auto i = l.next()) waiting.push(*std::move(i));
      waiting.close(workers);
    });
    threads.clear();  // joins
  }
  return watch.read();
}

}  // namespace

template <>
struct bench::item_traits<item> {
  static item make(std::uint64_t n) { return {n}; }
  static std::uint64_t number(const item& i) { return i.number; }
};

int main(int argc, char** argv) {
  if (argc != 4) bench::fail("usage: bench_pipeline_slow_items SYSTEM saturated|bursts ITEMS");
  const std::string_view system = argv[1], how = argv[2];
  if (how != "saturated" && how != "bursts") bench::fail("saturated or bursts, not " + std::string(how));
  load l(bench::number(argv[3]), how == "bursts");
  bench::used used;
  if (system == "penstock")
    used = run_penstock(l);
  else
    bench::with_channel(system == "penstock_queue" ? "penstock" : system,
                        [&]<template <class> class Channel>() { used = run_threads<Channel>(l); });
  l.print(used);
}
