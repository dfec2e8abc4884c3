// The same names as in system.hpp, on a scheduler that runs one thread at a time and decides before every step which.
// Comes in through system.hpp where PENSTOCK_SIMULATED is defined; the user's side is penstock/simulation/simulation.hpp.
//
// THREADS  A simulated thread is a fiber of the system thread that runs the simulation, so thread_local variables are
//          shared by all of them. Outside of a run (statics, a test's own frame) everything works as long as nothing has
//          to wait.
// MEMORY   Total store order, as on x86: a store that is not sequentially consistent waits in its thread's buffer, from
//          where it becomes visible late, in order; a load sees its own thread's buffer first. What other machines do
//          beyond that is not simulated; what the memory orders *promise* is kept as vector clocks beside the values, for
//          simulation::watched<T>.
// ENDING   A run that fails is left where it stands: its threads are never resumed and nothing of them is destroyed.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace penstock::system {

// Starts at one hour. Stands still while a thread can run, then jumps to the next deadline.
struct clock {
  using duration = std::chrono::nanoseconds;
  using rep = duration::rep;
  using period = duration::period;
  // Not that of std::chrono::steady_clock: real and simulated times must not meet unnoticed.
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;
  static time_point now() noexcept;
};
inline constexpr clock::time_point never = clock::time_point::max();

namespace detail {

class scheduler;
// The run that this system thread is in; null outside of runs.
extern constinit thread_local scheduler* running;

enum class operation : std::uint8_t {
  load,
  store,
  exchange,
  compare_exchange,
  fetch_add,
  fetch_sub,
  fetch_and,
  fetch_or,
  fetch_xor,
  lock,
  unlock,
  wait,
  notify_one,
  notify_all,
  futex_wait,
  futex_wake,
  light_fence,
  heavy_fence,
  pause,
  yield,
  start,
  join,
  end,
  look,
  register_callback,
  run_callback,
  remove_callback,
  time_out,
  spurious_wake,
  compute,
  mark
};

// What each thread is known to have done, by thread number; threads after the sixteenth are not followed.
struct vector_clock {
  static constexpr std::size_t width = 16;
  std::array<std::uint32_t, width> ticks{};
  void join(const vector_clock& other) noexcept {
    for (std::size_t i = 0; i < width; ++i) ticks[i] = ticks[i] > other.ticks[i] ? ticks[i] : other.ticks[i];
  }
};

// What the scheduler keeps of an atomic or a mutex beside its value.
struct location {
  vector_clock released;  // what one who acquires it comes to know
};

// REQUIRES of all that follows: running != nullptr.
void load(const location& where, const void* value, void* into, std::size_t size, std::memory_order order) noexcept;
void store(location& where, void* value, const void* from, std::size_t size, std::memory_order order) noexcept;
void begin_exchange(const void* value, operation op) noexcept;
void end_exchange(location& where, const void* value, std::size_t size, bool wrote, std::memory_order order) noexcept;
void forget(const void* value) noexcept;  // the atomic is being destroyed
void step(operation op, const void* where) noexcept;
[[nodiscard]] unsigned current_thread() noexcept;
void block_on(const void* what, operation op) noexcept;
void wake_all(const void* what) noexcept;
void acquire_from(const location& where) noexcept;
void release_to(location& where) noexcept;
// Outside of a run there is nobody who could end a wait.
[[noreturn]] void nobody_to_wait_for(const char* what) noexcept;

// Only in the simulated library, so that a mixed program does not link (see system.hpp).
extern const char built_for_simulation;
[[gnu::used]] inline const char* const simulated_parts_need = &built_for_simulation;

}  // namespace detail

// std::atomic's interface, for types of up to 16 bytes.
template <class T>
class atomic {
  static_assert(std::is_trivially_copyable_v<T> && sizeof(T) <= 16);
  using difference = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;

 public:
  using value_type = T;
  static constexpr bool is_always_lock_free = true;

  constexpr atomic() noexcept : value_() {}
  constexpr atomic(T value) noexcept : value_(value) {}
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;
  ~atomic() {
    if (detail::running) detail::forget(&value_);
  }

  [[nodiscard]] bool is_lock_free() const noexcept { return true; }
  [[nodiscard]] T load(std::memory_order order = std::memory_order_seq_cst) const noexcept {
    if (!detail::running) return value_;
    // Through bytes: T need not be default constructible.
    alignas(T) std::byte seen[sizeof(T)];
    detail::load(location_, &value_, seen, sizeof(T), order);
    return *reinterpret_cast<T*>(seen);
  }
  void store(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    if (detail::running) {
      detail::store(location_, &value_, &value, sizeof(T), order);
    } else {
      value_ = value;
    }
  }
  operator T() const noexcept { return load(); }
  T operator=(T value) noexcept { return store(value), value; }

