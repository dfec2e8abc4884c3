// wait_side: one side of a lock-free structure: those who wait there, and how the other side finds out without a lock.
//
//   claim mine = room.wait_for([&] { return ring.claim_push(1); },        // what is tried, last of all under the mutex
//                              [&](bool patient) { return has_room(patient); }, limit, is_large, true);
//   ...the other side, after it has made room:
//   room.changed([&](bool patient) { return has_room(patient); });        // costs a load while nobody sleeps
//
// WAITING     First up to 14 yields: a wake costs the waker 6.6 µs and comes 16 µs later, and most waits are shorter. (Where
//             little fits in, 30 looks before: there each item is a hand-over. In a large ring looking steals the cache
//             line that the other side is writing: half the throughput.) On a busy machine, where a yield gives a time
//             slice away, the thread does neither and sleeps at once (system.hpp, YIELDS). Then, under the mutex, a place
//             in the line and a futex. The rule of wait_line.hpp holds: whenever the mutex is given up, the head of a
//             line that could go on has been called.
// NO LOST WAKE  Who goes to sleep announces itself in asleep_, passes a heavy fence and tries a last time. Who has changed
//             something passes a light fence and looks at asleep_. One of the two sees the other. The announcement is
//             withdrawn as soon as the head has been called: one call outstanding, and for the 16 µs until it is
//             answered the other side stays on its fast path.
// PATIENCE    A patient thread is content to be called when there is a good deal to do, so that one wake buys many
//             items; how much is could_go_on(true)'s to say. For 1 ms only, then by the first chance: the other side may
//             make room for one and then wait for this very thread. So nothing can come to depend on patience. Who waits
//             without a thread sees to that itself, by lose_patience().
// WITHOUT A THREAD  wait_in_line() is one turn of the same for somebody who does not sleep (place::told): it stands in line,
//             tries a last time, and is told when to try again. The call that it was given is its own until it has tried:
//             what it was called for may be gone by then, and it goes on waiting where it stands.
// THREADS     Everything at the same time.
// ENDING      call_all() after the structure was closed. Destroying: REQUIRES that nobody waits.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/queue/wait_line.hpp>

namespace penstock {

// What a try came to.
enum class trial : std::uint8_t {
  done,
  again,  // not now; whoever makes it possible will say so
  soon,   // somebody is in the middle of making it possible: no reason to give up, not even at the limit
};

class wait_side {
 public:
  wait_side() = default;
  wait_side(const wait_side&) = delete;
  wait_side& operator=(const wait_side&) = delete;

  // Calls try_it() until it says done, or until the limit is reached and it does not say soon. Returns the last answer.
  // large: many items fit in, so looking at once is dear. patient: see PATIENCE.
  template <class Try, class CouldGoOn>
  trial wait_for(Try try_it, CouldGoOn could_go_on, const wait_limit& limit, bool large, bool patient);

  // One try of somebody who does not sleep. done: `self` is out of the line. Else it is in it, and will be told when to try
  // again. REQUIRES: self.told; not at the same time for one `self`.
  template <class Try, class CouldGoOn>
  trial wait_in_line(wait_line::place& self, Try try_it, CouldGoOn could_go_on);
  // Whoever said that it was patient (PATIENCE) is content with the first chance from now on.
  template <class CouldGoOn>
  void lose_patience(wait_line::place& self, CouldGoOn could_go_on) noexcept;
  // It gives up: it is not told any more, and its call is passed on.
  template <class CouldGoOn>
  void leave(wait_line::place& self, CouldGoOn could_go_on) noexcept;

  // Something was changed that may let somebody here go on.
  template <class CouldGoOn>
  void changed(CouldGoOn could_go_on) noexcept {
    system::light_fence();
    if (const std::uint32_t who = asleep_.load(std::memory_order_relaxed)) [[unlikely]]
      call(who, could_go_on);
  }
  void call_all() noexcept {
    const mutex_lock lock(mutex_);
    wakes_ += line_.call_all();
  }

  struct numbers {
    std::uint64_t waits = 0, wakes = 0;
  };
  [[nodiscard]] numbers so_far() const noexcept {
    const mutex_lock lock(mutex_);
    return {waits_, wakes_};
  }

 private:
  // Bits of asleep_: the head of the line waits and was not called, and what for.
  static constexpr std::uint32_t eager = 1, patient_one = 2;
  static constexpr std::chrono::milliseconds patience{1};

  template <class CouldGoOn>
  void call(std::uint32_t who, CouldGoOn& could_go_on) noexcept;
  template <class CouldGoOn>
  void settle(pending_wakes& wakes, CouldGoOn& could_go_on) noexcept PENSTOCK_REQUIRES(mutex_);
  void announce(std::uint32_t bits) noexcept PENSTOCK_REQUIRES(mutex_) {
    asleep_.store(asleep_.load(std::memory_order_relaxed) | bits, std::memory_order_relaxed);
  }

