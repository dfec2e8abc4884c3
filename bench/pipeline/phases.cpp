// How long does an item take through source → three phases → collector, when the phases do nothing, compute, or sleep?
//
//   bench_pipeline_phases SYSTEM WORKERS,WORKERS,WORKERS ITEMS nothing|compute:NS|sleep:NS
//
// SYSTEM: penstock, tbb_pipeline, tbb_graph; threads by hand on a queue: penstock_queue, mutex, tbb_queue, fiber,
// moodycamel; ceiling: the work alone, shared out beforehand.
#include "bench/pipeline/phases.hpp"

#include <chrono>
#include <string>
#include <string_view>
#include <thread>

#include "bench/measure.hpp"

namespace {

std::array<std::size_t, 3> three_numbers(std::string_view text) {
  std::array<std::size_t, 3> numbers{};
  for (std::size_t& n : numbers) {
    const auto comma = std::min(text.find(','), text.size());
    n = bench::number(text.substr(0, comma));
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return numbers;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5)
    bench::fail("usage: bench_pipeline_phases SYSTEM WORKERS,WORKERS,WORKERS ITEMS nothing|compute:NS|sleep:NS");
  const std::string_view system = argv[1];
  const bench::shape shape{three_numbers(argv[2]), bench::number(argv[3])};
  const std::string_view work = argv[4];
  bench::used used;
  double work_ns = 0;
  if (work == "nothing") {
    used = bench::run_phases(system, shape, false, [](std::uint64_t item) { return item + 1; });
  } else if (work.starts_with("compute:")) {
    const bench::work compute = bench::calibrated(static_cast<double>(bench::number(work.substr(8))));
    work_ns = compute.ns;
    used = bench::run_phases(system, shape, false, [compute](std::uint64_t item) {
      compute(item);
      return item + 1;
    });
  } else if (work.starts_with("sleep:")) {
    const std::chrono::nanoseconds pause(bench::number(work.substr(6)));
    work_ns = static_cast<double>(pause.count());
    used = bench::run_phases(system, shape, true, [pause](std::uint64_t item) {
      std::this_thread::sleep_for(pause);
      return item + 1;
    });
  } else {
    bench::fail("no such work: " + std::string(work));
  }
  bench::result(shape.items, used).add("work_ns", work_ns).print();
}
