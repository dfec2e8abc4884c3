// report: what a run did, stage by stage, with the one sentence that says where its time went. The same type is the
// live snapshot.
//
//   auto report = ... | penstock::run();
//   std::cout << report;               // a table, the sums, the bottleneck, the failures
//   std::cout << to_json(report);      // the same for programs
//
// SUMS     Every item that entered a stage ended there in one way: in = passed + filtered + failed + dead_lettered +
//          returned. What a stage put out is what the next one took in. A run whose sums do not meet throws
//          std::logic_error: it is our bug. In a snapshot of a running pipeline some items are under way, so `in` is
//          larger.
// SHARES   busy, starved, blocked and paused are shares of the stage's worker time and add up to 1: in the function,
//          waiting for an item, waiting for room in the next stage, waiting for the next attempt. Of a stage of coroutines
//          they are shares of its in_flight; and it is no less busy than its thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/pipeline/errors.hpp>
#include <penstock/pipeline/histogram.hpp>

namespace penstock {

enum class outcome {
  running,    // a snapshot
  completed,  // the source ended and everything went through
  drained,    // ended early on request; everything that had entered went through
  cancelled,  // stopped on request; what was waiting is in `unfinished`
  failed,     // stopped by a failure; what was waiting is in `unfinished`
};

[[nodiscard]] std::string_view to_string(outcome o) noexcept;

// Why a stage with a range of workers got more or fewer.
enum class scaling_reason : std::uint8_t {
  none,
  waits_outside,    // work waited, and its workers mostly waited for something outside
  processors_free,  // work waited, and processors were free
  no_gain,          // more workers had not raised the rate
  idle,             // some had nothing to do
  no_thread,        // there were no more threads to be had
};
[[nodiscard]] std::string_view to_string(scaling_reason r) noexcept;

struct scaling_step {
  std::chrono::nanoseconds at{0};  // since the run began
  std::size_t from = 0, to = 0;    // workers
  scaling_reason why{};
};

struct stage_report {
  std::string name;
  std::size_t workers = 0;    // now, or at the end
  std::size_t in_flight = 0;  // of a stage of coroutines: so many calls at once, on its one thread
  std::size_t least_workers = 0, most_workers = 0;  // its range; the same where the number is fixed
  std::vector<scaling_step> scaling{};              // the last 64

  std::uint64_t in = 0;        // items that entered
  std::uint64_t passed = 0;    // finished here with a result, or delivered where this is the sink
  std::uint64_t filtered = 0;  // finished here with none
  std::uint64_t failed = 0;
  std::uint64_t dead_lettered = 0;
  std::uint64_t returned = 0;  // not finished because the run was stopped
  std::uint64_t out = 0;       // results put out; differs from `passed` where items are expanded
  std::uint64_t retried = 0;   // attempts beyond the first

  double busy = 0, starved = 0, blocked = 0, paused = 0;
  double thread = 0;             // of a stage of coroutines: the share in which its thread had something to do
  double processor = 0;          // processor time as a share of busy time; known once the run has ended
  double crowded = 0;            // the share in which it was ready to run and no processor was free; known then, too
  duration_quantiles service{};  // time in the function, per attempt; fast functions are sampled

  std::size_t waiting = 0;  // items in its queue now
  std::size_t peak_waiting = 0;
  std::size_t capacity = 0;  // 0 for the source

  // How many calls of its function may be under way at the same time.
  [[nodiscard]] std::size_t at_once() const noexcept { return in_flight ? in_flight : workers; }
};

struct report {
  penstock::outcome outcome = penstock::outcome::running;
  std::chrono::nanoseconds wall{0};
  std::vector<stage_report> stages;  // the source first
  duration_quantiles latency{};      // from the source to the end of the sink; sampled where items are fast

  std::uint64_t entered = 0;   // from the source
  std::uint64_t expanded = 0;  // made on the way, beyond one result per item
  std::uint64_t delivered = 0, filtered = 0, failed = 0, dead_lettered = 0, returned = 0;

  std::vector<failure> failures;  // the first ones; `failed` counts all
  // What was returned. If there was no memory to list an item, or for the item in the list, the run has failed.
  std::vector<unfinished_item> unfinished;

  // delivered + filtered + failed + dead_lettered + returned == entered + expanded, and the same for each stage.
  [[nodiscard]] bool sums_meet() const noexcept;
  // The index in `stages` of the one that sets the pace; npos when too little happened to tell.
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  [[nodiscard]] std::size_t bottleneck() const noexcept;
  // One sentence: which stage sets the pace, how one can tell, and what would relieve it.
  [[nodiscard]] std::string bottleneck_sentence() const;
};

// The table, the sums and the sentence.
std::ostream& print_numbers(std::ostream& out, const report& r);
// The same and the failures.
std::ostream& operator<<(std::ostream& out, const report& r);
[[nodiscard]] std::string to_json(const report& r);
// 950 ns, 12 µs, 3.4 ms, 2.1 s, 4 min 10 s
[[nodiscard]] std::string duration_text(std::chrono::nanoseconds d);

}  // namespace penstock
