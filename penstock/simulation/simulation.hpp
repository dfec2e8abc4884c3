// simulation: runs code that uses penstock on simulated threads and tries its interleavings: all of them up to a bound,
// or random ones from a seed. Link penstock::simulated in place of penstock::core.
//
//   simulation::explore({.preemptions = 3}, [] {
//     penstock::bounded_queue<int> queue(1);
//     system::thread producer([&] { queue.push(1); queue.close(); });
//     simulation::check(queue.pop() == 1, "what was pushed is popped");
//   });
//
// The body is run again and again, from the same beginning: it makes its own objects and depends on nothing else. Its
// threads are system::thread; what they share goes through penstock, or system::atomic, mutex, condition.
//
// FAILURE  An exception out of any thread, a check() that does not hold, a deadlock (nobody can run and nobody has a
//          deadline), a livelock (too many steps), a thread that outlives the body, two unordered uses of a
//          watched<T>. explore() and simulate() throw counterexample, whose what() has the last steps and the line with
//          which replay() does it again.
// TIME     system::clock is simulated: see manual_clock.
// MEMORY   What is simulated is total store order; see base/simulated_system.hpp. An order too weak for it is found by
//          its effect, an order too weak for the language by a watched<T> that is used unordered.
// COST     20 to 40 million steps per second; 200,000 to 800,000 runs of a small queue test.
#pragma once

#ifndef PENSTOCK_SIMULATED
#error "penstock: link penstock::simulated, which defines PENSTOCK_SIMULATED; without it these would be real threads"
#endif

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>

#include <penstock/base/sleep.hpp>
#include <penstock/base/system.hpp>

namespace penstock::simulation {

inline constexpr unsigned unlimited = 1'000'000;

struct options {
  // Bounds of explore(): per run, how often a thread that could go on is stopped in favour of another, or a wait ends
  // early; and how often a look overlooks a store that is still in another thread's buffer. 2 and 1 find nearly all
  // that is ever found (Musuvathi & Qadeer, 2007). Random runs know no bounds.
  unsigned preemptions = 2;
  unsigned delayed_stores = 1;
  bool early_timeouts = true;    // a deadline may pass at any moment, not only when nobody can run
  bool spurious_wakes = false;   // futex_wait and condition::wait may end for no reason
  unsigned patience = 4;         // after a preemption, yields and pauses that do not bring that thread back
  std::uint64_t steps = 20'000;  // of one run; more are a livelock
  std::uint64_t runs = 0;        // explore() gives up after so many; 0: never
  unsigned processors = 2;       // what system::processors() says
};

class counterexample : public std::runtime_error {
 public:
  counterexample(std::string reason, std::string choices, std::string trace);
  [[nodiscard]] const std::string& reason() const noexcept { return reason_; }
  [[nodiscard]] const std::string& choices() const noexcept { return choices_; }  // for replay()
  [[nodiscard]] const std::string& trace() const noexcept { return trace_; }

