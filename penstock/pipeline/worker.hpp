// worker: what one worker of a stage has done so far. It writes, snapshots read.
//
// THREADS  Counters have one writer, the worker itself, and are relaxed: readers want numbers that are nearly now, not
//          an order. Whoever is hired next has what the one before him wrote. After the run they are exact.
// COST     A counter is one load and one store. The clock is read when a worker has to wait, not per item; the function
//          is timed for each item only where it is slow enough for that not to matter.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>

#include <penstock/base/system.hpp>
#include <penstock/pipeline/histogram.hpp>

namespace penstock {

[[nodiscard]] inline std::int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(system::clock::now().time_since_epoch()).count();
}

class counter {
 public:
  void add(std::uint64_t n = 1) noexcept {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  [[nodiscard]] std::uint64_t get() const noexcept { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<std::uint64_t> value_ = 0;
};

// What a worker may be waiting for: an item, room for its result, its next attempt, a thread (there is work, and room, and
// every thread that could do it is busy or has to wait for a processor). Or it is not there at all: its stage has fewer
// workers now than it may have.
enum class wait_kind : std::uint8_t { starved, blocked, paused, unmanned, absent };

class alignas(64) worker {
 public:
  counter passed, filtered, failed, dead_lettered, returned, out, retried;
  histogram service;
  histogram latency;

  // A worker begins and ends with its run, not with a thread, and waits until it is first needed.
  void begin(std::int64_t now, bool present) noexcept {
    began_.store(now, std::memory_order_relaxed);
    wait_begins(present ? wait_kind::starved : wait_kind::absent, now);
  }
  void end(std::int64_t now, std::int64_t ran_dry) noexcept {
    if (ended_.load(std::memory_order_relaxed)) return;
    if (waiting_since_.load(std::memory_order_relaxed)) wait_ends(now, ran_dry);
    ended_.store(now, std::memory_order_relaxed);
  }

  // Brackets a wait. They do not nest. ran_dry: when the stage last had no work; 0: it always had.
  void wait_begins(wait_kind kind, std::int64_t now) noexcept {
    kind_.store(kind, std::memory_order_relaxed);
    waiting_since_.store(now, std::memory_order_relaxed);
  }
  void wait_ends(std::int64_t now, std::int64_t ran_dry = 0) noexcept {
    const std::int64_t since = waiting_since_.load(std::memory_order_relaxed);
    if (since == 0) return;  // it has ended: the run is being stopped
    const std::int64_t idle = idle_since(since, ran_dry, now);
    waited_[static_cast<std::size_t>(kind_.load(std::memory_order_relaxed))].add(
        static_cast<std::uint64_t>(idle > since ? idle - since : 0));
    waited_[static_cast<std::size_t>(wait_kind::starved)].add(static_cast<std::uint64_t>(now - idle));
    waiting_since_.store(0, std::memory_order_relaxed);
  }

  // Whether the next call of the function should be timed: each one if the last took long, else every 127th (a prime,
  // so that the sample does not fall in step with a pattern in the items).
  [[nodiscard]] bool should_time() noexcept {
    if (untimed_ == 0) return true;
    --untimed_;
    return false;
  }
  void timed(std::int64_t ns) noexcept {
    service.add(ns);
    untimed_ = ns < 2000 ? 126 : 0;
  }

  [[nodiscard]] std::uint64_t finished() const noexcept {
    return passed.get() + filtered.get() + failed.get() + dead_lettered.get() + returned.get();
  }

  // Time inside turns that was not work: waits for room and pauses before retries.
  [[nodiscard]] std::int64_t waited_at_work() const noexcept {
    return static_cast<std::int64_t>(waited_[static_cast<std::size_t>(wait_kind::blocked)].get() +
                                     waited_[static_cast<std::size_t>(wait_kind::paused)].get());
  }

  struct times {
    std::uint64_t life = 0, starved = 0, blocked = 0, paused = 0, unmanned = 0;  // ns; life: while it was present
  };
  [[nodiscard]] times spent(std::int64_t now, std::int64_t ran_dry) const noexcept;

 private:
  // Who has left work behind that others have done since is not missed any more from then on. `now`: it is, or was never.
  [[nodiscard]] std::int64_t idle_since(std::int64_t since, std::int64_t ran_dry, std::int64_t now) const noexcept {
    const bool left_work = kind_.load(std::memory_order_relaxed) == wait_kind::unmanned;
    return left_work && ran_dry > since && ran_dry < now ? ran_dry : now;
  }

  std::atomic<std::int64_t> began_ = 0;
  std::atomic<std::int64_t> ended_ = 0;
  std::atomic<std::int64_t> waiting_since_ = 0;  // 0: at work
  std::atomic<wait_kind> kind_ = wait_kind::starved;
  static constexpr std::size_t wait_kinds = 5;
  counter waited_[wait_kinds];
  std::uint32_t untimed_ = 0;  // calls until the next timed one; the worker's own
};

// A wait that is counted, for the length of a scope.
class counted_wait {
 public:
  counted_wait(worker& w, wait_kind kind) noexcept : worker_(w) { worker_.wait_begins(kind, now_ns()); }
  ~counted_wait() { worker_.wait_ends(now_ns()); }
  counted_wait(const counted_wait&) = delete;
  counted_wait& operator=(const counted_wait&) = delete;

 private:
  worker& worker_;
};

}  // namespace penstock
