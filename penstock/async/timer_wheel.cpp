#include <algorithm>

#include <penstock/async/timer_wheel.hpp>

namespace penstock {

void timer_wheel::start(timer& t, std::int64_t time) noexcept {
  // The last tick that can be converted back to a time without an overflow: 292 years after the machine was started.
  constexpr std::int64_t last = none >> tick_bits << tick_bits;
  t.time_ = std::min(time, last);
  put(t);
}

void timer_wheel::put(timer& t) noexcept {
  constexpr std::int64_t round_up = (std::int64_t{1} << tick_bits) - 1;
  const std::int64_t tick = (t.time_ >> tick_bits) + ((t.time_ & round_up) != 0 ? 1 : 0);
  if (tick <= now_) return overdue_.push_back(t);
  const auto differs = static_cast<std::uint64_t>(tick ^ now_);
  const int height = (static_cast<int>(std::bit_width(differs)) - 1) / digit_bits;
  const auto place = static_cast<std::size_t>(tick >> (height * digit_bits)) % places;
  wheel& w = wheels_[static_cast<std::size_t>(height)];
  w.at[place].push_back(t);
  w.used[place / 64] |= std::uint64_t{1} << (place % 64);
}

// What lies higher differs from the present in a higher digit, so it comes after everything that lies lower.
auto timer_wheel::next_stop() noexcept -> stop {
  for (int height = 0; height < heights; ++height) {
    wheel& w = wheels_[static_cast<std::size_t>(height)];
    const int shift = height * digit_bits;
    // Only places after the present one are used; those before it come in a later turn, and lie higher.
    for (std::size_t word = (static_cast<std::size_t>(now_ >> shift) % places) / 64; word < w.used.size(); ++word)
      while (w.used[word] != 0) {
        const auto place = word * 64 + static_cast<std::size_t>(std::countr_zero(w.used[word]));
        if (!w.at[place].empty()) {
          const std::int64_t turn = now_ >> shift >> digit_bits << digit_bits << shift;
          return {height, turn + (static_cast<std::int64_t>(place) << shift)};
        }
        w.used[word] &= w.used[word] - 1;  // they were all stopped
      }
  }
  return {};
}

std::int64_t timer_wheel::next() noexcept {
  if (!overdue_.empty()) return 0;
  const stop s = next_stop();
  return s.height < 0 ? none : s.tick << tick_bits;
}

bool timer_wheel::expire(std::int64_t now, std::size_t most, const bool& go_on) noexcept {
  const std::int64_t to = now >> tick_bits;
  std::size_t called = 0;
  call(overdue_, called, go_on);
  while (go_on) {
    const stop s = next_stop();
    if (s.height < 0 || s.tick > to) {
      now_ = std::max(now_, to);
      return true;
    }
    if (called >= most) return false;
    now_ = s.tick;
    wheel& w = wheels_[static_cast<std::size_t>(s.height)];
    const auto place = static_cast<std::size_t>(s.tick >> (s.height * digit_bits)) % places;
    links<timer> those;
    those.take_all(w.at[place]);
    w.used[place / 64] &= ~(std::uint64_t{1} << (place % 64));
    if (s.height == 0) {
      call(those, called, go_on);
    } else {
      while (timer* const t = those.pop_front()) put(*t);
      call(overdue_, called, go_on);  // those of the tick that has just come
    }
  }
  return false;
}

void timer_wheel::call(links<timer>& those, std::size_t& called, const bool& go_on) noexcept {
  // They mostly lie in their order already: sleeps of one length, one after the other.
  for (const timer* t = those.front(); t != nullptr;) {
    const timer* const next = those.after(*t);
    if (next && next->time_ < t->time_) {
      sort(those);
      break;
    }
    t = next;
  }
  while (go_on && !those.empty()) {
    ++called;
    those.pop_front()->due();
  }
  if (&those != &overdue_) overdue_.take_all(those);
}

// Merges runs of 1, 2, 4, ... timers, as a binary counter counts; of equal times the first stays the first.
void timer_wheel::sort(links<timer>& those) noexcept {
  std::array<links<timer>, 48> runs;
  while (timer* const t = those.pop_front()) {
    links<timer> run;
    run.push_back(*t);
    std::size_t size = 0;
    for (; !runs[size].empty(); ++size) merge(runs[size], run);
    runs[size].take_all(run);
  }
  for (links<timer>& earlier : runs) merge(earlier, those);
}

// Both into `later`; of equal times those of `earlier` come first.
void timer_wheel::merge(links<timer>& earlier, links<timer>& later) noexcept {
  links<timer> merged;
  while (!earlier.empty() && !later.empty())
    merged.push_back(*(later.front()->time_ < earlier.front()->time_ ? later : earlier).pop_front());
  merged.take_all(earlier);
  merged.take_all(later);
  later.take_all(merged);
}

}  // namespace penstock
