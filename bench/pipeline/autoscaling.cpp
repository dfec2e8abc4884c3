// Does a stage find the number of workers that it needs? A stage of 1 ms sleeps whose source always has more; items a
// second in the second half of the run, when it has had time to settle.
//
//   bench_pipeline_autoscaling WORKERS SECONDS
//
// WORKERS: a fixed number, to be beaten. `automatic` takes its place here once a stage can be told so.
#include <chrono>
#include <cstdint>
#include <optional>
#include <thread>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"

int main(int argc, char** argv) {
  using namespace penstock;
  using clock = std::chrono::steady_clock;
  if (argc != 3) bench::fail("usage: bench_pipeline_autoscaling WORKERS SECONDS");
  const std::size_t workers = bench::number(argv[1]);
  const std::chrono::seconds how_long(bench::number(argv[2]));
  const bench::stopwatch watch;
  const auto begin = clock::now(), middle = begin + how_long / 2, end = begin + how_long;
  std::uint64_t made = 0, got = 0, settled = 0;
  clock::time_point last = middle;
  const auto source = [&] { return clock::now() < end ? std::optional(made++) : std::nullopt; };
  const auto sleep = [](std::uint64_t item) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return item;
  };
  const auto collect = [&](std::uint64_t) {
    ++got;
    const auto now = clock::now();
    if (now < middle) return;
    ++settled;
    last = now;
  };
  (void)(from(source) | stage("sleep", sleep, {.workers = workers}) | sink("collect", collect) | run());
  const bench::used used = watch.read();
  bench::check_sum(got, made, "the number of items");
  bench::result(made, used)
      .add("per_second", static_cast<double>(settled) / std::chrono::duration<double>(last - middle).count())
      .print();
}