  T exchange(T value, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(detail::operation::exchange, order, [&](T) { return value; });
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
    if (detail::running) detail::begin_exchange(&value_, detail::operation::compare_exchange);
    const bool equal = std::memcmp(&value_, &expected, sizeof(T)) == 0;
    if (equal) {
      value_ = desired;
    } else {
      expected = value_;
    }
    if (detail::running) detail::end_exchange(location_, &value_, sizeof(T), equal, equal ? success : failure);
    return equal;
  }
  bool compare_exchange_strong(T& expected, T desired, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare_exchange_strong(expected, desired, order, without_release(order));
  }
  // Never fails without a reason, as on x86.
  bool compare_exchange_weak(T& expected, T desired, std::memory_order success, std::memory_order failure) noexcept {
    return compare_exchange_strong(expected, desired, success, failure);
  }
  bool compare_exchange_weak(T& expected, T desired, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return compare_exchange_strong(expected, desired, order);
  }

  T fetch_add(difference by, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(detail::operation::fetch_add, order, [&](T old) { return static_cast<T>(old + by); });
  }
  T fetch_sub(difference by, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(detail::operation::fetch_sub, order, [&](T old) { return static_cast<T>(old - by); });
  }
  T fetch_and(T with, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(detail::operation::fetch_and, order, [&](T old) { return static_cast<T>(old & with); });
  }
  T fetch_or(T with, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(detail::operation::fetch_or, order, [&](T old) { return static_cast<T>(old | with); });
  }
  T fetch_xor(T with, std::memory_order order = std::memory_order_seq_cst) noexcept {
    return change(detail::operation::fetch_xor, order, [&](T old) { return static_cast<T>(old ^ with); });
  }
  T operator++() noexcept { return static_cast<T>(fetch_add(1) + 1); }
  T operator++(int) noexcept { return fetch_add(1); }
  T operator--() noexcept { return static_cast<T>(fetch_sub(1) - 1); }
  T operator--(int) noexcept { return fetch_sub(1); }
  T operator+=(difference by) noexcept { return static_cast<T>(fetch_add(by) + by); }
  T operator-=(difference by) noexcept { return static_cast<T>(fetch_sub(by) - by); }
  T operator&=(T with) noexcept { return static_cast<T>(fetch_and(with) & with); }
  T operator|=(T with) noexcept { return static_cast<T>(fetch_or(with) | with); }
  T operator^=(T with) noexcept { return static_cast<T>(fetch_xor(with) ^ with); }

 private:
  friend void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected,
                         clock::time_point deadline) noexcept;
  friend void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept;

  static constexpr std::memory_order without_release(std::memory_order order) noexcept {
    if (order == std::memory_order_acq_rel) return std::memory_order_acquire;
    return order == std::memory_order_release ? std::memory_order_relaxed : order;
  }
  template <class Change>
  T change(detail::operation op, std::memory_order order, Change to) noexcept {
    if (detail::running) detail::begin_exchange(&value_, op);
    const T old = value_;
    value_ = to(old);
    if (detail::running) detail::end_exchange(location_, &value_, sizeof(T), true, order);
    return old;
  }

  T value_;
  detail::location location_;
};

void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, clock::time_point deadline) noexcept;
void futex_wake(const atomic<std::uint32_t>& word, int count) noexcept;

// A thread that yields or pauses runs again only after the others that can run had their turn.
void yield() noexcept;
void pause() noexcept;
// A yield costs nothing here, and whether the caller sleeps after the first or the fourteenth makes no other schedules.
[[nodiscard]] inline bool yield_briefly() noexcept {
  yield();
  return true;
}
[[nodiscard]] constexpr bool yields_are_cheap() noexcept { return true; }
class backoff {
 public:
  void once() noexcept { yield(); }
};
[[nodiscard]] unsigned processors() noexcept;

[[nodiscard]] double random_share();

// Simulated threads need a processor only in simulation::compute(): all their other time is waiting.
class thread_clock {
 public:
  struct times {
    std::int64_t ran = 0, crowded = 0;
  };
  [[nodiscard]] times read() noexcept;
};
[[nodiscard]] std::int64_t process_ran() noexcept;
// How often to look before going to sleep: once is as good as forty times here, and leaves fewer schedules to try.
[[nodiscard]] constexpr int spins(int on_the_machine) noexcept { return on_the_machine > 0 ? 1 : 0; }

void light_fence() noexcept;
void heavy_fence() noexcept;

