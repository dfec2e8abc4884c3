#include <algorithm>
#include <cstdio>
#include <ctime>

#include <penstock/pipeline/worker.hpp>

namespace penstock {

void worker::end() noexcept {
  timespec t{};
  if (::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0)
    processor_.add(static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(t.tv_nsec));
  // "ns on a processor, ns ready and waiting for one, slices"; absent where the kernel does not keep it, and then
  // nothing is known.
  if (std::FILE* file = std::fopen("/proc/thread-self/schedstat", "re")) {
    unsigned long long ran = 0, waited = 0;
    if (std::fscanf(file, "%llu %llu", &ran, &waited) == 2) crowded_.add(waited);
    std::fclose(file);
  }
  ended_.store(now_ns(), std::memory_order_relaxed);
}

worker::times worker::spent(std::int64_t now) const noexcept {
  times t;
  const std::int64_t began = began_.load(std::memory_order_relaxed);
  if (began == 0) return t;
  const std::int64_t ended = ended_.load(std::memory_order_relaxed);
  t.life = static_cast<std::uint64_t>(std::max<std::int64_t>(0, (ended ? ended : now) - began));
  std::uint64_t waited[3];
  for (std::size_t i = 0; i < 3; ++i) waited[i] = waited_[i].get();
  if (const std::int64_t since = waiting_since_.load(std::memory_order_relaxed); since && now > since && !ended)
    waited[static_cast<std::size_t>(kind_.load(std::memory_order_relaxed))] += static_cast<std::uint64_t>(now - since);
  t.starved = waited[0];
  t.blocked = waited[1];
  t.paused = waited[2];
  t.processor = processor_.get();
  t.crowded = crowded_.get();
  return t;
}

}  // namespace penstock
