// What does a pipeline cost beside the work of its stages? Three stages of W µs of computing each; serially on one
// thread, and as a pipeline; processor time per item of each, in turn, and how busy the bottleneck was.
//
//   bench_pipeline [ROUNDS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>

#include <penstock/penstock.hpp>

namespace {

double processor_seconds() {
  rusage used{};
  getrusage(RUSAGE_SELF, &used);
  const auto s = [](const timeval& t) { return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec); };
  return s(used.ru_utime) + s(used.ru_stime);
}

// A chain of dependent multiplications: nothing that a compiler or a processor could do at once.
std::uint64_t compute(std::uint64_t seed, std::uint64_t steps) {
  for (std::uint64_t i = 0; i < steps; ++i) seed = seed * 6364136223846793005u + 1442695040888963407u;
  return seed;
}

std::uint64_t steps_for(std::chrono::nanoseconds duration) {
  constexpr std::uint64_t probe = 20'000'000;
  const auto start = std::chrono::steady_clock::now();
  volatile std::uint64_t keep = compute(1, probe);
  (void)keep;
  const auto took = std::chrono::steady_clock::now() - start;
  return static_cast<std::uint64_t>(static_cast<double>(probe) * static_cast<double>(duration.count()) /
                                    static_cast<double>(std::chrono::nanoseconds(took).count()));
}

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v[v.size() / 2];
}

// What counting costs: what a worker writes for each item so that snapshots can be taken at any time.
double counting_ns() {
  penstock::worker w;
  constexpr int items = 20'000'000;
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < items; ++i) {
    const std::int64_t began = w.should_time() ? penstock::now_ns() : 0;
    if (began) w.timed(penstock::now_ns() - began);
    w.passed.add();
    w.out.add();
  }
  return static_cast<double>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - start).count()) / items;
}

// What a pipeline of 3, 4 and 5 workers costs while nothing comes.
double idle_ms(std::chrono::seconds how_long) {
  const auto pass = [](int i) { return i; };
  auto line = penstock::from<int>() | penstock::stage("a", pass, {.workers = 3}) |
              penstock::stage("b", pass, {.workers = 4}) | penstock::sink("c", [](int) {}, {.workers = 5}) |
              penstock::start();
  line.push(1);
  while (line.snapshot().delivered < 1) std::this_thread::yield();
  const double before = processor_seconds();
  std::this_thread::sleep_for(how_long);
  const double used = processor_seconds() - before;
  line.close();
  (void)line.wait();
  return 1e3 * used;
}

}  // namespace

int main(int argc, char** argv) {
  using namespace penstock;
  const int rounds = argc > 1 ? std::stoi(argv[1]) : 5;
  std::vector<double> counting;
  for (int round = 0; round < rounds; ++round) counting.push_back(counting_ns());
  std::printf("counting for live snapshots: %.1f ns per item and stage\n", median(counting));
  std::printf("idle: %.2f ms of processor time in 5 s\n\n", idle_ms(std::chrono::seconds(5)));
  std::printf("%-10s %-8s %14s %14s %8s %8s\n", "work", "workers", "serial µs/item", "line µs/item", "ratio",
              "busiest");
  for (const int micros : {10, 100, 1000}) {
    const std::uint64_t steps = steps_for(std::chrono::microseconds(micros));
    const int items = 600'000 / micros / 10;
    for (const std::size_t workers : {1u, 2u}) {
      std::vector<double> serial, line, ratio, busy;
      for (int round = 0; round < rounds; ++round) {
        double before = processor_seconds();
        volatile std::uint64_t sink_value = 0;
        for (int i = 0; i < items; ++i)
          sink_value = compute(compute(compute(static_cast<std::uint64_t>(i), steps), steps), steps);
        serial.push_back((processor_seconds() - before) / items * 1e6);
        before = processor_seconds();
        const auto work = [steps](std::uint64_t v) { return compute(v, steps); };
        const auto r = from(std::views::iota(std::uint64_t{0}, static_cast<std::uint64_t>(items))) |
                       stage("a", work, {.workers = workers}) | stage("b", work, {.workers = workers}) |
                       sink("c", [&](std::uint64_t v) { sink_value = compute(v, steps); }, {.workers = workers}) |
                       run();
        line.push_back((processor_seconds() - before) / items * 1e6);
        ratio.push_back(line.back() / serial.back());
        double most = 0;
        for (std::size_t i = 1; i < r.stages.size(); ++i) most = std::max(most, r.stages[i].busy);
        busy.push_back(most);
      }
      std::printf("%5d µs   (%zu,%zu,%zu) %14.1f %14.1f %8.3f %7.0f %%\n", micros, workers, workers, workers,
                  median(serial), median(line), median(ratio), 100 * median(busy));
    }
  }
}
