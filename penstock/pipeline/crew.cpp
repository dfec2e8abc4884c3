#include <algorithm>
#include <cassert>
#include <chrono>
#include <utility>

#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>

namespace penstock {

// --- one member ---

void crew_member::turn_begins(const node& at, const pace& p, std::size_t items) noexcept {
  if (!shared_) return;
  looks_no_more_in_vain();
  if (items == 1 || p.is_long(items)) leave_duty(duty::on, at.computes() ? duty::computing : duty::off);
}

void crew_member::goes_on_long() noexcept {
  const duty before = shared_ ? duty_.load() : duty::off;
  if (before == duty::off)
    crew_.notice();  // what it has done since it went off duty, nobody may have seen
  else
    leave_duty(before, duty::off);
}

void crew_member::leave_duty(duty from, duty to) noexcept {
  if (!duty_.compare_exchange_strong(from, to)) return;  // the supervisor has done it
  const crew::watch change = crew::share_of(to) - crew::share_of(from);
  const crew::watch now = crew_.watch_.fetch_add(change) + change;
  if (crew_.asleep_.load() == 0 || crew::on_duty(now) > 0) return;
  switch (crew_.what_is_ready(crew_.is_full(now))) {
    case readiness::nothing:
      break;
    case readiness::some:
      if (crew_.supervisor_.is_there()) {
        crew_.supervisor_.watch(now_ns());
        break;
      }
      [[fallthrough]];
    case readiness::plenty:
      crew_.call_one();
      break;
  }
}

void crew_member::turn_ends() noexcept {
  if (!shared_) return;
  const duty before = duty_.exchange(duty::on);
  if (before != duty::on) crew_.watch_.fetch_add(crew::one_on_duty - crew::share_of(before));
}

void crew_member::deliver() {
  while (burden_.to) {
    const burden now = std::exchange(burden_, {});
    now.to->carried_turn(now, *this);
  }
}

void crew_member::changed_something() noexcept {
  crew_.supervisor_.changed();
  if (!shared_ || duty_.load(std::memory_order_relaxed) != duty::on) crew_.notice();
}

void crew_member::looks_in_vain() noexcept {
  if (!std::exchange(in_vain_, true)) crew_.in_vain_.fetch_add(1, std::memory_order_relaxed);
}
void crew_member::looks_no_more_in_vain() noexcept {
  if (std::exchange(in_vain_, false)) crew_.in_vain_.fetch_sub(1, std::memory_order_relaxed);
}

bool crew_member::nobody_is_free() const noexcept {
  return crew_.in_vain_.load(std::memory_order_relaxed) == 0 &&
         crew_.is_full(crew_.watch_.load(std::memory_order_relaxed));
}

// --- all of them ---

void crew::serve(crew_member& me) {
  struct leaving {  // at the end of the block, however it ends
    crew_member& me;
    ~leaving() { me.looks_no_more_in_vain(); }
  } const at_the_end{me};
  std::int64_t idle_since = 0;
  system::backoff mid_way;
  for (int idle = 0;;) {
    if (take_a_turn(me)) {
      idle = 0;
      mid_way = {};
    } else if (over_.load()) {
      break;
    } else if (system::yields_are_cheap() && stays_up(++idle, idle_since)) {
      me.looks_in_vain();
      (void)system::yield_briefly();
    } else {
      me.looks_no_more_in_vain();
      if (!sleep(me, mid_way)) break;
      idle = 0;
    }
  }
}

// The turns of others that compute are short, mostly: it is cheaper to wait for the end of one than to be woken then.
bool crew::stays_up(int idle, std::int64_t& since) const noexcept {
  const watch others = watch_.load(std::memory_order_relaxed) - one_on_duty;
  if (is_full(others)) return false;
  if (idle <= system::spins(8)) {
    since = 0;
    return true;
  }
  if (others == 0 || system::spins(2) < 2) return false;  // (not where each look is a schedule to be tried)
  const std::int64_t now = now_ns();
  if (since == 0) since = now;
  return now - since < 30'000;
}

bool crew::take_a_turn(crew_member& me) {
  const bool full = is_full(watch_.load(std::memory_order_relaxed) - one_on_duty);
  for (std::size_t i = nodes_.size(); i-- > 0;)
    if (!(full && nodes_[i]->computes()) && nodes_[i]->turn(me)) {
      me.deliver();
      return true;
    }
  return false;
}

readiness crew::what_is_ready(bool is_full) const noexcept {
  readiness most = readiness::nothing;
  for (const auto& n : nodes_)
    if (!(is_full && n->computes())) most = std::max(most, n->ready());
  return most;
}

// The calling thread takes the member off the list and puts it on duty; a member that finds work by itself does that itself.
void crew::lie_down(crew_member& me) noexcept {
  assert(me.duty_.load() == crew_member::duty::on);
  sleepers_.push_back(me.asleep_);
  asleep_.fetch_add(1);
  watch_.fetch_sub(one_on_duty);
}

void crew::leave_list(crew_member& m) noexcept {
  m.asleep_.unlink();
  asleep_.fetch_sub(1);
}

void crew::get_up(crew_member& m) noexcept {
  leave_list(m);
  watch_.fetch_add(one_on_duty);
}

bool crew::sleep(crew_member& me, system::backoff& mid_way) {
  mutex_lock lock(mutex_);
  // On duty, as far as it knows. But the supervisor may have taken it off just after its last turn. Under the lock it does
  // not come between.
  me.turn_ends();
  if (to_dismiss_ > 0) {
    // The work it would have found is found by another thread: while one is to be dismissed none lies down.
    --to_dismiss_;
    --size_;
    watch_.fetch_sub(one_on_duty);
    return false;
  }
  me.called_.store(0);
  lie_down(me);
  // Off duty first, then a last look; a thread that makes work ready does it the other way round. Computing stages are left
  // to those that are on duty now, or compute and will look when they are done.
  if (over_.load() || what_is_ready(is_full(watch_.load())) != readiness::nothing) {
    get_up(me);
    lock.unlock();
    // The turn before this has not found it: another thread is in the middle of it, and may need this processor to go on.
    if (!system::yield_briefly()) mid_way.once();
    return true;
  }
  lock.unlock();
  while (me.called_.load() == 0) system::futex_wait(me.called_, 0, system::never);
  return me.called_.load() != dismissed;
}

void crew::overdue(crew_member& m) noexcept {
  const mutex_lock lock(mutex_);
  if (!m.shared_ || m.asleep_.is_linked()) return;
  crew_member::duty before = m.duty_.load();
  if (before != crew_member::duty::off && m.duty_.compare_exchange_strong(before, crew_member::duty::off))
    watch_.fetch_sub(share_of(before));
}

bool crew::wake_one_if_useful() noexcept {
  if (asleep_.load() == 0) return false;
  const watch now = watch_.load();
  if (on_duty(now) > 0 && size_ - asleep_.load() >= processors_) return false;
  if (what_is_ready(is_full(now)) == readiness::nothing) return false;
  call_one();
  return true;
}

void crew::call_one() noexcept {
  system::atomic<std::uint32_t>* word = nullptr;
  {
    const mutex_lock lock(mutex_);
    if (sleepers_.empty()) return;
    crew_member& called = sleepers_.back()->member;
    get_up(called);
    called.called_.store(called_to_work);
    word = &called.called_;
  }
  system::futex_wake(*word, 1);
}

void crew::one_more() noexcept {
  ++size_;
  watch_.fetch_add(one_on_duty);
}

void crew::dismiss_one() noexcept {
  system::atomic<std::uint32_t>* word = nullptr;
  {
    const mutex_lock lock(mutex_);
    if (sleepers_.empty()) {
      ++to_dismiss_;
      return;
    }
    crew_member& m = sleepers_.front()->member;
    leave_list(m);
    --size_;
    m.called_.store(dismissed);
    word = &m.called_;
  }
  system::futex_wake(*word, 1);
}

void crew::notice() noexcept {
  supervisor_.changed();
  // Not a load: a thread that goes off duty changes this word and then looks, so it sees what was done before this, or is seen.
  const watch now = watch_.fetch_add(0);
  if (on_duty(now) > 0 || asleep_.load() == 0) return;
  if (!is_full(now) || what_is_ready(true) != readiness::nothing) call_one();
}

void crew::end() noexcept {
  const mutex_lock lock(mutex_);
  over_.store(true);
  while (!sleepers_.empty()) {
    crew_member& m = sleepers_.back()->member;
    get_up(m);
    m.called_.store(called_home);
    system::futex_wake(m.called_, 1);
  }
}

}  // namespace penstock
