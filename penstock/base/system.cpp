#include <algorithm>
#include <climits>
#include <cstdlib>
#include <ctime>
#include <random>
#include <utility>

#include <fcntl.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <penstock/base/system.hpp>

namespace penstock::system {

void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, clock::time_point deadline) noexcept {
  // The kernel compares the bare 32 bits.
  static_assert(sizeof(atomic<std::uint32_t>) == sizeof(std::uint32_t));
  timespec until{};
  const bool limited = deadline != never;
  if (limited) {
    const auto since = deadline.time_since_epoch();
    const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
    until.tv_sec = static_cast<std::time_t>(seconds.count());
    until.tv_nsec = static_cast<long>(std::chrono::nanoseconds(since - seconds).count());
  }
  // WAIT_BITSET, because its time is an absolute one on the monotonic clock; WAIT's is relative.
  ::syscall(SYS_futex, &word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected, limited ? &until : nullptr, nullptr,
            FUTEX_BITSET_MATCH_ANY);
}

void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept {
  ::syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count);
}

namespace {
using namespace std::chrono_literals;
// Threads of the caller's own program give the processor back within this time, or else the wait is longer than a wake
// is dear.
constexpr std::chrono::nanoseconds slow_yield = 50us;
// Longer than that, it was the time slice of an unrelated program, and the next yield will be as slow.
constexpr std::chrono::nanoseconds time_slice = 500us;
// Not longer: a thread that was stopped for an hour says nothing about the hours to come.
constexpr std::chrono::nanoseconds longest_without_yields = 1s;
// The clock's reading until which no thread yields. Of the process, not of each thread: else every new thread would have
// to find out by a slow yield of its own. relaxed: nothing else is read because of it.
constinit atomic<clock::rep> no_yields_before{clock::duration::min().count()};

bool are_cheap_at(clock::time_point now) noexcept {
  return now.time_since_epoch().count() >= no_yields_before.load(std::memory_order_relaxed);
}
}  // namespace

bool yields_are_cheap() noexcept { return are_cheap_at(clock::now()); }

bool yield_briefly() noexcept {
  const auto before = clock::now();
  if (!are_cheap_at(before)) return false;
  yield();
  const auto after = clock::now();
  const auto took = after - before;
  if (took >= time_slice) {
    const auto pause = took < longest_without_yields / 32 ? 32 * took : longest_without_yields;
    no_yields_before.store((after + pause).time_since_epoch().count(), std::memory_order_relaxed);
  }
  return took <= slow_yield;
}

void backoff::once() noexcept {
  constexpr int looks = 16;
  if (looks_ < looks) {
    ++looks_;
    pause();
  } else if (!yield_briefly()) {
    std::this_thread::sleep_for(sleep_);
    sleep_ = std::min<std::chrono::microseconds>(2 * sleep_, 1ms);
  }
}

double random_share() {
  thread_local std::minstd_rand random{std::random_device{}()};
  return std::uniform_real_distribution<double>(0, 1)(random);
}

namespace {
std::int64_t ran_by(clockid_t who) noexcept {
  timespec t{};
  if (::clock_gettime(who, &t) != 0) return 0;
  return t.tv_sec * std::int64_t{1'000'000'000} + t.tv_nsec;
}
}  // namespace

std::int64_t process_ran() noexcept { return ran_by(CLOCK_PROCESS_CPUTIME_ID); }

// schedstat is "ns on a processor, ns ready and waiting for one, slices". It is absent where the kernel does not keep it,
// and its first number is as old as the scheduler's last tick (4 ms); the clock's is not.
auto thread_clock::read() noexcept -> times {
  times t{ran_by(CLOCK_THREAD_CPUTIME_ID), 0};
  if (!std::exchange(opened_, true)) file_.reset(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  char text[96];
  const ssize_t n = file_ ? ::pread(file_.get(), text, sizeof text - 1, 0) : -1;
  if (n <= 0) return t;
  text[n] = 0;
  char* end = text;
  (void)std::strtoll(end, &end, 10);
  t.crowded = std::strtoll(end, &end, 10);
  return t;
}

namespace detail {

#if defined(__SANITIZE_THREAD__)
#define PENSTOCK_THREAD_SANITIZER
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PENSTOCK_THREAD_SANITIZER
#endif
#endif

namespace {
bool register_membarrier() noexcept {
#ifdef PENSTOCK_THREAD_SANITIZER
  return false;  // the sanitizer slows everything down anyway, and then the full fence is what gets tested
#else
  return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
#endif
}
}  // namespace

const bool has_membarrier = register_membarrier();

const char built_for_the_machine = 0;
// The simulated library defines it, too: a program that mixes both does not link.
extern const char either_real_or_simulated;
const char either_real_or_simulated = 0;

void full_fence() noexcept {
  // An exchange, not a fence: a full barrier on every machine we know, and one that ThreadSanitizer accepts.
  thread_local atomic<int> own = 0;
  own.exchange(1, std::memory_order_seq_cst);
}

}  // namespace detail

void heavy_fence() noexcept {
  if (detail::has_membarrier)
    ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0);
  else
    detail::full_fence();
}

}  // namespace penstock::system
