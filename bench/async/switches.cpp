// What does it cost to await a child, in ns, its frame included?
//
//   bench_async_switches penstock|asio N
#include <string_view>

#include <boost/asio.hpp>

#include <penstock/async/run.hpp>
#include <penstock/async/task.hpp>

#include "bench/measure.hpp"

namespace {

[[gnu::noinline]] penstock::task<std::uint64_t> child(std::uint64_t v) { co_return v; }
penstock::task<std::uint64_t> parent(std::uint64_t n) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < n; ++i) sum += co_await child(i);
  co_return sum;
}

using context = boost::asio::io_context;
template <class T>
using awaitable = boost::asio::awaitable<T, context::executor_type>;
[[gnu::noinline]] awaitable<std::uint64_t> asio_child(std::uint64_t v) { co_return v; }
awaitable<void> asio_parent(std::uint64_t n, std::uint64_t& sum) {
  for (std::uint64_t i = 0; i < n; ++i) sum += co_await asio_child(i);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_async_switches SYSTEM N");
  const std::string_view system = argv[1];
  const std::uint64_t count = bench::number(argv[2]);
  std::uint64_t sum = 0;
  const bench::stopwatch watch;
  if (system == "penstock") {
    sum = penstock::run(parent(count));
  } else if (system == "asio") {
    context c(1);
    boost::asio::co_spawn(c.get_executor(), asio_parent(count, sum), boost::asio::detached);
    c.run();
  } else {
    bench::fail("no such system");
  }
  const bench::used used = watch.read();
  bench::check_sum(sum, bench::sum_below(count), "the sum");
  bench::result(count, used).print();
}
