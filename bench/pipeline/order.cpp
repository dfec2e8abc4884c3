// What does it cost to keep the order? A stage of four workers, ordered or not; all of its items pass, or every tenth
// is filtered, or every hundredth fails.
//
//   bench_pipeline_order unordered|ordered WORK_NS ITEMS passing|filtering|failing
#include <optional>
#include <ranges>
#include <stdexcept>
#include <string_view>

#include <penstock/penstock.hpp>

#include "bench/measure.hpp"

namespace {

enum class fate { passing, filtering, failing };

fate fate_named(std::string_view name) {
  if (name == "passing") return fate::passing;
  if (name == "filtering") return fate::filtering;
  if (name == "failing") return fate::failing;
  bench::fail("passing, filtering or failing, not " + std::string(name));
}

// The numbers below n that are divisible by m.
constexpr std::uint64_t multiples(std::uint64_t n, std::uint64_t m) { return (n + m - 1) / m; }

}  // namespace

int main(int argc, char** argv) {
  using namespace penstock;
  if (argc != 5) bench::fail("usage: bench_pipeline_order unordered|ordered WORK_NS ITEMS passing|filtering|failing");
  const std::string_view order = argv[1];
  if (order != "ordered" && order != "unordered") bench::fail("ordered or unordered, not " + std::string(order));
  const bench::work work = bench::calibrated(static_cast<double>(bench::number(argv[2])));
  const std::uint64_t items = bench::number(argv[3]);
  const fate what = fate_named(argv[4]);
  const stage_options options{
      .workers = 4, .capacity = 1024, .ordered = order == "ordered", .on_error = on_error::skip};
  std::uint64_t count = 0, sum = 0, next = 0;
  bool in_order = true;
  const auto collect = [&](std::uint64_t item) {
    ++count;
    sum += item;
    in_order = in_order && item >= next;
    next = item + 1;
  };

  const auto line = [&](auto function) {
    const bench::stopwatch watch;
    (void)(from(std::views::iota(std::uint64_t{0}, items)) | stage("work", function, options) |
           sink("collect", collect, {.capacity = 1024}) | run());
    return watch.read();
  };
  bench::used used;
  std::uint64_t dropped_every = 0;
  switch (what) {
    case fate::passing:
      used = line([&](std::uint64_t item) {
        work(item);
        return item;
      });
      break;
    case fate::filtering:
      dropped_every = 10;
      used = line([&](std::uint64_t item) {
        work(item);
        return item % 10 == 0 ? std::nullopt : std::optional(item);
      });
      break;
    case fate::failing:
      dropped_every = 100;
      used = line([&](std::uint64_t item) {
        work(item);
        if (item % 100 == 0) throw std::runtime_error("one in a hundred");
        return item;
      });
      break;
  }
  const std::uint64_t dropped = dropped_every ? multiples(items, dropped_every) : 0;
  bench::check_sum(count, items - dropped, "the number of items");
  bench::check_sum(sum, bench::sum_below(items) - dropped_every * bench::sum_below(dropped), "the sum");
  bench::check(in_order || !options.ordered, "the items are not in order");
  bench::result(items, used).add("in_order", in_order ? "true" : "false").print();
}
