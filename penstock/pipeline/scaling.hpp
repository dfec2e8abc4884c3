// scaling: how many workers a stage with a range of them should have now, decided from what it did lately. Only the
// decision: the thread that looks, and gives and takes workers, is scaler.hpp's.
//
//   penstock::scaling s(range, processors);
//   auto wanted = s.look({.at = now, .workers = 4, .finished = 812, ...});   // every 20 ms while the stage has work
//   if (wanted.workers != 4) ...                                             // and wanted.why
//
// GROWS    while the stage is the bottleneck (its workers hardly ever wait for items, and not mostly for room for their
//          results), and growing can help: to so many as the processors could feed, by the share of its time at
//          work that a worker is on a processor. All of it: not more workers than processors; a hundredth: a hundred
//          times as many. Doubled at first, by an eighth once the right number has been passed.
// HELPS    or not: what brings less than a tenth of what it should have brought is undone, and the next attempt waits for
//          a second, then two, and so on up to a minute. It is judged when each worker has finished two items since.
// SHRINKS  when the fullest tenth of a second of the last second left workers over, to that and a little more. If that
//          turns out to have been wrong soon, the next time it takes two seconds of evidence, and so on.
// SOURCE   Little's law gives the number from time at work; trying and looking whether it helped is how the thread pool of
//          .NET finds its number (hill climbing; J. L. Hellerstein et al.).
#pragma once

#include <cstddef>
#include <cstdint>

#include <penstock/pipeline/options.hpp>
#include <penstock/pipeline/report.hpp>

namespace penstock {

class scaling {
 public:
  // What the stage has done so far: sums since the run began.
  struct observation {
    std::int64_t at = 0;  // ns
    std::size_t workers = 0;
    std::uint64_t finished = 0;  // items
    // ns of all its workers: while they were there, worked (or paused before a retry), waited for items, for room
    std::int64_t present = 0, at_work = 0, starved = 0, blocked = 0;
    std::int64_t ran = 0, crowded = 0;  // ns of those at work: on a processor; ready, and none was free
    bool work_waits = false;            // now
    double free_processors = 0;         // lately, on the whole machine as far as this process can tell
  };
  struct decision {
    std::size_t workers = 0;
    scaling_reason why{};
  };

  scaling(worker_count range, std::size_t processors) noexcept : range_(range), processors_(processors) {}

  // The number it should have. Looks that come too soon to tell anything change nothing.
  [[nodiscard]] decision look(const observation& o) noexcept;

 private:
  [[nodiscard]] decision grow(const observation& o, double rate) noexcept;
  [[nodiscard]] std::size_t most_that_can_run(const observation& o) const noexcept;
  void learn_share(const observation& o) noexcept;
  void remember(const observation& o) noexcept;
  [[nodiscard]] decision shrink(const observation& o) noexcept;
  decision change(const observation& o, std::size_t workers, scaling_reason why) noexcept;

  static constexpr std::int64_t ms = 1'000'000;

  const worker_count range_;
  const std::size_t processors_;

  observation began_;  // of the window that is open
  bool open_ = false;

  // An attempt to grow, until it is known whether it helped.
  std::size_t grown_from_ = 0;  // 0: none
  double rate_before_ = 0;      // items per ns
  std::int64_t hold_until_ = 0, hold_ = 1000 * ms;

  double processor_share_ = -1;  // of a worker's time at work; below 0: not known
  bool has_been_right_ = false;  // the right number has been passed: small steps from here
  unsigned full_in_a_row_ = 0;

  // The fullest tenth of a second, in workers, since `since_`.
  observation tenth_;
  double fullest_ = 0;
  std::int64_t since_ = 0;
  std::int64_t patience_ = 1000 * ms;
  std::int64_t shrank_at_ = 0;
};

}  // namespace penstock
