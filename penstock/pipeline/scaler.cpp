#include <algorithm>
#include <chrono>
#include <exception>

#include <penstock/pipeline/scaler.hpp>

namespace penstock {

namespace {
constexpr std::chrono::milliseconds period{20};
constexpr std::size_t steps_kept = 64;

scaling::observation observe(node& n, std::int64_t now, double free_processors) {
  scaling::observation o{.at = now, .workers = n.present()};
  for (const worker& w : n.workers()) {
    const worker::times t = w.spent(now, n.ran_dry());
    o.finished += w.finished();
    o.present += static_cast<std::int64_t>(t.life);
    o.starved += static_cast<std::int64_t>(t.starved);
    o.blocked += static_cast<std::int64_t>(t.blocked);
    o.at_work += static_cast<std::int64_t>(t.life - std::min(t.life, t.starved + t.blocked + t.unmanned));
  }
  o.ran = n.ran_ns();
  o.crowded = n.crowded_ns();
  o.work_waits = n.has_work();
  o.free_processors = free_processors;
  return o;
}
}  // namespace

scaler::scaler(const std::vector<std::unique_ptr<node>>& nodes, means m) : means_(std::move(m)) {
  for (const auto& n : nodes)
    if (!n->range().is_fixed()) posts_.push_back({*n, scaling(n->range(), system::processors())});
  for (post& p : posts_) p.steps.reserve(steps_kept);
}

void scaler::run() {
  began_ = now_ns();
  std::int64_t looked = began_, ran = system::process_ran();
  for (;;) {
    // In this order: end() says so before it rings.
    const std::uint32_t heard = bell_.load();
    if (over_.load()) break;
    // Asleep first, then a last look; whoever finds work does it the other way round.
    asleep_.store(true);
    const bool idle = all_idle();
    if (!idle) asleep_.store(false);
    system::futex_wait(bell_, heard, idle ? system::never : system::clock::now() + period);
    asleep_.store(false);
    if (over_.load()) break;
    const std::int64_t now = now_ns(), ran_by_now = system::process_ran();
    if (now <= looked) continue;
    const double used = static_cast<double>(ran_by_now - ran) / static_cast<double>(now - looked);
    looked = now;
    ran = ran_by_now;
    for (post& p : posts_) look_at(p, static_cast<double>(system::processors()) - used);
    means_.join_the_gone();
  }
}

bool scaler::all_idle() const noexcept {
  return std::all_of(posts_.begin(), posts_.end(), [](const post& p) {
    return p.at.present() == p.at.range().least() && p.at.is_idle() && !p.at.has_work() && p.removed == 0;
  });
}

void scaler::look_at(post& p, double free_processors) {
  send_threads_home(p);
  const scaling::observation o = observe(p.at, now_ns(), free_processors);
  const scaling::decision d = p.rule.look(o);
  if (d.workers > o.workers && !p.no_more_threads) grow(p, d.workers, d.why);
  if (d.workers < o.workers) shrink(p, d.workers, d.why);
}

void scaler::grow(post& p, std::size_t to, scaling_reason why) {
  const std::size_t from = p.at.present();
  while (p.at.present() < to) {
    try {
      means_.add_thread();
    } catch (const std::exception&) {  // no thread, or no memory for one
      p.no_more_threads = true;
      why = scaling_reason::no_thread;
      break;
    }
    p.at.add_worker(now_ns());
    means_.worker_added();
  }
  note(p, from, why);
}

void scaler::shrink(post& p, std::size_t to, scaling_reason why) {
  const std::size_t from = p.at.present();
  for (std::size_t i = from; i > to; --i) {
    p.at.remove_worker(now_ns());
    ++p.removed;
  }
  send_threads_home(p);
  note(p, from, why);
  means_.worker_removed(p.at);
}

// Not before the worker has gone: until then there must be as many threads as workers, or there may be none for the stage
// behind, which that worker may be waiting for.
void scaler::send_threads_home(post& p) {
  for (; p.removed > p.at.leaving(); --p.removed) means_.remove_thread();
}

void scaler::note(post& p, std::size_t from, scaling_reason why) {
  const mutex_lock lock(mutex_);
  if (p.steps.size() == steps_kept) p.steps.erase(p.steps.begin());
  p.steps.push_back({std::chrono::nanoseconds(now_ns() - began_), from, p.at.present(), why});
}

std::vector<scaling_step> scaler::steps(const node& n) const {
  const mutex_lock lock(mutex_);
  for (const post& p : posts_)
    if (&p.at == &n) return p.steps;
  return {};
}

void scaler::wake() noexcept {
  ++bell_;
  system::futex_wake(bell_, 1);
}

void scaler::end() noexcept {
  over_.store(true);
  wake();
}

}  // namespace penstock
