// Longer than most: the decisions of a run are one piece. Memory first, then threads, then waiting, then what is told.
#include <algorithm>
#include <bit>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <utility>

#include <penstock/base/exception_text.hpp>
#include <penstock/simulation/scheduler.hpp>

namespace penstock::system::detail {

namespace {
constexpr unsigned rounds_until_time_passes = 64;
constexpr const char* says_it_depends =
    "the body did something else when it was run again: it depends on more than its schedule";
constexpr unsigned most_overlooks = 8;  // of one store: a store arrives in the end, whatever the bound is
constexpr auto start_of_time = clock::time_point(std::chrono::hours(1));

std::uint64_t next_of(std::uint64_t& state) noexcept {  // splitmix64 (Steele, Lea, Flood)
  std::uint64_t z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

// The lowest thread of a set, which is taken out.
unsigned take_lowest(std::uint64_t& set) noexcept {
  const auto lowest = static_cast<unsigned>(std::countr_zero(set));
  set &= set - 1;
  return lowest;
}
}  // namespace

scheduler::scheduler(const options& given) : options_(given) {}
scheduler::~scheduler() = default;

std::uint64_t scheduler::random() noexcept { return next_of(random_); }
double scheduler::random_share() noexcept { return static_cast<double>(next_of(values_) >> 11) * 0x1p-53; }

// --- decisions ---------------------------------------------------------------------------------------------------------

unsigned scheduler::decide(unsigned alternatives, unsigned rarely) {
  if (position_ < path_->size()) {
    const decision made = (*path_)[position_++];
    // Read from a text: the code may have changed since, and then anything may happen.
    if (made.alternatives == 0) return std::min<unsigned>(made.chosen, alternatives - 1);
    if (made.alternatives != alternatives) fail(says_it_depends);
    return made.chosen;
  }
  unsigned chosen = 0;
  if (!bounded() && random() % rarely == 0) chosen = static_cast<unsigned>(random() % alternatives);
  path_->push_back({static_cast<std::uint16_t>(alternatives), static_cast<std::uint16_t>(chosen)});
  ++position_;
  return chosen;
}

void scheduler::candidates::add(threads set, candidate::how why) noexcept {
  while (set) list[count++] = {take_lowest(set), why};
}

unsigned scheduler::choose(unsigned alternatives) {
  if (alternatives == 0 || alternatives > 0xffff) fail("a choice of " + std::to_string(alternatives));
  return alternatives == 1 ? 0 : decide(alternatives, 1);
}

// Those whose wait may end before its time.
scheduler::threads scheduler::may_end_early() const noexcept {
  return (options_.early_timeouts && !manual_clock_ ? timed_ : 0) | (options_.spurious_wakes ? may_wake_ : 0);
}

// Which of the candidates goes on. The first `free` ones may at no cost; any other is one of the preemptions.
unsigned scheduler::pick(const candidates& among, unsigned free) {
  if (bounded()) {
    const unsigned count = preemptions_left_ ? among.count : free;
    if (count == 1) return 0;
    const unsigned chosen = decide(count);
    if (chosen >= free) --preemptions_left_;
    return chosen;
  }
  if (among.count == 1) return 0;
  if (position_ < path_->size()) return decide(among.count);
  unsigned ready = 0;
  while (ready < among.count && among.list[ready].why == candidate::how::goes_on) ++ready;
  unsigned chosen = 0;
  if (ready == 0 || (ready < among.count && random() % 32 == 0)) {
    chosen = static_cast<unsigned>(random() % among.count);
  } else if (beyond_ == strategy::random_walk) {
    if (free != 1 || random() % stickiness_ == 0) chosen = static_cast<unsigned>(random() % ready);
  } else {
    for (unsigned i = 1; i < ready; ++i)
      if (all_[among.list[i].thread]->priority > all_[among.list[chosen].thread]->priority) chosen = i;
  }
  path_->push_back({static_cast<std::uint16_t>(among.count), static_cast<std::uint16_t>(chosen)});
  ++position_;
  return chosen;
}

void scheduler::count_step(operation op) {
  if (++steps_ > options_.steps)
    fail("no end after " + std::to_string(options_.steps) + " steps: a livelock, or options::steps is too small");
  hash_ = (hash_ ^ (current_->number * 64U + static_cast<unsigned>(op))) * 0x100000001b3;
  if (steps_ >= next_hook_) [[unlikely]]
    start_hook();
  if (beyond_ == strategy::priorities)
    for (const std::uint64_t at : priority_changes_)
      if (at == steps_) current_->priority = --low_priority_;
}

void scheduler::step(operation op, const void* where) {
  count_step(op);
  const threads others = runnable_ & ~bit(current_->number);
  const threads early = may_end_early();
  if ((others | early) != 0 && (preemptions_left_ != 0 || !bounded())) {
    candidates among;
    among.add(bit(current_->number), candidate::how::goes_on);
    among.add(others, candidate::how::goes_on);
    among.add(early & timed_, candidate::how::times_out);
    among.add(early & ~timed_, candidate::how::wakes);
    if (const unsigned chosen = pick(among, 1); chosen != 0) {
      stalled_ |= bit(current_->number);
      stalled_rests_ = 0;
      go_on(among.list[chosen]);
    }
  }
  record(op, where);
}

void scheduler::rest(operation op) {
  count_step(op);
  record(op, nullptr);
  const threads self = bit(current_->number);
  rested_ |= self;
  if (stalled_) {
    if (!(runnable_ & ~rested_ & ~stalled_) && ++stalled_rests_ <= options_.patience) rested_ &= stalled_ | self;
    if (stalled_rests_ > options_.patience) stalled_ = 0;
  }
  threads free = runnable_ & ~rested_ & ~stalled_;
  if (!free && stalled_) {
    rested_ &= ~self;
    return;
  }
  if (!free) {
    // Everyone who can run waits for somebody to do something. Those who sleep may be the ones; else for time to pass.
    if (++fruitless_ > rounds_until_time_passes && !manual_clock_ && !jump_to_deadline())
      now_ += std::chrono::microseconds(1) * (std::int64_t{1} << std::min(fruitless_ - rounds_until_time_passes, 20U));
    rested_ &= self;
    free = runnable_ & ~self;
    if (!free) {
      rested_ = 0;
      return;
    }
  }
  candidates among;
  among.add(free, candidate::how::goes_on);
  const unsigned count = among.count;
  const threads early = may_end_early();
  among.add(early & timed_, candidate::how::times_out);
  among.add(early & ~timed_, candidate::how::wakes);
  go_on(among.list[pick(among, count)]);
}

void scheduler::go_on(candidate chosen) {
  thread_state& next = *all_[chosen.thread];
  switch (chosen.why) {
    case candidate::how::goes_on:
      break;
    case candidate::how::times_out:
      now_ = std::max(now_, next.deadline);
      expire();
      break;
    case candidate::how::wakes:
      next.woken = true;
      set_runnable(next);
      break;
  }
  change_to(next);
}

void scheduler::change_to(thread_state& next) {
  rested_ &= ~bit(next.number);
  stalled_ &= ~bit(next.number);
  if (&next == current_) return;
  thread_state& previous = *current_;
  current_ = &next;
  fiber::change(previous.stack, next.stack);
}

// --- memory ------------------------------------------------------------------------------------------------------------

const void* scheduler::own_store(const void* value) const noexcept {
  for (unsigned i = current_->store_count; i-- > 0;)
    if (const pending_store& s = current_->store_at(i); s.value == value) return s.bytes;
  return nullptr;
}

void scheduler::write(location& where, void* value, const void* from, std::size_t size, std::memory_order order) {
  fruitless_ = 0;
  thread_state& self = *current_;
  const bool releases = order != std::memory_order_relaxed;
  if (order == std::memory_order_seq_cst || options_.delayed_stores == 0) {
    drain();
    see(value);
    std::memcpy(value, from, size);
    where.released = releases ? self.known : vector_clock{};
  } else {
    if (self.store_count == buffer_size) commit_oldest(self);
    pending_store& s = self.store_at(self.store_count++);
    ++stores_pending_;
    s.where = &where;
    s.value = value;
    s.issued = ++stores_issued_;
    s.released = releases ? self.known : vector_clock{};
    s.size = static_cast<std::uint16_t>(size);
    s.overlooked = 0;
    std::memcpy(s.bytes, from, size);
  }
  if (releases && self.number < vector_clock::width) ++self.known.ticks[self.number];
}

void scheduler::commit_oldest(thread_state& of) {
  const pending_store& s = of.store_at(0);
  std::memcpy(s.value, s.bytes, s.size);
  s.where->released = s.released;
  of.first_store = (of.first_store + 1) % buffer_size;
  --of.store_count;
  --stores_pending_;
}

// All stores of all threads, in the order in which they were made, up to this one.
void scheduler::commit_through(std::uint64_t issued) {
  for (;;) {
    thread_state* next = nullptr;
    for (unsigned i = 0; i < thread_count_; ++i) {
      thread_state& t = *all_[i];
      if (t.store_count && t.store_at(0).issued <= issued && (!next || t.store_at(0).issued < next->store_at(0).issued))
        next = &t;
    }
    if (!next) return;
    commit_oldest(*next);
  }
}

// A store in a buffer is noticed only by one who looks at the same value, so that is when it is decided whether it has
// come out by now; between such looks the moment makes no difference.
void scheduler::see(const void* value) {
  if (stores_pending_ == current_->store_count) return;
  std::uint64_t newest = 0;
  bool must_arrive = bounded() && delays_left_ == 0;
  struct partial {
    unsigned thread, count;
  };
  std::array<partial, 32> partials;  // one thread's first stores only
  unsigned count = 0;
  unsigned writers = 0;
  for (unsigned i = 0; i < thread_count_; ++i) {
    thread_state& t = *all_[i];
    if (&t == current_) continue;
    bool any = false;
    for (unsigned k = 0; k < t.store_count; ++k) {
      const pending_store& s = t.store_at(k);
      if (s.value != value) continue;
      any = true;
      newest = std::max(newest, s.issued);
      if (s.overlooked >= most_overlooks) must_arrive = true;
      if (count < partials.size()) partials[count++] = {i, k + 1};
    }
    writers += any;
  }
  if (newest == 0) return;
  if (writers == 1) --count;  // all of the only one's stores: that is the first alternative already
  const unsigned chosen = must_arrive ? 0 : decide(count + 2, 4);
  if (chosen == 0) {
    commit_through(newest);
    return;
  }
  if (bounded()) --delays_left_;
  if (chosen <= count) {
    thread_state& t = *all_[partials[chosen - 1].thread];
    for (unsigned k = partials[chosen - 1].count; k > 0; --k) commit_oldest(t);
  }
  for (unsigned i = 0; i < thread_count_; ++i) {
    thread_state& t = *all_[i];
    for (unsigned k = 0; k < t.store_count; ++k)
      if (t.store_at(k).value == value) ++t.store_at(k).overlooked;
  }
}

void scheduler::drain() {
  thread_state& self = *current_;
  while (self.store_count) {
    if (stores_pending_ != self.store_count) {
      // Others' stores to the same value: first made, first out, or the other way round.
      const pending_store own = self.store_at(0);
      std::uint64_t earlier = 0;
      bool any = false;
      for (unsigned i = 0; i < thread_count_; ++i) {
        const thread_state& t = *all_[i];
        if (&t == &self) continue;
        for (unsigned k = 0; k < t.store_count; ++k) {
          if (t.store_at(k).value != own.value) continue;
          any = true;
          if (t.store_at(k).issued < own.issued) earlier = std::max(earlier, t.store_at(k).issued);
        }
      }
      bool reversed = false;
      if (any && (!bounded() || delays_left_ > 0)) {
        reversed = decide(2, 4) == 1;
        if (reversed && bounded()) --delays_left_;
      }
      if (!reversed && earlier) commit_through(earlier);
      if (any && reversed) {
        for (unsigned i = 0; i < thread_count_; ++i) {
          thread_state& t = *all_[i];
          if (&t == &self) continue;
          unsigned through = 0;
          for (unsigned k = 0; k < t.store_count; ++k)
            if (t.store_at(k).value == own.value && t.store_at(k).issued > own.issued) through = k + 1;
          while (through-- > 0) commit_oldest(t);
        }
      }
    }
    commit_oldest(self);
  }
}

void scheduler::drain_all() { commit_through(stores_issued_); }

void scheduler::forget(const void* value) {
  if (stores_pending_ == 0) return;
  for (unsigned i = 0; i < thread_count_; ++i) {
    thread_state& t = *all_[i];
    for (unsigned k = 0; k < t.store_count; ++k) {
      if (t.store_at(k).value != value) continue;
      if (&t != current_)
        fail("an atomic was destroyed while a store of " + name_of(t) + " to it was still on its way");
      drain();
      return;
    }
  }
}

void scheduler::acquire(const location& from) noexcept { current_->known.join(from.released); }

// `keep`: what was released there before stays (a read-modify-write continues it).
void scheduler::release(location& to, bool keep) noexcept {
  thread_state& self = *current_;
  if (keep) {
    to.released.join(self.known);
  } else {
    to.released = self.known;
  }
  if (self.number < vector_clock::width) ++self.known.ticks[self.number];
}

// The heavy fence: each thread is interrupted, so what it did before is before what the caller does from here on, and
// the other way round.
void scheduler::synchronize_all() noexcept {
  vector_clock all;
  for (unsigned i = 0; i < thread_count_; ++i) all.join(all_[i]->known);
  for (unsigned i = 0; i < thread_count_; ++i) {
    all_[i]->known = all;
    if (i < vector_clock::width) ++all_[i]->known.ticks[i];
  }
}

// --- threads -----------------------------------------------------------------------------------------------------------

scheduler::thread_state& scheduler::new_thread() {
  if (thread_count_ == most_threads) fail("more than 64 threads in one run");
  if (thread_count_ == all_.size()) all_.push_back(std::make_unique<thread_state>());
  thread_state& t = *all_[thread_count_];
  t.number = thread_count_++;
  t.function = nullptr;
  t.argument = nullptr;
  t.own_function = nullptr;
  t.finished = false;
  t.woken = false;
  t.first_store = t.store_count = 0;
  t.usage = {};
  t.known = current_ ? current_->known : vector_clock{};
  if (t.number < vector_clock::width) t.known.ticks[t.number] = 1;
  t.priority = beyond_ == strategy::priorities ? 1000 + static_cast<unsigned>(random() % 1'000'000) : 0;
  t.stack.start(&scheduler::thread_main, &t);
  t.name.clear();
  return t;
}

void scheduler::thread_main(void* self) noexcept {
  auto& t = *static_cast<thread_state*>(self);
  scheduler& s = *running;
  try {
    if (t.function) {
      t.function(t.argument);
    } else {
      t.own_function();
    }
  } catch (...) {
    s.fail("an exception: " + exception_text(std::current_exception()));
  }
  s.end_thread();
}

void scheduler::end_thread() {
  thread_state& self = *current_;
  step_if_storing(operation::end, nullptr);
  drain();
  self.finished = true;
  fruitless_ = 0;
  runnable_ &= ~bit(self.number);
  wake(&self, most_threads, false);
  if (all_[0]->finished && (runnable_ | blocked_) & ~hooks_) {
    threads left = (runnable_ | blocked_) & ~hooks_;
    fail("the body has returned, and " + name_of(*all_[take_lowest(left)]) + " has not");
  }
  if (!((runnable_ | blocked_))) {
    fiber::change(self.stack, root_);
  }
  leave_blocked();
}

unsigned scheduler::start_thread(void (*function)(void*), void* argument) {
  step(operation::start, nullptr);
  drain();
  thread_state& t = new_thread();
  t.function = function;
  t.argument = argument;
  runnable_ |= bit(t.number);
  note(t.number);
  if (current_->number < vector_clock::width) ++current_->known.ticks[current_->number];
  return t.number;
}

void scheduler::join_thread(unsigned number) {
  step(operation::join, nullptr);
  drain();
  note(number);
  thread_state& t = *all_[number];
  while (!t.finished) block(operation::join, &t, never);
  current_->known.join(t.known);
}

void scheduler::at_step(std::uint64_t n, std::function<void()> what) {
  thread_state& t = new_thread();
  t.own_function = std::move(what);
  if (tracing_) t.name = "at step " + std::to_string(n);
  hooks_ |= bit(t.number);
  hook_steps_.emplace_back(n, t.number);
  next_hook_ = std::min(next_hook_, n);
}

void scheduler::start_hook() {
  unsigned due = most_threads;
  next_hook_ = ~std::uint64_t{0};
  for (auto it = hook_steps_.begin(); it != hook_steps_.end();) {
    if (due == most_threads && it->first <= steps_) {
      due = it->second;
      it = hook_steps_.erase(it);
    } else {
      next_hook_ = std::min(next_hook_, it->first);
      ++it;
    }
  }
  thread_state& hook = *all_[due];
  runnable_ |= bit(due);
  change_to(hook);
}

// --- waiting -----------------------------------------------------------------------------------------------------------

void scheduler::set_runnable(thread_state& t) noexcept {
  const threads self = bit(t.number);
  runnable_ |= self;
  blocked_ &= ~self;
  timed_ &= ~self;
  may_wake_ &= ~self;
}

bool scheduler::block(operation op, const void* what, time_point deadline) {
  if (deadline <= now_) return false;
  thread_state& self = *current_;
  const threads bit_of_self = bit(self.number);
  fruitless_ = 0;
  self.waits_in = op;
  self.waits_on = what;
  self.waits_since = ++waits_;
  self.deadline = deadline;
  self.woken = false;
  runnable_ &= ~bit_of_self;
  blocked_ |= bit_of_self;
  if (deadline != never) timed_ |= bit_of_self;
  if (op == operation::wait || op == operation::futex_wait) may_wake_ |= bit_of_self;
  leave_blocked();
  return self.woken;
}

// The current thread cannot go on: another one does, until this one can again.
void scheduler::leave_blocked() {
  for (;;) {
    threads free = runnable_ & ~rested_;
    if (!free) {
      rested_ = 0;
      free = runnable_;
    }
    if (free) {
      candidates among;
      among.add(free, candidate::how::goes_on);
      const unsigned count = among.count;
      const threads early = may_end_early();
      among.add(early & timed_, candidate::how::times_out);
      among.add(early & ~timed_, candidate::how::wakes);
      go_on(among.list[pick(among, count)]);
      return;
    }
    if (!manual_clock_ && jump_to_deadline()) continue;
    fail("deadlock: " + waiting_text());
  }
}

bool scheduler::jump_to_deadline() {
  if (!timed_) return false;
  time_point first = never;
  for (threads left = timed_; left;) first = std::min(first, all_[take_lowest(left)]->deadline);
  now_ = std::max(now_, first);
  expire();
  return true;
}

void scheduler::expire() {
  for (threads left = timed_; left;) {
    thread_state& t = *all_[take_lowest(left)];
    if (t.deadline > now_) continue;
    t.woken = false;
    set_runnable(t);
  }
}

void scheduler::wake(const void* what, unsigned most, bool any_order) {
  fruitless_ = 0;
  for (; most > 0; --most) {
    std::array<thread_state*, most_threads> waiting;
    unsigned count = 0;
    for (threads left = blocked_; left;) {
      thread_state* t = all_[take_lowest(left)].get();
      if (t->waits_on == what) waiting[count++] = t;
    }
    if (count == 0) return;
    if (most >= count) {
      for (unsigned i = 0; i < count; ++i) {
        waiting[i]->woken = true;
        set_runnable(*waiting[i]);
      }
      return;
    }
    std::sort(waiting.begin(), waiting.begin() + count,
              [](const thread_state* a, const thread_state* b) { return a->waits_since < b->waits_since; });
    thread_state& chosen = *waiting[any_order && count > 1 ? decide(count) : 0];
    chosen.woken = true;
    set_runnable(chosen);
  }
}

void scheduler::advance(clock::duration by) {
  step(operation::look, nullptr);
  now_ += by;
  fruitless_ = 0;
  expire();
}

// Whoever holds a processor keeps it to the end: no slices. Time beyond that is time without one.
void scheduler::compute(clock::duration how_long) {
  step(operation::compute, nullptr);
  drain();
  thread_state& self = *current_;
  const time_point asked = now_;
  while (computing_ >= options_.processors) block(operation::compute, &computing_, never);
  ++computing_;
  const time_point until = now_ + how_long;
  while (now_ < until) block(operation::compute, &self.usage, until);
  --computing_;
  wake(&computing_, 1, false);
  self.usage.ran += how_long.count();
  self.usage.crowded += (now_ - asked - how_long).count();
}

std::int64_t scheduler::usage_of_all() const noexcept {
  std::int64_t all = 0;
  for (unsigned i = 0; i < thread_count_; ++i) all += all_[i]->usage.ran;
  return all;
}

// --- a run -------------------------------------------------------------------------------------------------------------

std::optional<std::string> scheduler::run(const std::function<void()>& body, std::vector<decision>& path,
                                          strategy beyond, std::uint64_t seed, bool trace) {
  path_ = &path;
  position_ = 0;
  beyond_ = beyond;
  random_ = seed;
  values_ = ~seed;
  stickiness_ = 1U << (random() % 6);
  for (std::uint64_t& at : priority_changes_) at = 1 + random() % (16U << (random() % 8));
  low_priority_ = 1000;
  current_ = nullptr;
  thread_count_ = 0;
  runnable_ = rested_ = stalled_ = timed_ = blocked_ = may_wake_ = hooks_ = 0;
  steps_ = 0;
  hash_ = 0xcbf29ce484222325;
  waits_ = stores_issued_ = 0;
  stores_pending_ = fruitless_ = stalled_rests_ = 0;
  preemptions_left_ = options_.preemptions;
  delays_left_ = options_.delayed_stores;
  now_ = start_of_time;
  manual_clock_ = false;
  computing_ = 0;
  next_hook_ = ~std::uint64_t{0};
  hook_steps_.clear();
  tracing_ = trace;
  trace_.clear();
  names_.clear();
  watched_.clear();
  failure_.reset();

  thread_state& main = new_thread();
  main.own_function = body;
  runnable_ = bit(0);
  current_ = &main;
  scheduler* const outer = std::exchange(running, this);
  fiber::change(root_, main.stack);
  running = outer;
  if (!failure_ && position_ < path.size() && path.back().alternatives != 0) failure_ = says_it_depends;
  if (failure_) abandon();
  return std::exchange(failure_, std::nullopt);
}

// Those that stand in the middle of something stay there for ever, with what they own.
void scheduler::abandon() {
  struct remains {
    std::function<void()> function;
    void* argument;
  };
  static thread_local auto* const kept = new std::vector<remains>;
  for (unsigned i = 0; i < thread_count_; ++i) {
    thread_state& t = *all_[i];
    if (t.finished) continue;
    kept->push_back({std::move(t.own_function), t.argument});
    t.stack.abandon();
  }
}

void scheduler::fail(std::string reason) {
  current_->finished = false;  // not even if it was ending: it is in the middle of this
  failure_ = name_of(*current_) + ": " + std::move(reason);
  fiber::change(current_->stack, root_);
  std::abort();
}

// --- uses of watched values ----------------------------------------------------------------------------------------------

void scheduler::watched_access(const void* where, bool write, const char* what) {
  thread_state& self = *current_;
  if (self.number >= vector_clock::width) return;
  in_watched_ = true;
  watched_state& state = watched_[where];
  in_watched_ = false;
  const vector_clock& known = self.known;
  if (known.ticks[state.writer] < state.written)
    fail("a watched value is " + std::string(what) + " and not ordered after its change by " +
         name_of(*all_[state.writer]));
  if (!write) {
    state.reads.ticks[self.number] = known.ticks[self.number];
    return;
  }
  for (unsigned i = 0; i < vector_clock::width; ++i)
    if (known.ticks[i] < state.reads.ticks[i])
      fail("a watched value is " + std::string(what) + " and not ordered after a read of it by " + name_of(*all_[i]));
  state = {{}, self.number, known.ticks[self.number]};
}

// The heap hands memory from one thread to another in an order of its own: what was there is no concern of the next.
void scheduler::memory_freed(const void* where, std::size_t size) noexcept {
  if (in_watched_ || watched_.empty()) return;
  in_watched_ = true;
  const auto from = watched_.lower_bound(where);
  watched_.erase(from, watched_.lower_bound(static_cast<const std::byte*>(where) + size));
  in_watched_ = false;
}

// --- what is told ----------------------------------------------------------------------------------------------------------

namespace {
const char* text(operation op) {
  switch (op) {
    case operation::load:
      return "load";
    case operation::store:
      return "store";
    case operation::exchange:
      return "exchange";
    case operation::compare_exchange:
      return "compare_exchange";
    case operation::fetch_add:
      return "fetch_add";
    case operation::fetch_sub:
      return "fetch_sub";
    case operation::fetch_and:
      return "fetch_and";
    case operation::fetch_or:
      return "fetch_or";
    case operation::fetch_xor:
      return "fetch_xor";
    case operation::lock:
      return "lock";
    case operation::unlock:
      return "unlock";
    case operation::wait:
      return "wait";
    case operation::notify_one:
      return "notify_one";
    case operation::notify_all:
      return "notify_all";
    case operation::futex_wait:
      return "futex_wait";
    case operation::futex_wake:
      return "futex_wake";
    case operation::light_fence:
      return "light_fence";
    case operation::heavy_fence:
      return "heavy_fence";
    case operation::pause:
      return "pause";
    case operation::yield:
      return "yield";
    case operation::start:
      return "start";
    case operation::join:
      return "join";
    case operation::end:
      return "end";
    case operation::look:
      return "look";
    case operation::register_callback:
      return "register_callback";
    case operation::run_callback:
      return "run_callback";
    case operation::remove_callback:
      return "remove_callback";
    case operation::time_out:
      return "time_out";
    case operation::spurious_wake:
      return "spurious_wake";
    case operation::compute:
      return "compute";
    case operation::mark:
      return "mark";
  }
  return "?";
}
}  // namespace

void scheduler::record(operation op, const void* where) {
  if (tracing_) trace_.push_back({current_->number, op, where, 0, false});
}

std::string scheduler::waiting_text() const {
  std::string out;
  for (threads left = blocked_; left;) {
    const thread_state& t = *all_[take_lowest(left)];
    if (!out.empty()) out += ", ";
    out += name_of(t) + " in " + text(t.waits_in);
  }
  return out;
}

std::string scheduler::name_of(const thread_state& t) const {
  if (!t.name.empty()) return t.name;
  return t.number ? "thread " + std::to_string(t.number) : "main";
}
void scheduler::name_thread(std::string text_of_it) {
  if (tracing_) current_->name = std::move(text_of_it);
}
void scheduler::name_location(const void* where, std::string text_of_it) {
  if (tracing_) names_[where] = std::move(text_of_it);
}

std::string scheduler::trace_text(std::size_t last) const {
  std::unordered_map<const void*, std::string> names = names_;
  unsigned unnamed = 0;
  std::string out;
  const std::size_t from = trace_.size() > last ? trace_.size() - last : 0;
  if (from) out += "  ... " + std::to_string(from) + " steps before\n";
  for (std::size_t i = 0; i < trace_.size(); ++i) {
    const trace_entry& e = trace_[i];
    // Over all steps, so that names do not depend on how many are shown.
    if (e.where && !names.contains(e.where)) names[e.where] = "#" + std::to_string(++unnamed);
    if (i < from) continue;
    char number[24];
    std::snprintf(number, sizeof number, "%5zu  ", i + 1);
    out += number;
    std::string who = name_of(*all_[e.thread]);
    who.resize(std::max<std::size_t>(who.size() + 1, 12), ' ');
    out += who + text(e.op);
    if (e.where) out += " " + names[e.where];
    if (e.has_value) out += " = " + std::to_string(e.value);
    out += "\n";
  }
  return out;
}

}  // namespace penstock::system::detail
