// What does a call cost that is made in another process? One by one; from a stage of two workers, many at once; in a pool.
//
//   bench_process_isolated_calls call|stage|pool COUNT
#include <numeric>
#include <string>
#include <vector>

#include <penstock/penstock.hpp>
#include <penstock/process/isolated.hpp>
#include <penstock/process/process_pool.hpp>

#include "bench/process/children.hpp"

namespace {

std::uint64_t next_number(std::uint64_t n) { return n + 1; }

}  // namespace

int main(int argc, char** argv) {
  using namespace penstock::process;
  serve_if_worker<next_number>(argc, argv);
  if (argc != 3) bench::fail("usage: bench_process_isolated_calls call|stage|pool COUNT");
  const std::string how = argv[1];
  const std::uint64_t count = bench::number(argv[2]);
  const std::uint64_t expected = bench::sum_below(count) + count;
  std::uint64_t sum = 0;
  bench::used used;
  if (how == "call") {
    isolated_call<next_number> call;
    (void)call(0, {});  // starts the worker
    const bench::stopwatch_with_children watch;
    for (std::uint64_t i = 0; i < count; ++i) sum += call(i, {});
    used = watch.read();
  } else if (how == "pool") {
    process_pool<next_number> pool({.workers = 2});
    std::vector<std::uint64_t> items(count);
    std::iota(items.begin(), items.end(), std::uint64_t{0});
    (void)pool.map(std::vector<std::uint64_t>(100));
    const bench::stopwatch_with_children watch;
    for (const std::uint64_t n : pool.map(items)) sum += n;
    used = watch.read();
  } else {
    std::uint64_t n = 0;
    const bench::stopwatch_with_children watch;
    const auto report = penstock::from([&]() -> std::optional<std::uint64_t> {
                          return n < count ? std::optional(n++) : std::nullopt;
                        }) |
                        penstock::stage("call", isolated<next_number>(), {.workers = 2, .capacity = 256}) |
                        penstock::sink("add", [&](std::uint64_t result) { sum += result; }) | penstock::run();
    used = watch.read();
    bench::check(report.sums_meet(), "the accounts");
  }
  bench::check_sum(sum, expected, "the sum of the results");
  bench::result(count, used).print();
}
