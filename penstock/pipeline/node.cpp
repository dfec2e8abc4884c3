#include <penstock/pipeline/node.hpp>

namespace penstock {

node::node(std::string name, std::size_t workers)
    : name_(std::move(name)),
      workers_(workers),
      next_free_(std::make_unique<system::atomic<std::uint32_t>[]>(workers)) {
  for (std::size_t i = workers; i-- > 0;) {
    next_free_[i] = static_cast<std::uint32_t>(free_.load() & nobody);
    free_ = i;
  }
}

worker* node::hire(std::int64_t now) noexcept {
  // First: whoever looks whether the stage is over must not miss one who is about to take an item.
  // Not an addition that is taken back: in between the stage would look at work to the one who asks whether it has ended.
  std::size_t working = at_work_.load();
  do {
    if (working >= workers_.size()) return nullptr;
  } while (!at_work_.compare_exchange_weak(working, working + 1));
  std::uint64_t top = free_.load(std::memory_order_acquire);
  for (;;) {
    const auto index = static_cast<std::uint32_t>(top & nobody);
    const std::uint64_t below = ((top >> 32) + 1) << 32 | next_free_[index].load(std::memory_order_relaxed);
    if (free_.compare_exchange_weak(top, below, std::memory_order_acquire, std::memory_order_acquire)) {
      workers_[index].wait_ends(now);
      return &workers_[index];
    }
  }
}

void node::let_go(worker& w, wait_kind why, std::int64_t now) noexcept {
  w.wait_begins(why, now);
  const std::uint64_t index = index_of(w);
  std::uint64_t top = free_.load(std::memory_order_relaxed);
  do {
    next_free_[index].store(static_cast<std::uint32_t>(top & nobody), std::memory_order_relaxed);
  } while (!free_.compare_exchange_weak(top, ((top >> 32) + 1) << 32 | index, std::memory_order_release,
                                        std::memory_order_relaxed));
  at_work_.fetch_sub(1);
}

}  // namespace penstock
