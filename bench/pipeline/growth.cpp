// Does an item cost more when more of them go through, or a stage when there are more stages? Stages of one worker that
// add 1; from the arrival of the first item at the sink to that of the last, so that starting threads does not count.
//
//   bench_pipeline_growth ITEMS STAGES        STAGES: 1, 2, 3, 4, 8 or 16
#include <algorithm>
#include <chrono>
#include <ranges>
#include <utility>
#include <vector>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"

namespace {

const penstock::stage_options options{.capacity = 1024};

template <std::size_t Stages, class Line>
auto with_stages(Line line) {
  if constexpr (Stages == 0)
    return line;
  else
    return with_stages<Stages - 1>(std::move(line) | penstock::stage(
                                                         "add", [](std::uint64_t item) { return item + 1; }, options));
}

// ns per item
template <std::size_t Stages>
double once(std::uint64_t items) {
  std::uint64_t count = 0, sum = 0;
  auto first = std::chrono::steady_clock::now(), last = first;
  const auto collect = [&](std::uint64_t item) {
    if (++count == 1) first = std::chrono::steady_clock::now();
    sum += item;
    if (count == items) last = std::chrono::steady_clock::now();
  };
  (void)(with_stages<Stages>(penstock::from(std::views::iota(std::uint64_t{0}, items))) |
         penstock::sink("collect", collect, options) | penstock::run());
  bench::check_sum(count, items, "the number of items");
  bench::check_sum(sum, bench::sum_below(items) + Stages * items, "the sum");
  return std::chrono::duration<double, std::nano>(last - first).count() / static_cast<double>(items);
}

template <std::size_t Stages>
void measure(std::uint64_t items) {
  const std::uint64_t times = std::clamp<std::uint64_t>(500'000 / items, 1, 20);
  std::vector<double> ns;
  const bench::stopwatch watch;
  for (std::uint64_t i = 0; i < times; ++i) ns.push_back(once<Stages>(items));
  const bench::used used = watch.read();
  std::nth_element(ns.begin(), ns.begin() + static_cast<std::ptrdiff_t>(ns.size() / 2), ns.end());
  const double middle = ns[ns.size() / 2];
  // Source to first stage is a step, and so is last stage to sink.
  bench::result(items * times, used).add("ns_per_item", middle).add("ns_per_step", middle / (Stages + 1)).print();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_pipeline_growth ITEMS STAGES");
  const std::uint64_t items = bench::number(argv[1]);
  switch (bench::number(argv[2])) {
    case 1:
      measure<1>(items);
      break;
    case 2:
      measure<2>(items);
      break;
    case 3:
      measure<3>(items);
      break;
    case 4:
      measure<4>(items);
      break;
    case 8:
      measure<8>(items);
      break;
    case 16:
      measure<16>(items);
      break;
    default:
      bench::fail("stages: 1, 2, 3, 4, 8 or 16");
  }
}
