// simulation: runs code that uses penstock on simulated threads and tries its interleavings: all of them up to a bound,
// or random ones from a seed. Link penstock::simulated in place of penstock::core.
//
//   simulation::explore({.preemptions = 3}, [] {
//     penstock::bounded_queue<int> queue(1);
//     system::thread producer([&] { queue.push(1); queue.close(); });
//     simulation::check(queue.pop() == 1, "what was pushed is popped");
//   });
//
//   simulation::simulate_many(1, 1000, [] {                     // stages of your own: see examples/simulated_stages.cpp
//     std::stop_source stop;
//     simulation::at_step(simulation::choose(300), [stop]() mutable { stop.request_stop(); });
//     const auto report = penstock::from(photos)
//         | penstock::stage("resize", simulation::failing(resize, [](const photo& p) { return p.number == 7; }),
//                           {.workers = 2, .on_error = penstock::on_error::skip})
//         | penstock::sink("upload", simulation::delayed(upload, 10ms)) | penstock::run({.stop = stop.get_token()});
//     simulation::check(report.delivered + report.failed + report.returned == report.entered);
//   });
//
// The body is run again and again, from the same beginning: it makes its own objects and depends on nothing else. Its
// threads are system::thread; what they share goes through penstock, or system::atomic, mutex, condition. What else may
// differ from run to run it takes from choose().
//
// FAILURE  An exception out of any thread, a check() that does not hold, a deadlock (nobody can run and nobody has a
//          deadline), a livelock (too many steps), a thread that outlives the body, two unordered uses of a
//          watched<T>. explore() and simulate() throw counterexample, whose what() has the last steps and the line with
//          which replay() does it again.
// TIME     system::clock is simulated: it stands still while a thread can run, so a stage takes no time but what
//          delayed(), computing() or sleep_for() make of it; see also manual_clock.
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
  unsigned processors = 2;       // what system::processors() says, and how many threads may compute() at the same time
  std::uint64_t seed = 0;        // of system::random_share() (jitter); simulate() has its own
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

// Runs `what` on a thread of its own as soon as `n` steps were made; not at all if the run ends before. It may still be at
// it when the body returns, so it has copies of what it needs.
//   simulation::at_step(n, [stop]() mutable { stop.request_stop(); });
void at_step(std::uint64_t n, std::function<void()> what);

// One of 0 to n - 1: explore() tries each, simulate() draws one. For what a test would else loop over: which item
// fails, at which step a stop comes. REQUIRES: 0 < n < 65536.
[[nodiscard]] unsigned choose(unsigned n);

// Keeps one of options::processors busy for so long, in simulated time; waits for one if all are in use. Only this is
// processor time (system::thread_clock); what a thread does besides costs none.
void compute(system::clock::duration how_long);

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
//   stage("resize", simulation::failing(resize, {.at = 7}), ...)                                  the eighth call
//   stage("resize", simulation::failing(resize, [](const photo& p) { return p.number == 7; }), ...)   a photo, each time
//   stage("resize", simulation::failing(resize, is_seven, {.times = 2}), ...)                     its first two attempts
//
// Of a function that is made per worker, the factory puts it around what it makes.

struct injected_fault : std::runtime_error {
  using std::runtime_error::runtime_error;
};
struct when {
  std::uint64_t at = 0;     // the first call that it happens to, counted from 0 over all copies of the function
  std::uint64_t times = 1;  // and how many calls from there on
};
inline constexpr when always{.at = 0, .times = ~std::uint64_t{0}};

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

struct any_item {
  template <class... Args>
  bool operator()(const Args&...) const {
    return true;
  }
};
template <class Which>
concept chooses_items = !std::same_as<std::remove_cvref_t<Which>, when>;

// `function` with something before each call that is due; const where `function` is, because a pipeline lets several
// workers share only what is.
template <class Function, class Fault, class Which = any_item>
class faulty {
 public:
  faulty(Function function, Fault fault, when w, Which which = {})
      : function_(std::move(function)), fault_(std::move(fault)), which_(std::move(which)), counter_(w) {}
  template <class... Args>
    requires std::invocable<const Function&, Args...>
  std::invoke_result_t<const Function&, Args...> operator()(Args&&... args) const {
    before(args...);
    return std::invoke(function_, std::forward<Args>(args)...);
  }
  template <class... Args>
    requires(std::invocable<Function&, Args...> && !std::invocable<const Function&, Args...>)
  std::invoke_result_t<Function&, Args...> operator()(Args&&... args) {
    before(args...);
    return std::invoke(function_, std::forward<Args>(args)...);
  }

 private:
  void before() const {
    if (counter_.due()) fault_();
  }
  // Which items is asked with the item only, not with a stop token behind it.
  template <class Item, class... Rest>
  void before(const Item& item, const Rest&...) const {
    if (which_(item) && counter_.due()) fault_();
  }

  Function function_;
  Fault fault_;
  Which which_;
  call_counter counter_;
};
}  // namespace detail

// Calls `what` before the call: a stop, a notice, whatever is to happen just then.
template <class Function, class What>
[[nodiscard]] auto preceded(Function function, What what, when w = {}) {
  return detail::faulty(std::move(function), std::move(what), w);
}
template <class Function, class What, detail::chooses_items Which>
[[nodiscard]] auto preceded(Function function, What what, Which which, when w = always) {
  return detail::faulty(std::move(function), std::move(what), w, std::move(which));
}
// Throws injected_fault in place of the call.
template <class Function>
[[nodiscard]] auto failing(Function function, when w = {}) {
  return preceded(
      std::move(function), [] { throw injected_fault("an injected fault"); }, w);
}
template <class Function, detail::chooses_items Which>
[[nodiscard]] auto failing(Function function, Which which, when w = always) {
  return preceded(
      std::move(function), [] { throw injected_fault("an injected fault"); }, std::move(which), w);
}
// Sleeps before the call, in simulated time.
template <class Function>
[[nodiscard]] auto delayed(Function function, std::chrono::nanoseconds by, when w = always) {
  return preceded(
      std::move(function), [by] { sleep_for(by, {}); }, w);
}
template <class Function, detail::chooses_items Which>
[[nodiscard]] auto delayed(Function function, std::chrono::nanoseconds by, Which which, when w = always) {
  return preceded(
      std::move(function), [by] { sleep_for(by, {}); }, std::move(which), w);
}
// Computes before the call: a stage that does so is taken for one that needs processors, see compute().
template <class Function>
[[nodiscard]] auto computing(Function function, std::chrono::nanoseconds for_so_long, when w = always) {
  return preceded(
      std::move(function), [for_so_long] { compute(for_so_long); }, w);
}
template <class Function, detail::chooses_items Which>
[[nodiscard]] auto computing(Function function, std::chrono::nanoseconds for_so_long, Which which, when w = always) {
  return preceded(
      std::move(function), [for_so_long] { compute(for_so_long); }, std::move(which), w);
}

}  // namespace penstock::simulation
