#include <algorithm>
#include <cassert>
#include <chrono>
#include <utility>

#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>

namespace penstock {

namespace {
// A sentinel looks soon, in case a batch is stuck, and then less and less often: a look takes a processor from somebody.
constexpr std::chrono::nanoseconds first_lookout{pace::stuck_ns};
constexpr int last_lookout = 2, last_lookout_if_full = 5;  // so many times twice as long
// It has looked again by then.
constexpr std::int64_t soon = (first_lookout * (1 << last_lookout_if_full)).count();
// Who stays stuck is looked after each time after twice as long, up to this.
constexpr std::chrono::nanoseconds last_respite = std::chrono::hours(24);
// A computing turn that stands still waits for its slice of a processor, most likely: for that long nobody steps in.
constexpr std::chrono::milliseconds slices{20};
}  // namespace

// --- one member ---

void crew_member::turn_begins(const node& at, const pace& p, std::size_t items, std::int64_t now) noexcept {
  if (!shared_) return;
  looks_no_more_in_vain();
  const std::int64_t usual = p.each() * static_cast<std::int64_t>(items);
  if (items == 1) {
    if (!at.computes()) return leave_duty(duty::on, duty::off);
    stuck_from_.store(now + std::max(std::chrono::nanoseconds(slices).count(), 4 * usual), std::memory_order_relaxed);
    return leave_duty(duty::on, duty::computing);
  }
  // Behind an item that takes unusually long, others wait that somebody else can take over.
  stuck_from_.store(now + pace::stuck_ns + usual, std::memory_order_relaxed);
  if (p.is_long(items)) leave_duty(duty::on, at.computes() ? duty::computing : duty::off);
  if (crew_.asleep_.load(std::memory_order_relaxed) && !crew_.sentinel_.load(std::memory_order_relaxed))
    crew_.call_one(true);
}

void crew_member::goes_on_long() noexcept {
  const duty before = shared_ ? duty_.load() : duty::off;
  if (before == duty::off)
    crew_.notice();  // what it has done since it went off duty, nobody may have seen
  else
    leave_duty(before, duty::off);
}

void crew_member::leave_duty(duty from, duty to) noexcept {
  if (!duty_.compare_exchange_strong(from, to)) return;  // a sentinel has done it
  const crew::watch change = crew::share_of(to) - crew::share_of(from);
  const crew::watch now = crew_.watch_.fetch_add(change) + change;
  if (crew_.asleep_.load() == 0 || crew::on_duty(now) > 0) return;
  switch (crew_.what_is_ready(crew_.is_full(now))) {
    case readiness::nothing:
      if (to == duty::computing && !crew_.sentinel_.load()) crew_.call_one(true);
      break;
    case readiness::some:
      if (!crew_.sentinel_.load()) crew_.call_one(true);
      break;
    case readiness::plenty:
      crew_.call_one(false);
      break;
  }
}

void crew_member::turn_ends() noexcept {
  if (!shared_) return;
  if (stuck_from_.load(std::memory_order_relaxed)) stuck_from_.store(0, std::memory_order_relaxed);
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
  arrive(me);
  struct leaving {  // at the end of the block, however it ends
    crew& all;
    crew_member& me;
    ~leaving() { all.go_home(me); }
  } const at_the_end{*this, me};
  std::int64_t idle_since = 0;
  for (int idle = 0;;) {
    if (take_a_turn(me)) {
      idle = 0;
    } else if (over_.load()) {
      break;
    } else if (stays_up(++idle, idle_since)) {
      me.looks_in_vain();
      system::yield();
    } else {
      me.looks_no_more_in_vain();
      if (!sleep(me)) break;
      idle = 0;
    }
  }
}

void crew::arrive(crew_member& me) noexcept {
  const mutex_lock lock(mutex_);
  members_.push_back(me.here_);
}
void crew::go_home(crew_member& me) noexcept {
  me.looks_no_more_in_vain();
  const mutex_lock lock(mutex_);
  me.here_.unlink();
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

// Whoever calls takes the member off the list and on duty; one that gets up by itself does that itself.
void crew::lie_down(crew_member& me) noexcept {
  assert(me.duty_.load() == crew_member::duty::on);
  sleepers_.push_back(me.asleep_);
  asleep_.fetch_add(1);
  watch_.fetch_sub(one_on_duty);
}

void crew::leave_list(crew_member& m) noexcept {
  m.asleep_.unlink();
  asleep_.fetch_sub(1);
  looks_out_no_more(m);
}

void crew::get_up(crew_member& m) noexcept {
  leave_list(m);
  watch_.fetch_add(one_on_duty);
}

bool crew::sleep(crew_member& me) {
  mutex_lock lock(mutex_);
  // On duty, as far as it knows. But a sentinel may have taken it off just after its last turn, or it has waited for room
  // where it relieved somebody. Under the lock no sentinel comes between.
  me.turn_ends();
  if (to_dismiss_ > 0) {
    // What it would have found is found by somebody: while one is to go home nobody lies down but a sentinel.
    --to_dismiss_;
    --size_;
    watch_.fetch_sub(one_on_duty);
    return false;
  }
  bool sentinel = false;
  int quiet = 0, looks = 0;
  me.called_.store(0);
  lie_down(me);
  // Off duty first, then a last look; whoever makes work ready does it the other way round. Computing stages are left to
  // those who are on duty now, or compute and will look when they are done.
  bool up = what_is_ready(is_full(watch_.load())) != readiness::nothing;
  const bool at_once = up;
  while (!up && !over_.load()) {
    system::clock::time_point next_look = system::never;
    const watch before = watch_.load();
    if (!sentinel_.load() && (before != 0 || sentinel) && quiet < 4) {
      // Soon, while somebody may begin a batch without a word, and a few times more.
      const int last = is_full(before) && on_duty(before) == 0 ? last_lookout_if_full : last_lookout;
      next_look = system::clock::now() + first_lookout * (1 << std::min(looks++, last));
      lookout_ = &me;
      sentinel_.store(true);
    } else if (const std::int64_t due = lookout_ ? 0 : first_due()) {
      next_look = system::clock::time_point(std::chrono::nanoseconds(due));
      lookout_ = &me;
    }
    lock.unlock();
    system::futex_wait(me.called_, 0, next_look);
    lock.lock();
    if (me.called_.load() == called_to_work) return true;
    if (me.called_.load() == dismissed) return false;
    if (me.called_.load() == called_to_look_out) {
      me.called_.store(0);
      lie_down(me);
      sentinel = true;
      quiet = looks = 0;
      // Until now it has counted as one who will look.
      const watch w = watch_.load();
      up = on_duty(w) == 0 && what_is_ready(is_full(w)) == readiness::plenty;
    } else if (lookout_ == &me) {
      looks_out_no_more(me);
      const stuck found = relieve_from_duty_the_stuck();
      me.relieves_ = found == stuck::somebody;
      if (found == stuck::maybe_soon) sentinel = true;
      const watch w = watch_.load();
      quiet = w == 0 && found == stuck::nobody ? quiet + 1 : 0;
      up = me.relieves_ || (what_is_ready(is_full(w)) != readiness::nothing &&
                            (on_duty(w) == 0 || size_ - asleep_.load() < processors_));
    }
  }
  get_up(me);
  lock.unlock();
  // The turn before this has not found it: somebody is in the middle of it, and may need this processor to go on.
  if (at_once) system::yield();
  if (std::exchange(me.relieves_, false))
    for (const auto& n : nodes_) n->relieve(me);
  return true;
}

crew::stuck crew::relieve_from_duty_the_stuck() noexcept {
  const std::int64_t now = now_ns();
  stuck found = stuck::nobody;
  for (place* p = members_.front(); p; p = members_.after(*p)) {
    crew_member* const m = &p->who;
    std::int64_t from = m->stuck_from_.load(std::memory_order_relaxed);
    if (from == 0) continue;
    found = std::max(found, now >= from ? stuck::somebody : from - now < soon ? stuck::maybe_soon : stuck::nobody);
    if (now < from) continue;
    // Again later, for what nobody was free to take over, and less and less often: it may be stuck for hours. Not any more
    // after a day: then it is stuck for ever, most likely, and a simulation shall see that nothing moves.
    m->respite_ = from == m->respite_ends_ ? 2 * m->respite_ : first_lookout.count();
    const std::int64_t again = m->respite_ > last_respite.count() ? 0 : now + m->respite_;
    if (m->stuck_from_.compare_exchange_strong(from, again)) m->respite_ends_ = again;
    crew_member::duty before = m->duty_.load();
    if (before != crew_member::duty::off && m->duty_.compare_exchange_strong(before, crew_member::duty::off))
      watch_.fetch_sub(share_of(before));
  }
  return found;
}

std::int64_t crew::first_due() const noexcept {
  std::int64_t first = 0;
  for (const place* p = members_.front(); p; p = members_.after(*p)) {
    const std::int64_t from = p->who.stuck_from_.load(std::memory_order_relaxed);
    if (from && (first == 0 || from < first)) first = from;
  }
  return first;
}

void crew::looks_out_no_more(const crew_member& m) noexcept {
  if (lookout_ != &m) return;
  lookout_ = nullptr;
  sentinel_.store(false);
}

crew_member& crew::sleeper(place& first, place* or_else) const noexcept {
  return &first.who == lookout_ && or_else ? or_else->who : first.who;
}

void crew::call_one(bool as_sentinel) noexcept {
  system::atomic<std::uint32_t>* word = nullptr;
  {
    const mutex_lock lock(mutex_);
    if (sleepers_.empty() || (as_sentinel && sentinel_.load())) return;
    place& last = *sleepers_.back();
    crew_member& called = as_sentinel && lookout_ ? *lookout_ : sleeper(last, sleepers_.before(last));
    get_up(called);
    called.called_.store(as_sentinel ? called_to_look_out : called_to_work);
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
    place& first = *sleepers_.front();
    crew_member& m = sleeper(first, sleepers_.after(first));
    leave_list(m);
    --size_;
    m.called_.store(dismissed);
    word = &m.called_;
  }
  system::futex_wake(*word, 1);
}

void crew::notice() noexcept {
  // Not a load: who goes off duty changes this word and then looks, so he sees what was done before this, or is seen.
  const watch now = watch_.fetch_add(0);
  if (on_duty(now) > 0 || asleep_.load() == 0) return;
  if (!is_full(now) || what_is_ready(true) != readiness::nothing) call_one(false);
}

void crew::end() noexcept {
  const mutex_lock lock(mutex_);
  over_.store(true);
  for (place* p = sleepers_.front(); p; p = sleepers_.after(*p)) {
    p->who.called_.store(called_home);
    system::futex_wake(p->who.called_, 1);
  }
}

}  // namespace penstock
