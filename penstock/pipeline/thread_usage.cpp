#include <utility>

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

std::int64_t thread_usage::crowded_since_look() noexcept { return clock_.read().crowded - last_.crowded; }

void thread_usage::look(std::int64_t now) noexcept {
  const system::thread_clock::times t = clock_.read();
  std::int64_t all = 0;
  for (const auto& [n, ns] : shares_) all += ns;
  if (all > 0) {
    for (auto& [n, ns] : shares_) {
      const std::int64_t at_work = std::exchange(ns, 0);
      const double share = static_cast<double>(at_work) / static_cast<double>(all);
      n->used(at_work, static_cast<std::int64_t>(share * static_cast<double>(t.ran - last_.ran)),
              static_cast<std::int64_t>(share * static_cast<double>(t.crowded - last_.crowded)));
    }
  }
  last_ = t;
  looked_ = now;
}

}  // namespace penstock
