#include <memory>
#include <stdexcept>

#include <penstock/process/descriptors.hpp>
#include <penstock/process/process_pool.hpp>

namespace penstock::process {
namespace {

// Ahead of the one that is worked at: enough that a worker that is fast need not wait for us, few enough that one that
// is slow keeps little from the others.
constexpr std::size_t most_ahead = 64;

}  // namespace

worker_set::worker_set(const char* function, const pool_options& options) {
  if (options.workers == 0) throw std::invalid_argument("penstock: a pool needs at least one worker");
  lanes_.reserve(options.workers);
  for (std::size_t i = 0; i < options.workers; ++i)
    lanes_.push_back({isolation_parts::make_worker(function, options.isolation), {}});
}

worker_set& worker_set::operator=(worker_set&& other) noexcept {
  if (this == &other) return *this;
  std::destroy_at(this);
  return *std::construct_at(this, std::move(other));
}

bool worker_set::wants_more(const lane& l, std::size_t left) const noexcept {
  const std::size_t has = l.worker.under_way();
  // Towards the end fewer, so that all of them end at about the same time.
  return has == 0 || has < std::min(most_ahead, left / (2 * lanes_.size()));
}

void worker_set::wait() {
  for (;;) {
    bool any = false;
    auto sooner = system::never;
    bool must_start = false;
    fds_.clear();
    for (lane& l : lanes_) {
      if (l.worker.under_way() == 0) continue;
      l.worker.exchange();
      any = any || l.worker.has_reply();
      sooner = std::min(sooner, l.worker.look_again_at());
      const std::size_t before = fds_.size();
      l.worker.add_to(fds_);
      must_start = must_start || fds_.size() == before;
    }
    if (any) return;
    if (must_start) continue;
    const wait_limit for_ever;
    limited_poll until(for_ever);
    until.wait(fds_, sooner);
  }
}

void worker_set::reset() noexcept {
  for (lane& l : lanes_) {
    l.worker.reset();
    l.indices.clear();
  }
}

std::uint64_t worker_set::started() const noexcept {
  std::uint64_t sum = 0;
  for (const lane& l : lanes_) sum += l.worker.started();
  return sum;
}

}  // namespace penstock::process
