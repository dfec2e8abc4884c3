// Rounds of random experiments on bounded_queue and on pipelines, for as long as one likes:
//
//   soak [--seconds N] [--seed S] [--from ROUND] [--rounds N] [--only queue|pipeline] [--patience SECONDS]
//
// Round n of seed s is the same experiment each time, though not the same interleaving: a failure prints both, and
// --seed s --from n begins with it. Exit status: 0 all well; 1 a round failed; 3 a
// round made no progress within its patience: it hangs, and what is known of it is printed.
#include <algorithm>
#include <charconv>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <limits>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <thread>

#include "tests/soak/pipeline_round.hpp"
#include "tests/soak/queue_round.hpp"

namespace penstock::soak {
namespace {

using clock = std::chrono::steady_clock;

struct settings {
  std::uint64_t seconds = 60, seed = std::random_device{}(), from = 0,
                rounds = std::numeric_limits<std::uint64_t>::max(), patience = 60;
  bool queues = true, pipelines = true;
};

// How far the rounds are: written by the thread that runs them, read by the one that watches.
struct progress {
  std::mutex mutex;
  std::condition_variable changed;
  std::uint64_t round = 0, queue_rounds = 0, pipeline_rounds = 0, items = 0;
  bool over = false;
  std::string failure;
};

void run_rounds(const settings& wanted, progress& far, blackboard& board) {
  const auto until = clock::now() + std::chrono::seconds(wanted.seconds);
  for (std::uint64_t number = wanted.from; number - wanted.from < wanted.rounds && clock::now() < until; ++number) {
    round r{testing::dice_of(wanted.seed, number, number >> 32), board};
    const bool of_queue = !wanted.pipelines || (wanted.queues && !r.one_in(4));
    {
      const std::lock_guard lock(far.mutex);
      far.round = number;
    }
    std::string failure;
    try {
      if (of_queue)
        run_queue_round(r);
      else
        pipeline_round(r).run();
    } catch (const std::exception& e) {
      failure = e.what();
      if (failure.empty()) failure = "an exception without words";
    }
    const std::lock_guard lock(far.mutex);
    far.items += r.items;
    ++(of_queue ? far.queue_rounds : far.pipeline_rounds);
    far.failure = failure;
    if (!failure.empty()) break;
    far.changed.notify_all();
  }
  const std::lock_guard lock(far.mutex);
  far.over = true;
  far.changed.notify_all();
}

void say(const progress& far, clock::time_point began) {
  const double seconds = std::chrono::duration<double>(clock::now() - began).count();
  std::cout << std::fixed << std::setprecision(0) << seconds << " s: " << far.queue_rounds << " queues, "
            << far.pipeline_rounds << " pipelines, " << far.items << " items" << std::endl;
}

int watch(const settings& wanted) {
  progress far;
  blackboard board;
  const auto began = clock::now();
  std::cout << "soak: seed " << wanted.seed << std::endl;
  std::thread rounds([&] { run_rounds(wanted, far, board); });
  auto next_line = began + std::chrono::minutes(1);
  auto last_change = began;
  std::unique_lock lock(far.mutex);
  for (std::uint64_t seen = 0; !far.over;) {
    const auto patience_ends = last_change + std::chrono::seconds(wanted.patience);
    far.changed.wait_until(lock, std::min(next_line, patience_ends));
    const std::uint64_t now = far.queue_rounds + far.pipeline_rounds;
    if (now != seen) {
      seen = now;
      last_change = clock::now();
    } else if (!far.over && clock::now() >= patience_ends) {
      std::cout << "soak: HANGS in round " << far.round << " of seed " << wanted.seed << " (repeat with --seed "
                << wanted.seed << " --from " << far.round << "), without progress for " << wanted.patience
                << " s: " << std::endl;
      board.read(std::cout);
      std::_Exit(3);  // its threads will never end
    }
    if (clock::now() >= next_line) {
      say(far, began);
      next_line += std::chrono::minutes(1);
    }
  }
  lock.unlock();
  rounds.join();
  say(far, began);
  if (far.failure.empty()) return 0;
  std::cout << "soak: FAILED in round " << far.round << " of seed " << wanted.seed << " (repeat with --seed "
            << wanted.seed << " --from " << far.round << "):" << std::endl;
  board.read(std::cout);
  std::cout << far.failure << std::endl;
  return 1;
}

int usage() {
  std::cerr << "usage: soak [--seconds N] [--seed S] [--from ROUND] [--rounds N] [--only queue|pipeline] [--patience "
               "SECONDS]\n";
  return 2;
}

}  // namespace
}  // namespace penstock::soak

int main(int argc, char** argv) {
  using namespace penstock::soak;
  settings wanted;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return usage();
    const std::string_view value = argv[i + 1];
    if (name == "--only") {
      wanted.queues = value == "queue";
      wanted.pipelines = value == "pipeline";
      if (!wanted.queues && !wanted.pipelines) return usage();
      continue;
    }
    std::uint64_t* const where = name == "--seconds"    ? &wanted.seconds
                                 : name == "--seed"     ? &wanted.seed
                                 : name == "--from"     ? &wanted.from
                                 : name == "--rounds"   ? &wanted.rounds
                                 : name == "--patience" ? &wanted.patience
                                                        : nullptr;
    if (!where) return usage();
    const auto parsed = std::from_chars(value.data(), value.data() + value.size(), *where);
    if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) return usage();
  }
  return watch(wanted);
}
