#include <algorithm>
#include <chrono>

#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/supervisor.hpp>

namespace penstock {

bool supervisor::start() noexcept {
  state before = state::absent;
  if (!state_.compare_exchange_strong(before, state::starting)) return before == state::running;
  try {
    start_();
    state_.store(state::running);
    return true;
  } catch (...) {
    state_.store(state::unavailable);
    return false;
  }
}

void supervisor::run(crew& threads) noexcept {
  std::uint32_t heard = 0;
  for (std::int64_t next = now_ns() + pause_; !over_.load();) {
    system::futex_wait(wake_word_, heard,
                       next == never_ns ? system::never : system::clock::time_point(std::chrono::nanoseconds(next)));
    if (over_.load()) return;
    heard = wake_word_.load();
    const bool owed = owes_.exchange(false);
    if (next == never_ns && !owed) {
      // The batch that has ended the sleep was opened a moment ago, and can't be due yet.
      idle_looks_ = 0;
      pause_ = min_pause_ns;
      next = now_ns() + pause_;
      continue;
    }
    found f = look(threads);
    pause_ = f.acted ? min_pause_ns : std::min(2 * pause_, max_pause_ns);
    idle_looks_ = f.due == 0 && !f.acted ? idle_looks_ + 1 : 0;
    next = next_look(f);
    if (next - now_ns() > max_pause_ns) {
      next_look_.store(next);
      owes_.store(f.owes);
      system::heavy_fence();  // announced: now look again
      f = look(threads);
      next = f.acted ? now_ns() : std::min(next, next_look(f));
    }
    next_look_.store(next);
  }
}

std::int64_t supervisor::next_look(const found& f) const noexcept {
  if (f.due == 0 && (idle_looks_ > max_idle_looks || f.owes)) return never_ns;
  return std::max(f.due, now_ns() + pause_);
}

supervisor::found supervisor::look(crew& threads) noexcept {
  const std::int64_t now = now_ns();
  found f;
  for (const auto& n : nodes_) {
    const supervision s = n->look_after(threads, now);
    if (s.due != 0 && (f.due == 0 || s.due < f.due)) f.due = s.due;
    f.acted = f.acted || s.acted;
    f.owes = f.owes || s.owes;
  }
  if (threads.wake_one_if_useful()) f.acted = true;
  return f;
}

void supervisor::wake() noexcept {
  next_look_.store(0);  // the next thread need not wake it, too
  ++wake_word_;
  system::futex_wake(wake_word_, 1);
}

// Afterwards no thread is started any more, and one that was being started is there: it can be joined.
void supervisor::end() noexcept {
  over_.store(true);
  state before = state::absent;
  state_.compare_exchange_strong(before, state::unavailable);
  for (system::backoff mid_way; state_.load() == state::starting;) mid_way.once();
  wake();
}

}  // namespace penstock
