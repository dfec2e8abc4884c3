#include <algorithm>
#include <iterator>

#include <penstock/pipeline/worker.hpp>

namespace penstock {

worker::times worker::spent(std::int64_t now, std::int64_t ran_dry) const noexcept {
  times t;
  const std::int64_t began = began_.load(std::memory_order_relaxed);
  if (began == 0) return t;
  const std::int64_t ended = ended_.load(std::memory_order_relaxed);
  const auto all = static_cast<std::uint64_t>(std::max<std::int64_t>(0, (ended ? ended : now) - began));
  std::uint64_t waited[wait_kinds];
  std::transform(std::begin(waited_), std::end(waited_), waited, [](const counter& c) { return c.get(); });
  if (const std::int64_t since = waiting_since_.load(std::memory_order_relaxed); since && now > since && !ended) {
    const std::int64_t idle = idle_since(since, ran_dry, now);
    waited[static_cast<std::size_t>(kind_.load(std::memory_order_relaxed))] += static_cast<std::uint64_t>(idle - since);
    waited[static_cast<std::size_t>(wait_kind::starved)] += static_cast<std::uint64_t>(now - idle);
  }
  t.starved = waited[0];
  t.blocked = waited[1];
  t.paused = waited[2];
  t.unmanned = waited[3];
  t.life = all - std::min(all, waited[4]);
  return t;
}

}  // namespace penstock
