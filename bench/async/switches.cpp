// What does it cost to await a child, its frame included; and to send an answer to a generator?
//
//   bench_async_switches penstock|asio|threads child N     threads: one that is started and joined
//   bench_async_switches penstock|coroutine2 send N
#include <string_view>
#include <thread>

#include <boost/asio.hpp>
#include <boost/coroutine2/all.hpp>

#include <penstock/async/generator.hpp>
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

penstock::generator<std::uint64_t, std::uint64_t, std::uint64_t> asks(std::uint64_t n) {
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < n; ++i) {
    const std::uint64_t answer = co_yield i;
    sum += answer;
  }
  co_return sum;
}
std::uint64_t send(std::uint64_t n) {
  auto g = asks(n);
  while (const std::uint64_t* q = g.question()) g.send(*q);
  return g.result();
}
// It has one way only: the answer goes through a variable of both.
std::uint64_t send_coroutine2(std::uint64_t n) {
  std::uint64_t answer = 0, sum = 0;
  boost::coroutines2::coroutine<std::uint64_t>::pull_type g([&](auto& ask) {
    for (std::uint64_t i = 0; i < n; ++i) {
      ask(i);
      sum += answer;
    }
  });
  while (g) {
    answer = g.get();
    g();
  }
  return sum;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) bench::fail("usage: bench_async_switches SYSTEM child|send N");
  const std::string_view system = argv[1], what = argv[2];
  const std::uint64_t count = bench::number(argv[3]);
  std::uint64_t sum = 0;
  const bench::stopwatch watch;
  if (system == "penstock") {
    sum = what == "send" ? send(count) : penstock::run(parent(count));
  } else if (system == "coroutine2") {
    sum = send_coroutine2(count);
  } else if (system == "threads") {
    for (std::uint64_t i = 0; i < count; ++i) std::thread([&] { sum += i; }).join();
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
