#include <algorithm>

#include <penstock/pipeline/node.hpp>

namespace penstock {

node::node(std::string name, worker_count workers)
    : name_(std::move(name)),
      range_(workers),
      workers_(workers.most()),
      manned_(workers.least() * one_present),
      next_(std::make_unique<system::atomic<std::uint32_t>[]>(workers.most())) {
  for (std::size_t i = workers.most(); i-- > 0;) push(i < workers.least() ? free_ : absent_, i);
}

worker* node::hire(std::int64_t now) noexcept {
  // First: whoever looks whether the stage is over must not miss one who is about to take an item.
  // Not an addition that is taken back: in between the stage would look at work to the one who asks whether it has ended.
  manning now_there = manned_.load();
  do {
    if (at_work_of(now_there) >= present_of(now_there)) return nullptr;
  } while (!manned_.compare_exchange_weak(now_there, now_there + one_at_work));
  worker& w = workers_[pop(free_)];
  w.wait_ends(now, ran_dry());
  return &w;
}

void node::let_go(worker& w, wait_kind why, std::int64_t now) noexcept {
  if (leaving_.load(std::memory_order_relaxed) > 0 && take_one(leaving_)) return dismiss(w, now);
  if (why == wait_kind::starved) ran_dry_.store(now, std::memory_order_relaxed);
  w.wait_begins(why, now);
  push(free_, index_of(w));
  manned_.fetch_sub(one_at_work);
}

void node::add_worker(std::int64_t now) noexcept {
  if (take_one(leaving_)) return;  // one stays after all
  // Nobody is absent only while the one who leaves is on his way.
  std::uint32_t index = pop(absent_);
  for (system::backoff mid_way; index == nobody; index = pop(absent_)) mid_way.once();
  workers_[index].wait_ends(now);
  workers_[index].wait_begins(wait_kind::starved, now);
  push(free_, index);
  manned_.fetch_add(one_present);
}

void node::remove_worker(std::int64_t now) noexcept {
  if (worker* const w = hire(now))
    dismiss(*w, now);
  else
    leaving_.fetch_add(1);
}

void node::dismiss(worker& w, std::int64_t now) noexcept {
  w.wait_begins(wait_kind::absent, now);
  push(absent_, index_of(w));
  manned_.fetch_sub(one_present + one_at_work);
}

bool node::take_one(system::atomic<std::size_t>& number) noexcept {
  std::size_t n = number.load();
  while (n > 0)
    if (number.compare_exchange_weak(n, n - 1)) return true;
  return false;
}

void node::push(stack& s, std::uint64_t index) noexcept {
  std::uint64_t top = s.load(std::memory_order_relaxed);
  do {
    next_[index].store(static_cast<std::uint32_t>(top & nobody), std::memory_order_relaxed);
  } while (!s.compare_exchange_weak(top, ((top >> 32) + 1) << 32 | index, std::memory_order_release,
                                    std::memory_order_relaxed));
}

std::uint32_t node::pop(stack& s) noexcept {
  std::uint64_t top = s.load(std::memory_order_acquire);
  for (;;) {
    const auto index = static_cast<std::uint32_t>(top & nobody);
    if (index == nobody) return nobody;
    // A push that came between has counted; so has one that put the same worker back.
    const std::uint64_t below = (top & ~std::uint64_t{nobody}) | next_[index].load(std::memory_order_relaxed);
    if (s.compare_exchange_weak(top, below, std::memory_order_acquire, std::memory_order_acquire)) return index;
  }
}

void node::add_shares(stage_report& r, std::int64_t now) const noexcept {
  worker::times sum;
  for (const worker& w : workers_) {
    const worker::times t = w.spent(now, ran_dry());
    sum.life += t.life;
    sum.starved += t.starved;
    sum.blocked += t.blocked;
    sum.paused += t.paused;
    sum.unmanned += t.unmanned;
  }
  if (sum.life == 0) return;
  const auto life = static_cast<double>(sum.life);
  r.starved = std::min(1.0, static_cast<double>(sum.starved) / life);
  r.blocked = std::min(1.0, static_cast<double>(sum.blocked) / life);
  r.paused = std::min(1.0, static_cast<double>(sum.paused) / life);
  r.busy = std::max(0.0, 1 - r.starved - r.blocked - r.paused);
  if (r.busy == 0) return;
  const auto crowded = static_cast<double>(crowded_ns()) + static_cast<double>(sum.unmanned);
  r.processor = std::min(1.0, static_cast<double>(ran_ns()) / (r.busy * life));
  r.crowded = std::min(1 - r.processor, crowded / (r.busy * life));
}

void node::used(std::int64_t at_work_ns, std::int64_t ran_ns, std::int64_t crowded_ns) noexcept {
  ran_ns_.fetch_add(ran_ns, std::memory_order_relaxed);
  crowded_ns_.fetch_add(crowded_ns, std::memory_order_relaxed);
  if (at_work_ns <= 0) return;
  const double share = std::min(1.0, static_cast<double>(ran_ns + crowded_ns) / static_cast<double>(at_work_ns));
  const double before = computing_share_.load(std::memory_order_relaxed);
  computing_share_.store(before + (share - before) / 4, std::memory_order_relaxed);
}

}  // namespace penstock
