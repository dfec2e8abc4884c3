#include <algorithm>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/thread_usage.hpp>

namespace penstock {

void thread_usage::worked(node& at, std::int64_t ns) noexcept {
  for (auto& [n, sum] : shares_) {
    if (n != &at) continue;
    sum += ns;
    return;
  }
  try {
    shares_.emplace_back(&at, ns);
  } catch (...) {
    // No memory: this stage's shares are not known then.
  }
}

// "ns on a processor, ns ready and waiting for one, slices"; absent where the kernel does not keep it.
auto thread_usage::read() noexcept -> times {
  if (!std::exchange(opened_, true)) file_.reset(::open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC));
  char text[96];
  const ssize_t n = file_ ? ::pread(file_.get(), text, sizeof text - 1, 0) : -1;
  if (n <= 0) return last_;
  text[n] = 0;
  char* end = text;
  const auto ran = std::strtoll(end, &end, 10);
  return {ran, std::strtoll(end, &end, 10)};
}

std::int64_t thread_usage::crowded_since_look() noexcept { return read().crowded - last_.crowded; }

void thread_usage::look(std::int64_t now) noexcept {
  const times t = read();
  std::int64_t all = 0;
  for (const auto& [n, ns] : shares_) all += ns;
  if (all > 0) {
    for (auto& [n, ns] : shares_) {
      const double share = static_cast<double>(std::exchange(ns, 0)) / static_cast<double>(all);
      n->used(static_cast<std::int64_t>(share * static_cast<double>(t.ran - last_.ran)),
              static_cast<std::int64_t>(share * static_cast<double>(t.crowded - last_.crowded)));
    }
  }
  last_ = t;
  looked_ = now;
}

}  // namespace penstock
