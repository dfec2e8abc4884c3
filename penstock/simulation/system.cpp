// The names of base/simulated_system.hpp, as steps of the scheduler.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <penstock/simulation/scheduler.hpp>

namespace penstock::system {
namespace detail {

constinit thread_local scheduler* running = nullptr;
const char built_for_simulation = 0;
// The same symbol in system.cpp: a program that mixes both libraries does not link.
extern const char either_real_or_simulated;
const char either_real_or_simulated = 0;

namespace {
constexpr bool acquires(std::memory_order order) noexcept {
  return order != std::memory_order_relaxed && order != std::memory_order_release;
}
constexpr bool releases(std::memory_order order) noexcept {
  return order == std::memory_order_release || order == std::memory_order_acq_rel || order == std::memory_order_seq_cst;
}
std::uint64_t shown(const void* value, std::size_t size) noexcept {
  std::uint64_t out = 0;
  std::memcpy(&out, value, std::min(size, sizeof out));
  return out;
}
}  // namespace

void load(const location& where, const void* value, void* into, std::size_t size, std::memory_order order) noexcept {
  scheduler& s = *running;
  s.step(operation::load, value);
  if (const void* own = s.own_store(value)) {
    std::memcpy(into, own, size);
  } else {
    s.see(value);
    std::memcpy(into, value, size);
    if (acquires(order)) s.acquire(where);
  }
  s.note(shown(into, size));
}

void store(location& where, void* value, const void* from, std::size_t size, std::memory_order order) noexcept {
  scheduler& s = *running;
  s.step(operation::store, value);
  s.note(shown(from, size));
  s.write(where, value, from, size, order);
}

void begin_exchange(const void* value, operation op) noexcept {
  scheduler& s = *running;
  s.step(op, value);
  s.drain();
  s.see(value);
}

void end_exchange(location& where, const void* value, std::size_t size, bool wrote, std::memory_order order) noexcept {
  scheduler& s = *running;
  if (acquires(order)) s.acquire(where);
  if (wrote) {
    s.written();
    if (releases(order)) s.release(where, true);
  }
  s.note(shown(value, size));
}

void forget(const void* value) noexcept { running->forget(value); }
void step(operation op, const void* where) noexcept { running->step(op, where); }
unsigned current_thread() noexcept { return running->current(); }
void block_on(const void* what, operation op) noexcept { running->block(op, what, never); }
void wake_all(const void* what) noexcept { running->wake(what, scheduler::most_threads, false); }
void acquire_from(const location& where) noexcept { running->acquire(where); }
void release_to(location& where) noexcept {
  running->step_if_storing(operation::mark, nullptr);
  running->drain();
  running->release(where, true);
}

void nobody_to_wait_for(const char* what) noexcept {
  std::fprintf(stderr, "penstock: a wait for %s outside of a simulation, where no other thread could end it\n", what);
  std::abort();
}

}  // namespace detail

using detail::operation;
using detail::running;

clock::time_point clock::now() noexcept {
  if (!running) return time_point(std::chrono::hours(1));
  running->look_at_clock();
  return running->now();
}

void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, clock::time_point deadline) noexcept {
  if (!running) {
    if (word.value_ == expected) detail::nobody_to_wait_for("a futex");
    return;
  }
  running->step(operation::futex_wait, &word.value_);
  running->drain();  // a system call
  running->see(&word.value_);
  running->note(word.value_);
  if (word.value_ == expected) running->block(operation::futex_wait, &word.value_, deadline);
}

void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept {
  if (!running || count <= 0) return;
  running->step(operation::futex_wake, &word.value_);
  running->drain();
  running->wake(&word.value_, static_cast<unsigned>(count), false);
}

void yield() noexcept {
  if (running) running->rest(operation::yield);
}
void pause() noexcept {
  if (running) running->rest(operation::pause);
}
unsigned processors() noexcept { return running ? running->given().processors : 2; }
double random_share() { return running ? running->random_share() : 0; }
thread_clock::times thread_clock::read() noexcept { return running ? running->usage() : times{}; }
std::int64_t process_ran() noexcept { return running ? running->usage_of_all() : 0; }

// Not a step: it changes nothing that others could see.
void light_fence() noexcept {
  if (running) running->record(operation::light_fence, nullptr);
}
void heavy_fence() noexcept {
  if (!running) return;
  running->step(operation::heavy_fence, nullptr);
  running->drain_all();
  running->synchronize_all();
}

void native_mutex::lock() noexcept {
  if (!running) {
    if (owner_ != nobody) detail::nobody_to_wait_for("a mutex");
    owner_ = 0;
    return;
  }
  running->step(operation::lock, this);
  running->drain();
  take();
}

void native_mutex::take() noexcept {
  while (owner_ != nobody) running->block(operation::lock, this, never);
  owner_ = running->current();
  running->acquire(location_);
}

// Not a step: another thread that ran between this and what follows could not tell, and one that runs before this could
// only wait.
void native_mutex::unlock() noexcept {
  if (!running) {
    owner_ = nobody;
    return;
  }
  running->step_if_storing(operation::unlock, this);
  running->drain();
  give_up();
}

void native_mutex::give_up() noexcept {
  running->release(location_, false);
  owner_ = nobody;
  running->wake(this, detail::scheduler::most_threads, false);
}

void native_condition::wait(std::unique_lock<native_mutex>& lock) noexcept { (void)wait_until(lock, never); }

std::cv_status native_condition::wait_until(std::unique_lock<native_mutex>& lock, clock::time_point deadline) noexcept {
  if (!running) detail::nobody_to_wait_for("a condition");
  running->step(operation::wait, this);
  running->drain();
  native_mutex& m = *lock.mutex();
  m.give_up();
  running->block(operation::wait, this, deadline);
  m.take();
  return running->now() < deadline ? std::cv_status::no_timeout : std::cv_status::timeout;
}

void native_condition::notify_one() noexcept {
  if (!running) return;
  running->step(operation::notify_one, this);
  running->drain();
  running->wake(this, 1, true);
}

void native_condition::notify_all() noexcept {
  if (!running) return;
  running->step(operation::notify_all, this);
  running->drain();
  running->wake(this, detail::scheduler::most_threads, true);
}

unsigned thread::start_fiber(void (*function)(void*), void* argument) {
  if (!running) detail::nobody_to_wait_for("a thread");
  return running->start_thread(function, argument);
}
void thread::join() noexcept { running->join_thread(std::exchange(number_, nobody)); }

}  // namespace penstock::system
