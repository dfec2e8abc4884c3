// What concurrency is made of: atomics, a futex, fences, a clock, threads. Everything in penstock that waits, wakes or
// races takes them from here, so that the same code runs on the machine or, with PENSTOCK_SIMULATED defined, under a
// scheduler that tries its interleavings one by one (penstock/simulation/simulation.hpp).
//
//   system::atomic<std::uint32_t> word = 0;
//   while (word.load() == 0) system::futex_wait(word, 0, system::never);
//   ...
//   word.store(1); system::futex_wake(word, 1);
//
// FENCES   light_fence() on the path that must be fast and heavy_fence() on the one that may be slow: after both, one
//          of the two threads sees what the other wrote before its fence. Light costs nothing; heavy interrupts the
//          threads of this process (membarrier(2), about 1 µs). Where the kernel has no membarrier both are full
//          fences. Names and meaning: P1202, "asymmetric fences".
// YIELDS   On an idle machine a yield takes 0.4 µs, and a thread that looks and yields a few times before it sleeps saves a
//          wake. On a busy one every yield gives a whole time slice, milliseconds, to unrelated programs. So
//          yield_briefly() measures the yields: after one that took more than 50 µs the caller sleeps at once; after one
//          that took a time slice (500 µs) no thread of the process yields for 32 times that long. So yields cost at
//          most 3 % of the time at any load.
// REFUSED  std::atomic::wait: libstdc++ 12 has 16 waiting rooms for the whole process, and all words that start a cache
//          line share one.
#pragma once

#ifdef PENSTOCK_SIMULATED
#include <penstock/base/simulated_system.hpp>
#else

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <stop_token>
#include <thread>

#include <penstock/base/unique_fd.hpp>

namespace penstock::system {

template <class T>
using atomic = std::atomic<T>;
using native_mutex = std::mutex;
using native_condition = std::condition_variable;
using thread = std::jthread;
using std::stop_callback;

using clock = std::chrono::steady_clock;
inline constexpr clock::time_point never = clock::time_point::max();

// Sleeps while `word` holds `expected`, until a wake or the deadline. May return for no reason.
void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, clock::time_point deadline) noexcept;
// Wakes up to `count` of those who sleep on `word`. The word itself need not exist any more.
void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept;

// Gives the processor to another thread that is ready.
inline void yield() noexcept { std::this_thread::yield(); }
// The same, where it is cheap; see YIELDS. False: the yield took more than 50 µs, or another one did lately and none was
// tried. Then the caller sleeps until it is notified; backoff is for a caller that is not notified.
[[nodiscard]] bool yield_briefly() noexcept;
// Whether yield_briefly() would yield at all. If not, looking again and again before a sleep is a waste, too.
[[nodiscard]] bool yields_are_cheap() noexcept;
// A breath between two looks at a word that another processor is about to write.
inline void pause() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#else
  std::atomic_signal_fence(std::memory_order_seq_cst);
#endif
}
// A wait for another thread that is between two instructions of its own and does not notify others afterwards. Looks
// a few times, then yields, and where yields are dear it sleeps: 50 µs, then twice as long each time, at most 1 ms.
//
//   for (backoff pause; !ready();) pause.once();
class backoff {
 public:
  void once() noexcept;

 private:
  int looks_ = 0;
  std::chrono::microseconds sleep_{50};
};
// How often to look at a word before going to sleep. (Fewer times where each look is a schedule to be tried.)
[[nodiscard]] constexpr int spins(int on_the_machine) noexcept { return on_the_machine; }
[[nodiscard]] inline bool stop_requested(const std::stop_token& token) noexcept { return token.stop_requested(); }
// A random number, at least 0 and less than 1. (Simulated: from the run's seed, so that the run can be had again.)
[[nodiscard]] double random_share();
[[nodiscard]] inline unsigned processors() noexcept {
  const unsigned count = std::thread::hardware_concurrency();
  return count ? count : 1;
}

// What the thread that asks has had of the processors so far. Asking costs 1.5 µs.
class thread_clock {
 public:
  struct times {
    std::int64_t ran = 0,
                 crowded = 0;  // ns: on a processor; ready to run, and none was free (0 if the kernel keeps none)
  };
  [[nodiscard]] times read() noexcept;

 private:
  unique_fd file_;
  bool opened_ = false;
};
// The same of all threads of the process: ns on a processor.
[[nodiscard]] std::int64_t process_ran() noexcept;

namespace detail {
extern const bool has_membarrier;  // decided before main()
void full_fence() noexcept;
// Only in the real library: what was compiled for it does not link with the simulated one. (`used`: else no reference to
// it would be left.)
extern const char built_for_the_machine;
[[gnu::used]] inline const char* const real_parts_need = &built_for_the_machine;
}  // namespace detail

inline void light_fence() noexcept {
  if (detail::has_membarrier) [[likely]]
    std::atomic_signal_fence(std::memory_order_seq_cst);
  else
    detail::full_fence();
}
void heavy_fence() noexcept;

}  // namespace penstock::system

#endif
