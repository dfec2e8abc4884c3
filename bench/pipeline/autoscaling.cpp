// Does a stage find the number of workers that it needs? Its source always has more; items a second in the second half of
// the run, when it has had time to settle, and how many workers there were at the end, and at most.
//
//   bench_pipeline_autoscaling WORKERS SECONDS sleep|compute
//
// WORKERS: `automatic`, or a fixed number. sleep: 1 ms an item; compute: 100 µs.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"

int main(int argc, char** argv) {
  using namespace penstock;
  using clock = std::chrono::steady_clock;
  if (argc != 4) bench::fail("usage: bench_pipeline_autoscaling WORKERS SECONDS sleep|compute");
  const std::string_view number = argv[1], work = argv[3];
  const worker_count workers = number == "automatic" ? automatic : worker_count(bench::number(number));
  if (work != "sleep" && work != "compute") bench::fail("no such work: " + std::string(work));
  const bench::work compute = bench::calibrated(1e5);
  const std::chrono::seconds how_long(bench::number(argv[2]));
  const bench::stopwatch watch;
  const auto begin = clock::now(), middle = begin + how_long / 2, end = begin + how_long;
  std::uint64_t made = 0, got = 0, settled = 0;
  clock::time_point last = middle;
  const auto source = [&] { return clock::now() < end ? std::optional(made++) : std::nullopt; };
  const auto phase = [&](std::uint64_t item) {
    if (work == "sleep")
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    else
      compute(item);
    return item;
  };
  const auto collect = [&](std::uint64_t) {
    ++got;
    const auto now = clock::now();
    if (now < middle) return;
    ++settled;
    last = now;
  };
  const report r = from(source) | stage("phase", phase, {.workers = workers}) | sink("collect", collect) | run();
  const bench::used used = watch.read();
  std::size_t most = r.stages[1].workers;
  for (const scaling_step& step : r.stages[1].scaling) most = std::max({most, step.from, step.to});
  bench::check_sum(got, made, "the number of items");
  bench::result(made, used)
      .add("workers", static_cast<double>(r.stages[1].workers))
      .add("most_workers", static_cast<double>(most))
      .add("per_second", static_cast<double>(settled) / std::chrono::duration<double>(last - middle).count())
      .print();
}