 private:
  std::string reason_, choices_, trace_;
};

struct summary {
  std::uint64_t runs = 0;
  std::uint64_t steps = 0;
  std::uint64_t hash = 0;  // of all steps: equal iff the same was done
  bool complete = false;   // every schedule within the bounds was tried
};

using body = std::function<void()>;

// Every schedule within the bounds.
summary explore(const options& within, const body& run);
// One random schedule; the same one for the same seed. simulate_many: seeds first_seed, first_seed + 1, ...
summary simulate(std::uint64_t seed, const body& run, const options& with = {});
summary simulate_many(std::uint64_t first_seed, std::uint64_t count, const body& run, const options& with = {});
// The schedule that a counterexample names. Throws what it then finds; returns if it finds nothing.
void replay(const std::string& choices, const body& run);

// The same, but returned: for tests that expect a failure.
[[nodiscard]] std::optional<counterexample> search(const options& within, const body& run);
[[nodiscard]] std::optional<counterexample> search_random(std::uint64_t first_seed, std::uint64_t count,
                                                          const body& run, const options& with = {});

// --- in a body -----------------------------------------------------------------------------------------------------------

// Ends the run as failed unless `good`.
void check(bool good, const char* what = "check", std::source_location where = std::source_location::current());
[[noreturn]] void fail(const std::string& reason);
// Names for the trace: of the calling thread; of an atomic, mutex or condition.
void name_this_thread(std::string name);
void name(const void* object, std::string name);

// Runs `what` on a thread of its own as soon as `n` steps were made; not at all if the run ends before.
//   simulation::at_step(n, [&] { stop.request_stop(); });
void at_step(std::uint64_t n, std::function<void()> what);

// While one exists, time passes only by its advance().
class manual_clock {
 public:
  manual_clock();
  ~manual_clock();
  manual_clock(const manual_clock&) = delete;
  manual_clock& operator=(const manual_clock&) = delete;
  void advance(system::clock::duration by);
};

namespace detail {
void made(const void* where);
void used(const void* where, bool write, const char* what);
}  // namespace detail

// watched<T>: a value that two threads must not use unordered. Fails the run if a use of it is not ordered, by the memory
// orders and locks as written, after the last write (or, for a write, after the last reads), however the values came
// out. As the item of a queue it proves the release and acquire around the items. A new object in the place of an old
// one counts as a write, so a slot that is used again must be handed back in order, too (new memory from the heap is
// new; under sanitizers, whose heap cannot be watched, all places are).
template <class T>
class watched {
 public:
  watched() : value_() { detail::made(this); }
  watched(T value) : value_(std::move(value)) { detail::made(this); }
  watched(const watched& other) : value_(other.get()) { detail::made(this); }
  watched(watched&& other) noexcept : value_(std::move(other.change())) { detail::made(this); }
  watched& operator=(const watched& other) {
    if (this != &other) change() = other.get();
    return *this;
  }
  watched& operator=(watched&& other) noexcept {
    if (this != &other) change() = std::move(other.change());
    return *this;
  }
  ~watched() { detail::used(this, true, "destroyed"); }

  [[nodiscard]] const T& get() const {
    detail::used(this, false, "read");
    return value_;
  }
  T& change() {
    detail::used(this, true, "changed");
    return value_;
  }
  operator const T&() const { return get(); }

 private:
  T value_;
};

// --- faults: what a stage's function may do, put around it ------------------------------------------------------------
//   stage("resize", simulation::failing(resize, {.at = 7}), ...)

struct injected_fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct when {
  std::uint64_t at = 0;     // the first call that it happens to, counted from 0 over all copies of the function
  std::uint64_t times = 1;  // and how many calls from there on
};

namespace detail {
class call_counter {
 public:
  explicit call_counter(when w) : when_(w) {}
  bool due() const {
    const std::uint64_t call = (*calls_)++;
    return call >= when_.at && call - when_.at < when_.times;
  }

 private:
  when when_;
  std::shared_ptr<std::uint64_t> calls_ =
      std::make_shared<std::uint64_t>(0);  // no atomic: it is no step of the program
};

// `function` with something before each call that is due; const where `function` is, because a pipeline lets several
// workers share only what is.
template <class Function, class Fault>
class faulty {
 public:
  faulty(Function function, Fault fault, when w)
      : function_(std::move(function)), fault_(std::move(fault)), counter_(w) {}
  template <class... Args>
    requires std::invocable<const Function&, Args...>
  std::invoke_result_t<const Function&, Args...> operator()(Args&&... args) const {
    if (counter_.due()) fault_();
    return std::invoke(function_, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires(std::invocable<Function&, Args...> && !std::invocable<const Function&, Args...>)
  std::invoke_result_t<Function&, Args...> operator()(Args&&... args) {
    if (counter_.due()) fault_();
    return std::invoke(function_, std::forward<Args>(args)...);
  }

 private:
  Function function_;
  Fault fault_;
  call_counter counter_;
};
}  // namespace detail

// Throws injected_fault in place of the call.
template <class Function>
[[nodiscard]] auto failing(Function function, when w = {}) {
  return detail::faulty(
      std::move(function), [] { throw injected_fault("an injected fault"); }, w);
}
// Sleeps before the call, in simulated time.
template <class Function>
[[nodiscard]] auto delayed(Function function, std::chrono::nanoseconds by, when w = {.times = ~std::uint64_t{0}}) {
  return detail::faulty(
      std::move(function), [by] { sleep_for(by, {}); }, w);
}

}  // namespace penstock::simulation
