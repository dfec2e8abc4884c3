// How long do N tasks take that sleep for 0.1 s, from the first that is started to the last that has ended, and how much
// memory does each take?
//
//   bench_async_sleepers penstock|asio|threads N
#include <chrono>
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio.hpp>

#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>

#include "bench/measure.hpp"

namespace {

using namespace std::chrono_literals;
constexpr auto pause = 100ms;

penstock::task<> sleeper(std::uint64_t& ended) {
  co_await penstock::sleep_for(pause);
  ++ended;
}
void with_penstock(std::uint64_t count, std::uint64_t& ended) {
  const auto all = [](std::uint64_t n, std::uint64_t& e) -> penstock::task<> {
    penstock::group g;
    for (std::uint64_t i = 0; i < n; ++i) g.add(sleeper(e));
    co_await g.wait();
  };
  penstock::run(all(count, ended));
}

// With what its documentation offers for speed: a known executor type, one thread, no lock.
using context = boost::asio::io_context;
template <class T>
using awaitable = boost::asio::awaitable<T, context::executor_type>;
using asio_timer =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                      context::executor_type>;
awaitable<void> asio_sleeper(context& c, std::uint64_t& ended) {
  asio_timer t(c, pause);
  co_await t.async_wait(boost::asio::use_awaitable_t<context::executor_type>());
  ++ended;
}
void with_asio(std::uint64_t count, std::uint64_t& ended) {
  context c(1);
  for (std::uint64_t i = 0; i < count; ++i)
    boost::asio::co_spawn(c.get_executor(), asio_sleeper(c, ended), boost::asio::detached);
  c.run();
}

void with_threads(std::uint64_t count, std::uint64_t& ended) {
  std::atomic<std::uint64_t> done = 0;
  {
    std::vector<std::jthread> all;
    all.reserve(count);
    for (std::uint64_t i = 0; i < count; ++i)
      all.emplace_back([&] {
        std::this_thread::sleep_for(pause);
        ++done;
      });
  }
  ended = done;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) bench::fail("usage: bench_async_sleepers SYSTEM N");
  const std::string_view system = argv[1];
  const std::uint64_t count = bench::number(argv[2]);
  std::uint64_t ended = 0;
  const std::uint64_t before = bench::peak_rss_kib();
  const bench::stopwatch watch;
  if (system == "penstock")
    with_penstock(count, ended);
  else if (system == "asio")
    with_asio(count, ended);
  else if (system == "threads")
    with_threads(count, ended);
  else
    bench::fail("no such system");
  const bench::used used = watch.read();
  bench::check_sum(ended, count, "the number of tasks that ended");
  bench::result(count, used)
      .add("bytes_per_task", 1024. * static_cast<double>(bench::peak_rss_kib() - before) / static_cast<double>(count))
      .print();
}
