// How long does a generation of the Game of Life take in which each cell waits 10 ms to count its neighbours and 100 ms for
// its rule, all cells at the same time? And how much memory?
//
//   bench_async_life penstock|asio|threads SIDE GENERATIONS
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
constexpr auto counting = 10ms, ruling = 100ms;

// On a torus, with the R-pentomino: it grows.
class grid {
 public:
  explicit grid(std::size_t side) : side_(side), cells_(side * side) {
    for (const auto& [y, x] : {std::pair{0, 1}, {0, 2}, {1, 0}, {1, 1}, {2, 1}})
      cells_[(side / 2 + static_cast<std::size_t>(y)) * side + side / 2 + static_cast<std::size_t>(x)] = 1;
  }
  [[nodiscard]] std::size_t size() const { return cells_.size(); }
  [[nodiscard]] int neighbours(std::size_t cell) const {
    const std::size_t y = cell / side_, x = cell % side_;
    int count = -cells_[cell];
    for (const std::size_t dy : {side_ - 1, std::size_t{0}, std::size_t{1}})
      for (const std::size_t dx : {side_ - 1, std::size_t{0}, std::size_t{1}})
        count += cells_[(y + dy) % side_ * side_ + (x + dx) % side_];
    return count;
  }
  [[nodiscard]] char next(std::size_t cell, int n) const { return n == 3 || (n == 2 && cells_[cell]) ? 1 : 0; }
  char& operator[](std::size_t cell) { return cells_[cell]; }
  [[nodiscard]] std::uint64_t sum() const {
    std::uint64_t all = 0;
    for (std::size_t i = 0; i < cells_.size(); ++i) all += cells_[i] ? i : 0;
    return all;
  }

 private:
  std::size_t side_;
  std::vector<char> cells_;
};
grid in_memory(std::size_t side, std::uint64_t generations) {
  grid now(side), next = now;
  for (; generations > 0; --generations) {
    for (std::size_t i = 0; i < now.size(); ++i) next[i] = now.next(i, now.neighbours(i));
    now = next;
  }
  return now;
}

penstock::task<> cell(const grid& now, grid& next, std::size_t i) {
  co_await penstock::sleep_for(counting);
  const int n = now.neighbours(i);
  co_await penstock::sleep_for(ruling);
  next[i] = now.next(i, n);
}
penstock::task<> generation(const grid& now, grid& next) {
  penstock::group g;
  for (std::size_t i = 0; i < now.size(); ++i) g.add(cell(now, next, i));
  co_await g.wait();
}

using context = boost::asio::io_context;
using timer =
    boost::asio::basic_waitable_timer<std::chrono::steady_clock, boost::asio::wait_traits<std::chrono::steady_clock>,
                                      context::executor_type>;
boost::asio::awaitable<void, context::executor_type> asio_cell(context& c, const grid& now, grid& next, std::size_t i) {
  timer t(c, counting);
  co_await t.async_wait(boost::asio::use_awaitable_t<context::executor_type>());
  const int n = now.neighbours(i);
  t.expires_after(ruling);
  co_await t.async_wait(boost::asio::use_awaitable_t<context::executor_type>());
  next[i] = now.next(i, n);
}
void asio_generation(const grid& now, grid& next) {
  context c(1);
  for (std::size_t i = 0; i < now.size(); ++i)
    boost::asio::co_spawn(c.get_executor(), asio_cell(c, now, next, i), boost::asio::detached);
  c.run();
}

void threads_generation(const grid& now, grid& next) {
  std::vector<std::jthread> all;
  all.reserve(now.size());
  for (std::size_t i = 0; i < now.size(); ++i)
    all.emplace_back([&, i] {
      std::this_thread::sleep_for(counting);
      const int n = now.neighbours(i);
      std::this_thread::sleep_for(ruling);
      next[i] = now.next(i, n);
    });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) bench::fail("usage: bench_async_life SYSTEM SIDE GENERATIONS");
  const std::string_view system = argv[1];
  const auto side = static_cast<std::size_t>(bench::number(argv[2]));
  const std::uint64_t generations = bench::number(argv[3]);
  const std::uint64_t expected = in_memory(side, generations).sum();
  grid now(side), next = now;
  const bench::stopwatch watch;
  for (std::uint64_t g = 0; g < generations; ++g) {
    if (system == "penstock")
      penstock::run(generation(now, next));
    else if (system == "asio")
      asio_generation(now, next);
    else if (system == "threads")
      threads_generation(now, next);
    else
      bench::fail("no such system");
    now = next;
  }
  const bench::used used = watch.read();
  bench::check_sum(now.sum(), expected, "the sum of the living cells");
  bench::result(generations, used).print();
}
