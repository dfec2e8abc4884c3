// How many items a second go through a channel of 1024, one by one: between two tasks of one thread, or of two threads?
//
//   bench_async_channel penstock|batches|threads|asio one|two ITEMS
#include <string_view>
#include <thread>
#include <vector>

#include <boost/asio.hpp>
#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>

#include <penstock/async/channel.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>

#include "bench/measure.hpp"

namespace {

constexpr std::size_t capacity = 1024;

penstock::task<> feed(penstock::channel<std::uint64_t>& c, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; ++i) co_await c.push(std::uint64_t{i});
  c.close();
}
penstock::task<> drain(penstock::channel<std::uint64_t>& c, std::uint64_t& sum) {
  while (auto i = co_await c.pop()) sum += *i;
}
penstock::task<> on_one(std::uint64_t n, std::uint64_t& sum) {
  penstock::channel<std::uint64_t> c(capacity);
  penstock::group g;
  g.add(drain(c, sum));
  g.add(feed(c, n));
  co_await g.wait();
}

using queue = penstock::bounded_queue<std::uint64_t>;
penstock::task<> feed_queue(queue& q, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; ++i) co_await async_push(q, std::uint64_t{i});
  q.close();
}
penstock::task<> drain_queue(queue& q, std::uint64_t& sum) {
  while (auto i = co_await async_pop(q)) sum += *i;
}
void on_two(std::uint64_t n, std::uint64_t& sum) {
  queue q(capacity);
  const std::jthread producer([&] { penstock::run(feed_queue(q, n)); });
  penstock::run(drain_queue(q, sum));
}

// The same, 64 at once.
penstock::task<> feed_ranges(queue& q, std::uint64_t n) {
  std::vector<std::uint64_t> some;
  for (std::uint64_t i = 0; i < n;) {
    some.clear();
    for (; some.size() < 64 && i < n; ++i) some.push_back(i);
    co_await async_push_range(q, some);
  }
  q.close();
}
penstock::task<> drain_ranges(queue& q, std::uint64_t& sum) {
  std::vector<std::uint64_t> some;
  while (const std::size_t count = co_await async_pop_some(q, some, 64)) {
    for (std::size_t i = 0; i < count; ++i) sum += some[i];
    some.clear();
  }
}
void in_batches(std::uint64_t n, std::uint64_t& sum) {
  queue q(capacity);
  const std::jthread producer([&] { penstock::run(feed_ranges(q, n)); });
  penstock::run(drain_ranges(q, sum));
}
// Two threads that block, without any tasks.
void on_threads(std::uint64_t n, std::uint64_t& sum) {
  queue q(capacity);
  const std::jthread producer([&] {
    for (std::uint64_t i = 0; i < n; ++i) q.push(std::uint64_t{i});
    q.close();
  });
  while (const auto i = q.pop()) sum += *i;
}

namespace asio = boost::asio;
template <class Channel>
asio::awaitable<void> asio_feed(Channel& c, std::uint64_t n) {
  for (std::uint64_t i = 0; i < n; ++i) co_await c.async_send(boost::system::error_code(), i, asio::use_awaitable);
}
template <class Channel>
asio::awaitable<void> asio_drain(Channel& c, std::uint64_t n, std::uint64_t& sum) {
  for (std::uint64_t i = 0; i < n; ++i) sum += co_await c.async_receive(asio::use_awaitable);
}
void asio_one(std::uint64_t n, std::uint64_t& sum) {
  asio::io_context context(1);
  asio::experimental::channel<void(boost::system::error_code, std::uint64_t)> c(context, capacity);
  asio::co_spawn(context, asio_drain(c, n, sum), asio::detached);
  asio::co_spawn(context, asio_feed(c, n), asio::detached);
  context.run();
}
void asio_two(std::uint64_t n, std::uint64_t& sum) {
  asio::io_context here(1), there(1);
  asio::experimental::concurrent_channel<void(boost::system::error_code, std::uint64_t)> c(here, capacity);
  asio::co_spawn(here, asio_drain(c, n, sum), asio::detached);
  asio::co_spawn(there, asio_feed(c, n), asio::detached);
  const std::jthread producer([&] { there.run(); });
  here.run();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) bench::fail("usage: bench_async_channel SYSTEM one|two ITEMS");
  const std::string_view system = argv[1];
  const bool two = std::string_view(argv[2]) == "two";
  const std::uint64_t count = bench::number(argv[3]);
  std::uint64_t sum = 0;
  const bench::stopwatch watch;
  if (system == "penstock")
    two ? on_two(count, sum) : penstock::run(on_one(count, sum));
  else if (system == "batches")
    in_batches(count, sum);
  else if (system == "threads")
    on_threads(count, sum);
  else if (system == "asio")
    two ? asio_two(count, sum) : asio_one(count, sum);
  else
    bench::fail("no such system");
  const bench::used used = watch.read();
  bench::check_sum(sum, bench::sum_below(count), "the sum");
  bench::result(count, used).print();
}