  system::atomic<std::uint32_t> asleep_ = 0;  // read by everybody, written under mutex_
  mutable mutex mutex_;                       // guards what follows
  wait_line line_ PENSTOCK_GUARDED_BY(mutex_);
  std::uint64_t waits_ PENSTOCK_GUARDED_BY(mutex_) = 0;
  std::uint64_t wakes_ PENSTOCK_GUARDED_BY(mutex_) = 0;
};

// --- below: how ---

template <class Try, class CouldGoOn>
trial wait_side::wait_for(Try try_it, CouldGoOn could_go_on, const wait_limit& limit, bool large, bool patient) {
  for (int looks = large || !system::yields_are_cheap() ? 0 : system::spins(30); looks > 0; --looks) {
    if (try_it() == trial::done) return trial::done;
    system::pause();
  }
  bool cheap = true;
  for (int yields = system::spins(14); cheap && yields > 0; --yields) {
    cheap = system::yield_briefly();
    const trial t = try_it();
    if (t == trial::done || (t == trial::again && limit.reached())) return t;
  }

  wait_line::place self;
  self.patient = patient;
  const system::clock::time_point eager_from = patient ? system::clock::now() + patience : system::never;
  // Outside of the lock at both ends: its constructor may run it at once, and its destructor waits for it to end.
  const system::stop_callback on_stop(limit.stop(), [this, &self] {
    const mutex_lock lock(mutex_);
    self.stopped = true;
    self.wake(nullptr);
  });
  pending_wakes wakes;
  mutex_lock lock(mutex_);
  ++waits_;
  trial result = trial::again;
  for (system::backoff pause;;) {
    line_.join(self);
    self.get_ready();
    announce(self.patient ? patient_one : eager);
    system::heavy_fence();
    result = try_it();
    const bool given_up = self.stopped || limit.reached();
    if (result == trial::done || (result == trial::again && given_up)) break;
    if (given_up) {
      // Soon: it will be one or the other in a moment. Not asleep: if somebody else gets it, nobody would wake this one.
      lock.unlock();
      pause.once();
      lock.lock();
      continue;
    }
    self.sleep(lock, std::min(limit.deadline(), self.patient ? eager_from : system::never));
    if (self.patient && system::clock::now() >= eager_from) self.patient = false;
  }
  line_.leave(self);
  settle(wakes, could_go_on);
  return result;
}

template <class Try, class CouldGoOn>
trial wait_side::wait_in_line(wait_line::place& self, Try try_it, CouldGoOn could_go_on) {
  pending_wakes wakes;
  const mutex_lock lock(mutex_);
  if (!self.in_line) ++waits_;
  line_.join(self);
  self.get_ready();
  announce(self.patient ? patient_one : eager);
  system::heavy_fence();
  const trial result = try_it();
  if (result == trial::done) {
    line_.leave(self);
    settle(wakes, could_go_on);
  }
  return result;
}

template <class CouldGoOn>
void wait_side::lose_patience(wait_line::place& self, CouldGoOn could_go_on) noexcept {
  pending_wakes wakes;
  const mutex_lock lock(mutex_);
  self.patient = false;
  settle(wakes, could_go_on);
}

template <class CouldGoOn>
void wait_side::leave(wait_line::place& self, CouldGoOn could_go_on) noexcept {
  pending_wakes wakes;
  const mutex_lock lock(mutex_);
  if (!self.in_line) return;
  line_.leave(self);
  settle(wakes, could_go_on);
}

template <class CouldGoOn>
void wait_side::call(std::uint32_t who, CouldGoOn& could_go_on) noexcept {
  if (who == patient_one && !could_go_on(true)) return;
  pending_wakes wakes;
  const mutex_lock lock(mutex_);
  settle(wakes, could_go_on);
}

template <class CouldGoOn>
void wait_side::settle(pending_wakes& wakes, CouldGoOn& could_go_on) noexcept {
  if (line_.empty() || line_.head()->called) return asleep_.store(0, std::memory_order_relaxed);
  const bool patient = line_.head()->patient;
  if (!could_go_on(patient)) {
    const std::uint32_t bit = patient ? patient_one : eager;
    if (asleep_.load(std::memory_order_relaxed) == bit) return;
    asleep_.store(bit, std::memory_order_relaxed);
    system::heavy_fence();  // see NO LOST WAKE: announced, now look again
    if (!could_go_on(patient)) return;
  }
  wakes_ += line_.call_head(wakes);
  asleep_.store(0, std::memory_order_relaxed);
}

}  // namespace penstock
