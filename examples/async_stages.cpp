// Stages of coroutines beside stages of threads in one pipeline: ten thousand calls wait at the same time, on one thread; two threads compute.
// What a stage is made of is said where it stands; queues, errors, accounts and the end are the same.
#include <chrono>
#include <cstdio>
#include <ranges>
#include <stdexcept>
#include <string>

#include <penstock/async/stage.hpp>
#include <penstock/penstock.hpp>

using namespace std::chrono_literals;

// Asks a server that thinks for 50 ms. While it waits its thread goes on with the others.
penstock::task<std::string> fetch(int number) {
  co_await penstock::sleep_for(50ms);
  if (number % 1000 == 0) throw std::runtime_error("no such page");
  co_return "page " + std::to_string(number);
}
// Computes: in a stage of coroutines it would hold up all the others.
std::size_t count_letters(const std::string& page) { return page.size(); }

int main() {
  std::size_t letters = 0;
  const auto report = penstock::from(std::views::iota(1, 10'001))
                    | penstock::stage("fetch", fetch,         {.in_flight = 10'000, .on_error = penstock::on_error::skip})
                    | penstock::stage("count", count_letters, {.workers = 2})
                    | penstock::sink ("sum",   [&](std::size_t n) { letters += n; })
                    | penstock::run();
  std::printf("%zu letters in %llu pages; %llu failed, the first: %s: %s\n", letters, static_cast<unsigned long long>(report.delivered),
              static_cast<unsigned long long>(report.failed), report.failures.front().place.label.c_str(), report.failures.front().reason.c_str());
  std::printf("one after the other: %d s; here: %.2f s\n", 10'000 * 50 / 1000, std::chrono::duration<double>(report.wall).count());
}
