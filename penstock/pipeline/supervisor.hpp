// supervisor: the thread of a run that looks after work that takes longer than foreseen. It runs no code of the user, so
// nothing of the user's can block it.
//
// Each stage says when its batches are due (claimed_batch.hpp). When one is overdue, the supervisor lets the stage share it
// and forwards its finished results (node::look_after). A thread that was counted as computing and takes far too long is no
// longer counted (crew::overdue). Then the crew is asked to put a sleeping thread to work if there is work now.
//
// START    The thread is started when it is first needed: before the first batch is opened. If it cannot be had, there are no
//          batches in this run, and no thread is held back because others compute.
// WAITING  It sleeps until the first due time, but looks at most every 200 µs, and after a few looks that found nothing at
//          most every 800 µs. So a batch can be overdue for as much longer. When no batch is open, it looks four times more
//          and then sleeps without a time limit: an idle run costs nothing. A thread that opens a batch announces it by
//          watch(), which costs a load.
// NO LOST WAKE  Before a long sleep the supervisor says when it will look next (next_look_), passes a heavy fence and looks
//          once more. A thread that opens a batch does so, passes a light fence and looks at next_look_. One sees the other.
// OWING    Results of an ordered stage may find no room. The supervisor does not wait for it. It says that it owes something
//          (owes_) and is woken by the next thread that has freed something: changed().
// THREADS  is_there(), watch(), changed() and end() from any; run() is the thread's whole life.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include <penstock/base/system.hpp>
#include <penstock/pipeline/pace.hpp>

namespace penstock {

class crew;
class node;

class supervisor {
 public:
  // nodes: outlive the supervisor. start: starts a thread that calls run(), or throws; none: there is no such thread.
  explicit supervisor(const std::vector<std::unique_ptr<node>>& nodes, std::function<void()> start = {})
      : nodes_(nodes), start_(std::move(start)), state_(start_ ? state::absent : state::unavailable) {}
  supervisor(const supervisor&) = delete;
  supervisor& operator=(const supervisor&) = delete;

  void run(crew& threads) noexcept;
  // Whether the thread is there; starts it if it was not needed before.
  [[nodiscard]] bool is_there() noexcept {
    const state now = state_.load(std::memory_order_relaxed);
    return now == state::running || (now == state::absent && start());
  }
  [[nodiscard]] bool is_unavailable() const noexcept {
    return state_.load(std::memory_order_relaxed) == state::unavailable;
  }
  // Something was opened that is due then, in ns. REQUIRES: the thread is there, or will look when it starts.
  void watch(std::int64_t due) noexcept {
    system::light_fence();
    if (due < next_look_.load(std::memory_order_relaxed) - max_pause_ns) [[unlikely]]
      wake();
  }
  // Room was made, or something else changed that finished results may be waiting for.
  void changed() noexcept {
    system::light_fence();
    if (owes_.load(std::memory_order_relaxed)) [[unlikely]]
      wake();
  }
  void end() noexcept;

 private:
  enum class state : std::uint8_t { absent, starting, running, unavailable };
  bool start() noexcept;

  static constexpr std::int64_t min_pause_ns = pace::stuck_ns, max_pause_ns = 4 * pace::stuck_ns;
  static constexpr int max_idle_looks = 4;
  static constexpr std::int64_t never_ns = std::numeric_limits<std::int64_t>::max();

  struct found {
    std::int64_t due = 0;  // the first that is due, in ns; 0: nothing is open
    bool acted = false;
    bool owes = false;
  };
  found look(crew& threads) noexcept;
  // When to look after that, in ns.
  [[nodiscard]] std::int64_t next_look(const found& f) const noexcept;
  void wake() noexcept;

  const std::vector<std::unique_ptr<node>>& nodes_;
  const std::function<void()> start_;
  system::atomic<state> state_;
  std::int64_t pause_ = min_pause_ns;  // between two looks; its own
  int idle_looks_ = 0;                 // that found nothing open, one after the other; its own
  alignas(64) system::atomic<std::int64_t> next_look_ =
      0;  // ns; written by the supervisor, and by the thread that wakes it
  system::atomic<bool> owes_ = false;
  system::atomic<bool> over_ = false;
  system::atomic<std::uint32_t> wake_word_ = 0;
};

}  // namespace penstock
