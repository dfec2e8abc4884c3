#include <algorithm>
#include <chrono>

#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>

namespace penstock {

namespace {
constexpr std::chrono::milliseconds lookout{1};
}

// --- one member ---

void crew_member::turn_begins(std::size_t items, bool is_long, std::int64_t now) noexcept {
  if (!shared_) return;
  if (is_long || items == 1) return leave_duty();
  batch_since_.store(now, std::memory_order_relaxed);
  if (crew_.asleep_.load(std::memory_order_relaxed) && !crew_.sentinel_.load(std::memory_order_relaxed))
    crew_.call_one(true);
}

void crew_member::goes_on_long() noexcept {
  if (shared_ && duty_.load() == duty::on)
    leave_duty();
  else
    crew_.notice();  // what it has done since it went off duty, nobody may have seen
}

void crew_member::leave_duty() noexcept {
  duty expected = duty::on;
  if (!duty_.compare_exchange_strong(expected, duty::off)) return;  // a sentinel has done it
  const std::size_t others = crew_.on_duty_.fetch_sub(1) - 1;
  if (crew_.asleep_.load() == 0) return;
  if (others > 0) return;
  switch (crew_.what_is_ready()) {
    case readiness::nothing:
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
  if (batch_since_.load(std::memory_order_relaxed)) batch_since_.store(0, std::memory_order_relaxed);
  if (duty_.exchange(duty::on) == duty::off) crew_.on_duty_.fetch_add(1);
}

void crew_member::deliver() {
  while (burden_.to) {
    const burden now = std::exchange(burden_, {});
    now.to->carried_turn(now, *this);
  }
}

void crew_member::changed_something() noexcept {
  if (!shared_ || duty_.load(std::memory_order_relaxed) == duty::off) crew_.notice();
}

// --- all of them ---

void crew::serve(crew_member& me) {
  {
    const mutex_lock lock(mutex_);
    members_.push_back(&me);
  }
  for (int idle = 0;;) {
    if (take_a_turn(me)) {
      idle = 0;
    } else if (over_.load()) {
      break;
    } else if (++idle <= 8) {
      system::yield();
    } else {
      sleep(me);
      idle = 0;
    }
  }
  const mutex_lock lock(mutex_);
  members_.erase(std::find(members_.begin(), members_.end(), &me));
}

bool crew::take_a_turn(crew_member& me) {
  for (std::size_t i = nodes_.size(); i-- > 0;)
    if (nodes_[i]->turn(me)) {
      me.deliver();
      return true;
    }
  return false;
}

readiness crew::what_is_ready() const noexcept {
  readiness most = readiness::nothing;
  for (const auto& n : nodes_) most = std::max(most, n->ready());
  return most;
}

// Whoever calls takes the member off the list and on duty; one that gets up by itself does that itself.
void crew::lie_down(crew_member& me) noexcept {
  sleepers_.push_back(&me);
  asleep_.fetch_add(1);
  on_duty_.fetch_sub(1);
}

void crew::get_up(crew_member& me) noexcept {
  sleepers_.erase(std::find(sleepers_.begin(), sleepers_.end(), &me));
  asleep_.fetch_sub(1);
  on_duty_.fetch_add(1);
}

void crew::sleep(crew_member& me) {
  mutex_lock lock(mutex_);
  bool sentinel = false;
  int quiet = 0;
  me.called_.store(0);
  lie_down(me);
  // Off duty first, then a last look; whoever makes work ready does it the other way round.
  bool up = what_is_ready() != readiness::nothing;
  while (!up && !over_.load()) {
    // After four quiet looks there is nothing to look out for.
    const bool looks_out = !sentinel_.load() && (on_duty_.load() > 0 || sentinel) && quiet < 4;
    if (looks_out) sentinel_.store(true);
    lock.unlock();
    system::futex_wait(me.called_, 0, looks_out ? system::clock::now() + lookout : system::never);
    lock.lock();
    if (looks_out) sentinel_.store(false);
    if (me.called_.load() == called_to_work) return;
    if (me.called_.load() == called_to_look_out) {
      me.called_.store(0);
      lie_down(me);
      sentinel = true;
      quiet = 0;
    } else if (looks_out) {
      quiet = on_duty_.load() == 0 ? quiet + 1 : 0;
      me.relieves_ = relieve_from_duty_the_stuck();
      up = me.relieves_ || (what_is_ready() != readiness::nothing &&
                            (on_duty_.load() == 0 || size_ - asleep_.load() < system::processors()));
    }
  }
  get_up(me);
  lock.unlock();
  if (std::exchange(me.relieves_, false))
    for (const auto& n : nodes_) n->relieve(me);
}

bool crew::relieve_from_duty_the_stuck() noexcept {
  const std::int64_t now = now_ns();
  bool any = false;
  for (crew_member* m : members_) {
    const std::int64_t since = m->batch_since_.load(std::memory_order_relaxed);
    if (since == 0 || now - since < std::chrono::nanoseconds(lookout).count()) continue;
    any = true;
    crew_member::duty expected = crew_member::duty::on;
    if (m->duty_.compare_exchange_strong(expected, crew_member::duty::off)) on_duty_.fetch_sub(1);
  }
  return any;
}

void crew::call_one(bool as_sentinel) noexcept {
  system::atomic<std::uint32_t>* word = nullptr;
  {
    const mutex_lock lock(mutex_);
    if (sleepers_.empty() || (as_sentinel && sentinel_.load())) return;
    crew_member* const called = sleepers_.back();
    sleepers_.pop_back();
    asleep_.fetch_sub(1);
    on_duty_.fetch_add(1);
    called->called_.store(as_sentinel ? called_to_look_out : called_to_work);
    word = &called->called_;
  }
  system::futex_wake(*word, 1);
}

void crew::notice() noexcept {
  // Not a load: who goes off duty changes this word and then looks, so he sees what was done before this, or is seen.
  if (on_duty_.fetch_add(0) == 0 && asleep_.load() > 0) call_one(false);
}

void crew::end() noexcept {
  const mutex_lock lock(mutex_);
  over_.store(true);
  for (crew_member* m : sleepers_) {
    m->called_.store(called_home);
    system::futex_wake(m->called_, 1);
  }
}

}  // namespace penstock
