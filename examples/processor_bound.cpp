// Work that keeps a processor busy, in three ways: one after the other, on threads, in processes. The function is the same, and so is what
// comes back. Threads are as good as processes in C++, and cheaper; a process is for a function that may crash, leak or not end.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <utility>
#include <vector>

#include <penstock/async/fan_out.hpp>
#include <penstock/process/process_pool.hpp>

using penstock::process::process_pool;
using pair = std::pair<int, int>;

// Both the long way round, so that there is something to do.
std::vector<int> factors(int number) {
  std::vector<int> found;
  for (int i = 1; i <= number; ++i)
    if (number % i == 0) found.push_back(i);
  return found;
}
int greatest_common_divisor(const pair& p) {
  int divisor = std::min(p.first, p.second);
  while (p.first % divisor != 0 || p.second % divisor != 0) --divisor;
  return divisor;
}

template <class Work>
auto timed(Work work, double& ms) {
  const auto began = std::chrono::steady_clock::now();
  auto results = work();
  ms = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began).count();
  return results;
}

template <auto Function, class Item>
auto three_ways(const char* name, const std::vector<Item>& items) {
  double serial = 0, threads = 0, processes = 0, again = 0;
  const auto results = timed([&] { return penstock::fan_out(items, Function, {.workers = 1}); }, serial);
  process_pool<Function> pool;
  const bool same = results == timed([&] { return penstock::fan_out(items, Function); }, threads) &&
                    results == timed([&] { return penstock::fan_out(items, pool); }, processes) &&  // starts them
                    results == timed([&] { return penstock::fan_out(items, pool); }, again);
  std::printf("%s: %.1f ms; threads %.2f times as fast; processes %.2f, once they are there %.2f; %s\n", name, serial, serial / threads,
              serial / processes, serial / again, same ? "the same results" : "NOT THE SAME");
  return results;
}

int main(int argc, char** argv) {
  // First: a worker process is this program, executed anew.
  penstock::process::serve_if_worker<factors, greatest_common_divisor>(argc, argv);

  const std::vector<int> numbers{2139079, 1214759, 1516637, 1852285};
  const auto found = three_ways<factors>("factors", numbers);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    std::printf("%d:", numbers[i]);
    for (const int factor : found[i]) std::printf(" %d", factor);
    std::printf("\n");
  }

  const std::vector<pair> pairs{{1963309, 2265973}, {2030677, 3814172}, {1551645, 2229620}, {2039045, 2020802}};
  const auto divisors = three_ways<greatest_common_divisor>("divisors", pairs);
  for (std::size_t i = 0; i < pairs.size(); ++i) std::printf("%d, %d: %d\n", pairs[i].first, pairs[i].second, divisors[i]);
}
