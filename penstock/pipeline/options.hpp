// What can be said about a stage, and about a run. Written with designated initialisers:
//
//   stage("upload", upload, {.workers = 5, .on_error = on_error::skip, .retry = {.attempts = 4, .backoff = 200ms}})
#pragma once

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <stop_token>

#include <penstock/pipeline/errors.hpp>

namespace penstock {

enum class on_error {
  stop,  // the first failed item ends the run
  skip,  // it is recorded and the run goes on
};

// How many workers a stage has: a fixed number, a range within which the run finds the right one (scaling.hpp), or
// `automatic`, the range that suits most.
//
//   {.workers = 4}    {.workers = {2, 16}}    {.workers = penstock::automatic}
class worker_count {
 public:
  template <std::integral N>
  constexpr worker_count(N fixed) noexcept : worker_count(fixed, fixed) {}  // NOLINT(google-explicit-constructor)
  template <std::integral N, std::integral M>
  constexpr worker_count(N least, M most) noexcept
      : least_(least > 0 ? static_cast<std::size_t>(least) : 0), most_(most > 0 ? static_cast<std::size_t>(most) : 0) {}

  [[nodiscard]] constexpr std::size_t least() const noexcept { return least_; }
  [[nodiscard]] constexpr std::size_t most() const noexcept { return most_; }
  [[nodiscard]] constexpr bool is_fixed() const noexcept { return least_ == most_; }
  friend constexpr bool operator==(worker_count, worker_count) noexcept = default;

 private:
  std::size_t least_, most_;
};
inline constexpr worker_count automatic{1, 64};

// A failed item is tried again by the same worker, after a pause that doubles from try to try. A run that drains does
// not pause: what is left of the attempts is made at once.
struct retry_policy {
  unsigned attempts = 1;                                              // in all; 1: no retry
  std::chrono::nanoseconds backoff = std::chrono::milliseconds(100);  // before the second attempt
  std::chrono::nanoseconds max_backoff = std::chrono::seconds(30);
  double jitter = 0.5;  // each pause is shortened by a random part of it, up to this share
  std::function<bool(const std::exception_ptr&)> retry_if{};  // empty: every exception is worth another attempt
};

// With on_error::skip: where skipping ends and the run fails after all.
struct failure_limit {
  std::uint64_t count = std::numeric_limits<std::uint64_t>::max();  // more failed items than this
  double rate = 1.0;                                                // a larger share of the stage's items than this...
  std::uint64_t rate_after = 20;                                    // ...once so many have been through
};

struct stage_options {
  worker_count workers = 1;
  std::size_t capacity = 16;       // items that may wait before this stage; at least 1
  std::size_t capacity_bytes = 0;  // their size, if the item type tells it (item.hpp); 0: no limit in bytes
  // Results leave in the order of the items, whichever worker is done first. With several workers up to capacity +
  // workers finished results wait here for their turn, besides what waits before the stage; capacity_bytes does not
  // count them.
  bool ordered = false;
  penstock::on_error on_error = penstock::on_error::stop;
  failure_limit limit{};
  retry_policy retry{};
  std::chrono::nanoseconds timeout{0};  // per attempt, through the function's std::stop_token; 0: none
  // Takes the items that failed for good; they count as dead-lettered, and the run goes on. Called by workers, so
  // possibly at the same time. If it throws, the run fails.
  std::function<void(unfinished_item&&)> dead_letter{};
};

struct run_options {
  std::stop_token stop{};           // stop: what waits is handed back (report::unfinished), what is in work is finished
  std::stop_token drain{};          // drain: the source ends early, and everything that entered is finished
  std::size_t keep_failures = 100;  // listed in the report; all are counted
  std::function<void(const failure&)>
      on_failure{};  // called for each as it happens, by workers, possibly at the same time
};

}  // namespace penstock