// Looking at a token is a step of its own, so that a request may fall on either side of it.
[[nodiscard]] inline bool stop_requested(const std::stop_token& token) noexcept {
  if (detail::running && token.stop_possible()) detail::step(detail::operation::look, nullptr);
  return token.stop_requested();
}

class native_mutex {
 public:
  constexpr native_mutex() noexcept = default;
  native_mutex(const native_mutex&) = delete;
  native_mutex& operator=(const native_mutex&) = delete;
  void lock() noexcept;
  void unlock() noexcept;

 private:
  friend class native_condition;
  void take() noexcept;
  void give_up() noexcept;
  static constexpr unsigned nobody = ~0U;
  unsigned owner_ = nobody;
  detail::location location_;
};

// No more than an address to wait on.
class native_condition {
 public:
  native_condition() = default;
  native_condition(const native_condition&) = delete;
  native_condition& operator=(const native_condition&) = delete;
  void wait(std::unique_lock<native_mutex>& lock) noexcept;
  std::cv_status wait_until(std::unique_lock<native_mutex>& lock, clock::time_point deadline) noexcept;
  void notify_one() noexcept;
  void notify_all() noexcept;
};

// std::jthread without its stop token.
class thread {
 public:
  thread() noexcept = default;
  template <class Function, class... Args>
    requires(!std::is_same_v<std::remove_cvref_t<Function>, thread>)
  explicit thread(Function&& function, Args&&... args)
      : number_(start([f = std::decay_t<Function>(std::forward<Function>(function)),
                       ... a = std::decay_t<Args>(std::forward<Args>(args))]() mutable {
          std::invoke(std::move(f), std::move(a)...);
        })) {}
  thread(thread&& other) noexcept : number_(std::exchange(other.number_, nobody)) {}
  thread& operator=(thread&& other) noexcept {
    thread(std::move(other)).swap(*this);
    return *this;
  }
  ~thread() {
    if (joinable()) join();
  }
  void swap(thread& other) noexcept { std::swap(number_, other.number_); }
  [[nodiscard]] bool joinable() const noexcept { return number_ != nobody; }
  void join() noexcept;

 private:
  // std::function wants copies, and a thread's function may be one that cannot be copied.
  template <class Function>
  static unsigned start(Function function) {
    auto* own = new Function(std::move(function));
    return start_fiber(
        [](void* f) {
          const std::unique_ptr<Function> owned(static_cast<Function*>(f));
          (*owned)();
        },
        own);
  }
  static unsigned start_fiber(void (*function)(void*), void* argument);
  static constexpr unsigned nobody = ~0U;
  unsigned number_ = nobody;
};

// std::stop_callback, but its destructor waits for a running callback as a simulated thread waits: the standard one
// would block the one system thread that all share. (To the standard one, all run on the thread that asked for the stop.)
template <class Callback>
class stop_callback {
 public:
  using callback_type = Callback;
  template <class C>
  explicit stop_callback(const std::stop_token& token, C&& callback) : callback_(std::forward<C>(callback)) {
    if (!token.stop_possible()) return;
    if (detail::running) detail::step(detail::operation::register_callback, this);
    native_.emplace(token, runner{this});
  }
  template <class C>
  explicit stop_callback(std::stop_token&& token, C&& callback) : stop_callback(token, std::forward<C>(callback)) {}
  stop_callback(const stop_callback&) = delete;
  stop_callback& operator=(const stop_callback&) = delete;
  ~stop_callback() {
    if (!detail::running || !native_) return;
    detail::step(detail::operation::remove_callback, this);
    if (gone_ && runner_ == detail::current_thread()) {
      *gone_ = true;  // destroyed by its own callback
      return;
    }
    while (gone_) detail::block_on(this, detail::operation::remove_callback);
    detail::acquire_from(done_);
  }

 private:
  struct runner {
    stop_callback* self;
    void operator()() const { self->run(); }
  };
  void run() {
    if (!detail::running) return std::forward<Callback>(callback_)();
    bool gone = false;
    gone_ = &gone;  // before the step: the standard's bookkeeping has let go of this callback
    runner_ = detail::current_thread();
    detail::step(detail::operation::run_callback, this);
    std::forward<Callback>(callback_)();
    if (gone) return;
    // No step from here until the standard's bookkeeping is done.
    detail::release_to(done_);
    gone_ = nullptr;
    detail::wake_all(this);
  }

  Callback callback_;
  bool* gone_ = nullptr;  // while the callback runs: to be told when this is destroyed
  unsigned runner_ = 0;
  detail::location done_;
  std::optional<std::stop_callback<runner>> native_;  // none: the token could never ask for a stop
};
template <class Callback>
stop_callback(std::stop_token, Callback) -> stop_callback<Callback>;

}  // namespace penstock::system
