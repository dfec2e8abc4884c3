// source → three phases → collector, by every system: run_X(shape, phase) brings the numbers below `items` through and
// returns what was used. `phase` is called three times per item and returns it plus one.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <tbb/flow_graph.h>
#include <tbb/parallel_pipeline.h>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"
#include "bench/queue/channels.hpp"

namespace bench {

inline constexpr std::size_t phase_capacity = 1024;

struct shape {
  std::array<std::size_t, 3> workers;
  std::uint64_t items;
};

// What arrives at the end, and whether that is right.
class collection {
 public:
  void take(std::uint64_t item) {
    ++count_;
    sum_ += item;
  }
  void check_all(const shape& s) const {
    check_sum(count_, s.items, "the number of items");
    check_sum(sum_, sum_below(s.items) + 3 * s.items, "the sum");
  }

 private:
  std::uint64_t count_ = 0, sum_ = 0;
};

template <class Phase>
used run_penstock(const shape& s, Phase phase) {
  using namespace penstock;
  const auto with = [](std::size_t workers) { return stage_options{.workers = workers, .capacity = phase_capacity}; };
  collection got;
  const stopwatch watch;
  (void)(from(std::views::iota(std::uint64_t{0}, s.items)) | stage("a", phase, with(s.workers[0])) |
         stage("b", phase, with(s.workers[1])) | stage("c", phase, with(s.workers[2])) |
         sink(
             "collect", [&](std::uint64_t item) { got.take(item); }, with(1)) |
         run());
  const used u = watch.read();
  got.check_all(s);
  return u;
}

// What one writes by hand around a queue: a thread per worker; the last one of a phase closes the next queue.
template <template <class> class Channel, class Phase>
class hand_made_line {
 public:
  hand_made_line(const std::array<std::size_t, 3>& workers, Phase phase) : left_{workers[0], workers[1], workers[2]} {
    consumers_ = {workers[0], workers[1], workers[2], 1};
    for (std::size_t p = 0; p < 3; ++p) {
      for (std::size_t w = 0; w < workers[p]; ++w) {
        threads_.emplace_back([this, p, phase] {
          while (auto item = queues_[p].pop()) queues_[p + 1].push(phase(*item));
          if (--left_[p] == 0) queues_[p + 1].close(consumers_[p + 1]);
        });
      }
    }
  }
  void push(std::uint64_t item) { queues_.front().push(std::move(item)); }
  std::optional<std::uint64_t> pop() { return queues_.back().pop(); }
  // The workers end when what was pushed is through.
  void close() { queues_.front().close(consumers_[0]); }

 private:
  using queue = Channel<std::uint64_t>;
  std::array<queue, 4> queues_{queue(phase_capacity), queue(phase_capacity), queue(phase_capacity),
                               queue(phase_capacity)};
  std::array<std::atomic<std::size_t>, 3> left_;  // workers that have not ended
  std::array<std::size_t, 4> consumers_{};
  std::vector<std::jthread> threads_{};
};

template <template <class> class Channel, class Phase>
used run_threads(const shape& s, Phase phase) {
  collection got;
  const stopwatch watch;
  {
    hand_made_line<Channel, Phase> line(s.workers, phase);
    const std::jthread collector([&] {
      while (auto item = line.pop()) got.take(*item);
    });
    const std::jthread source([&] {
      for (std::uint64_t i = 0; i < s.items; ++i) line.push(i);
      line.close();
    });
  }
  const used u = watch.read();
  got.check_all(s);
  return u;
}

// Its phases are parallel: they have no numbers of workers, only the pool has. How many items may be under way makes no
// difference to it between 8 and 1,024.
template <class Phase>
used run_tbb_pipeline(const shape& s, Phase phase) {
  using tbb::filter_mode;
  constexpr std::size_t under_way = 64;
  collection got;
  const stopwatch watch;
  std::uint64_t next = 0;
  tbb::parallel_pipeline(under_way,
                         tbb::make_filter<void, std::uint64_t>(filter_mode::serial_in_order,
                                                               [&](tbb::flow_control& end) {
                                                                 if (next == s.items) end.stop();
                                                                 return next++;
                                                               }) &
                             tbb::make_filter<std::uint64_t, std::uint64_t>(filter_mode::parallel, phase) &
                             tbb::make_filter<std::uint64_t, std::uint64_t>(filter_mode::parallel, phase) &
                             tbb::make_filter<std::uint64_t, std::uint64_t>(filter_mode::parallel, phase) &
                             tbb::make_filter<std::uint64_t, void>(filter_mode::serial_out_of_order,
                                                                   [&](std::uint64_t item) { got.take(item); }));
  const used u = watch.read();
  got.check_all(s);
  return u;
}

// Bounded by a limiter: its nodes' queues are not.
template <class Phase>
used run_tbb_graph(const shape& s, Phase phase) {
  namespace flow = tbb::flow;
  using node = flow::function_node<std::uint64_t, std::uint64_t>;
  collection got;
  const stopwatch watch;
  {
    flow::graph g;
    std::uint64_t next = 0;
    flow::input_node<std::uint64_t> source(g, [&](tbb::flow_control& end) {
      if (next == s.items) end.stop();
      return next++;
    });
    flow::limiter_node<std::uint64_t> limiter(g, 4 * phase_capacity);
    node a(g, s.workers[0], phase), b(g, s.workers[1], phase), c(g, s.workers[2], phase);
    flow::function_node<std::uint64_t, flow::continue_msg> collect(g, flow::serial, [&](std::uint64_t item) {
      got.take(item);
      return flow::continue_msg();
    });
    flow::make_edge(source, limiter);
    flow::make_edge(limiter, a);
    flow::make_edge(a, b);
    flow::make_edge(b, c);
    flow::make_edge(c, collect);
    flow::make_edge(collect, limiter.decrementer());
    source.activate();
    g.wait_for_all();
  }
  const used u = watch.read();
  got.check_all(s);
  return u;
}

// The ceiling: the same work, shared out beforehand to so many threads that nothing ever waits for another. Phases that
// sleep get their workers; others the processors.
template <class Phase>
used run_nothing_between(const shape& s, bool sleeps, Phase phase) {
  const std::size_t threads_in_all =
      sleeps ? s.workers[0] + s.workers[1] + s.workers[2] : std::thread::hardware_concurrency();
  std::atomic<std::uint64_t> sum = 0;
  const stopwatch watch;
  {
    std::vector<std::jthread> threads;
    for (std::size_t t = 0; t < threads_in_all; ++t) {
      threads.emplace_back([&, t] {
        std::uint64_t mine = 0;
        const std::uint64_t calls = 3 * s.items;
        for (auto i = calls * t / threads_in_all; i < calls * (t + 1) / threads_in_all; ++i) mine += phase(i) - i;
        sum += mine;
      });
    }
  }
  const used u = watch.read();
  check_sum(sum, 3 * s.items, "the number of calls");
  return u;
}

template <class Phase>
used run_phases(std::string_view system, const shape& s, bool sleeps, Phase phase) {
  if (system == "penstock") return run_penstock(s, phase);
  if (system == "tbb_pipeline") return run_tbb_pipeline(s, phase);
  if (system == "tbb_graph") return run_tbb_graph(s, phase);
  if (system == "ceiling") return run_nothing_between(s, sleeps, phase);
  used u;
  with_channel(system == "penstock_queue" ? "penstock" : system,
               [&]<template <class> class Channel>() { u = run_threads<Channel>(s, phase); });
  return u;
}

}  // namespace bench
