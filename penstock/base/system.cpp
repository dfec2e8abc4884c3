#include <climits>
#include <ctime>

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
