#include <algorithm>
#include <stdexcept>
#include <utility>

#include <penstock/base/sleep.hpp>
#include <penstock/base/system.hpp>
#include <penstock/pipeline/stage_policy.hpp>

namespace penstock {

stage_policy::stage_policy(std::string stage, stage_options options, stage_abilities abilities, run_control& control)
    : stage_(std::move(stage)), options_(std::move(options)), abilities_(abilities), control_(control) {}

void stage_policy::check() const {
  // The name stands in tables and in what() of exceptions, which end at a zero byte.
  if (const std::size_t zero = stage_.find('\0'); zero != std::string::npos)
    throw std::invalid_argument("penstock: the name of the stage \"" + stage_.substr(0, zero) +
                                "\" goes on after a zero byte; a name is text without one");
  const auto require = [this](bool holds, const char* what) {
    if (!holds) throw std::invalid_argument("penstock: stage \"" + stage_ + "\": " + what);
  };
  const worker_count workers = options_.workers;
  require(workers.least() > 0, "needs at least one worker");
  require(workers.least() <= workers.most(), "has a range of workers whose end comes before its beginning");
  require(options_.capacity > 0, "needs a capacity of at least 1");
  require(options_.retry.attempts > 0, "retry.attempts counts the first one too, so it is at least 1");
  // What overflows in the conversion to nanoseconds (hours::max()) is negative, too.
  require(options_.retry.backoff.count() >= 0, "retry.backoff cannot be negative; the longest is nanoseconds::max()");
  require(options_.retry.max_backoff.count() >= 0,
          "retry.max_backoff cannot be negative; the longest is nanoseconds::max()");
  require(options_.retry.jitter >= 0 && options_.retry.jitter <= 1, "retry.jitter is a share from 0 to 1");
  require(options_.limit.rate >= 0 && options_.limit.rate <= 1, "limit.rate is a share from 0 to 1");
  require(options_.timeout.count() >= 0, "a timeout cannot be negative; the longest is nanoseconds::max()");
  require(options_.timeout.count() == 0 || abilities_.takes_stop,
          "has a timeout, but its function takes no std::stop_token by which it could be told");
  require(abilities_.can_keep_item || (options_.retry.attempts == 1 && !options_.dead_letter),
          "uses its item up and the item cannot be copied, so it can be neither retried nor dead-lettered; take it by "
          "reference");
  require(workers.is_fixed() || !abilities_.own_threads,
          "has a function made per worker, each on a thread of its own: give it a fixed number of workers");
  require(abilities_.shareable || workers.most() == 1,
          "has a function that changes its own state (a mutable lambda): use one worker, or per_worker(...)");
  require(options_.capacity_bytes == 0 || abilities_.knows_bytes,
          "has a capacity in bytes, but its items do not tell their size: give their type a function item_bytes(const "
          "item&)");
  require(!(options_.ordered && abilities_.is_sink && workers.most() > 1),
          "a sink with several workers cannot keep the order: use one worker");
}

std::optional<std::chrono::nanoseconds> stage_policy::pause_after(unsigned attempt,
                                                                  const std::exception_ptr& cause) const {
  if (attempt >= options_.retry.attempts || control_.stopping()) return std::nullopt;
  if (options_.retry.retry_if && !options_.retry.retry_if(cause)) return std::nullopt;
  // Doubled in floating point: no overflow after 60 attempts.
  double pause = static_cast<double>(options_.retry.backoff.count());
  const auto most = static_cast<double>(options_.retry.max_backoff.count());
  for (unsigned i = 1; i < attempt && pause < most; ++i) pause *= 2;
  pause = std::min(pause, most) * (1 - options_.retry.jitter * system::random_share());
  // max(), as a double, is one more than max(): "for ever" must not become a negative time.
  constexpr auto for_ever = std::chrono::nanoseconds::max();
  if (pause >= static_cast<double>(for_ever.count())) return for_ever;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(pause));
}

bool stage_policy::try_again(unsigned attempt, const std::exception_ptr& cause, worker& self) const {
  const auto pause = pause_after(attempt, cause);
  if (!pause) return false;
  const counted_wait waiting(self, wait_kind::paused);
  if (!sleep_for(*pause, control_.drain_token()) && control_.stopping()) return false;
  self.retried.add();
  return true;
}

bool stage_policy::is_fatal(const std::vector<worker>& workers) noexcept {
  const std::uint64_t failed = failed_.fetch_add(1, std::memory_order_relaxed) + 1;  // a count; orders nothing
  if (options_.on_error == on_error::stop || failed > options_.limit.count) return true;
  if (options_.limit.rate >= 1) return false;
  std::uint64_t through = failed;
  for (const worker& w : workers) through += w.passed.get() + w.filtered.get();
  return through >= options_.limit.rate_after &&
         static_cast<double>(failed) > options_.limit.rate * static_cast<double>(through);
}

stage_policy::verdict stage_policy::give_up(item_place place, const std::exception_ptr& cause, erased_item item,
                                            const std::vector<worker>& workers) noexcept {
  if (options_.dead_letter && item.has_value()) {
    try {
      options_.dead_letter({place, std::make_exception_ptr(stage_error(place, cause)), std::move(item)});
      return verdict::dead_lettered;
    } catch (...) {
      try {
        place.stage = stage_ + ", its dead-letter function";
      } catch (...) {
        // No memory: the item is told, and what went wrong.
      }
      control_.record_failure(std::move(place), std::current_exception(), true);
      return verdict::failed;
    }
  }
  control_.record_failure(std::move(place), cause, is_fatal(workers));
  return verdict::failed;
}

}  // namespace penstock
