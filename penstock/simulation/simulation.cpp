#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <sstream>

#include <malloc.h>

#include <penstock/simulation/scheduler.hpp>
#include <penstock/simulation/simulation.hpp>

#if defined(__SANITIZE_ADDRESS__)
#define PENSTOCK_SANITIZED
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PENSTOCK_SANITIZED
#endif
#endif

namespace penstock::simulation {
namespace {

using system::detail::decision;
using system::detail::running;
using system::detail::scheduler;
using system::detail::strategy;
using path = std::vector<decision>;

constexpr std::size_t steps_shown = 60;

// Only those that are not the first alternative: there are few of them.
std::string to_text(const options& o, const path& decisions) {
  std::ostringstream out;
  out << o.preemptions << '/' << o.delayed_stores << '/' << (o.early_timeouts ? 't' : '-')
      << (o.spurious_wakes ? 's' : '-') << '/' << o.patience << '/' << o.steps << '/' << o.processors << '/' << o.seed;
  for (std::size_t i = 0; i < decisions.size(); ++i)
    if (decisions[i].chosen) out << ' ' << i << ':' << decisions[i].chosen;
  return out.str();
}

std::pair<options, path> from_text(const std::string& text) {
  std::istringstream in(text);
  options o;
  path decisions;
  char slash = 0, timeouts = 0, spurious = 0;
  if (!(in >> o.preemptions >> slash >> o.delayed_stores >> slash >> timeouts >> spurious >> slash >> o.patience >>
        slash >> o.steps >> slash >> o.processors >> slash >> o.seed))
    throw std::invalid_argument("penstock: these are not the choices of a simulation: " + text);
  o.early_timeouts = timeouts == 't';
  o.spurious_wakes = spurious == 's';
  std::size_t at = 0;
  unsigned chosen = 0;
  char colon = 0;
  while (in >> at >> colon >> chosen) {
    if (at > 10'000'000) throw std::invalid_argument("penstock: these are not the choices of a simulation: " + text);
    if (decisions.size() <= at) decisions.resize(at + 1);
    decisions[at].chosen = static_cast<std::uint16_t>(chosen);
  }
  return {o, std::move(decisions)};
}

// Where an assertion or the terminate handler ends the process, what led there is still said.
class last_words {
 public:
  explicit last_words(const scheduler& s) : outer_(std::exchange(current, &s)), former_(std::signal(SIGABRT, say)) {}
  ~last_words() {
    std::signal(SIGABRT, former_);
    current = outer_;
  }
  last_words(const last_words&) = delete;
  last_words& operator=(const last_words&) = delete;

 private:
  static void say(int) {
    std::signal(SIGABRT, SIG_DFL);
    // Not safe in a signal handler in general; here it was raised by the thread itself, which ends after this.
    if (current)
      std::fprintf(stderr, "penstock: ended in a simulation; simulation::replay(\"%s\", body)\n%s",
                   to_text(current->given(), current->path()).c_str(), current->trace_text(steps_shown).c_str());
  }
  static thread_local const scheduler* current;
  const scheduler* outer_;
  void (*former_)(int);
};
thread_local const scheduler* last_words::current = nullptr;

// A failure again, with a trace this time.
counterexample explained(const options& o, const path& decisions, const body& run, const std::string& reason,
                         const std::string& found_by) {
  const std::string choices = to_text(o, decisions);
  auto [given, led] = from_text(choices);
  scheduler again(given);
  const last_words words(again);
  const auto failed = again.run(run, led, strategy::first, given.seed, true);
  return {(failed ? *failed : reason + " (but not when it was run again: the body depends on more than its schedule)") +
              found_by,
          choices, again.trace_text(steps_shown)};
}

options without_bounds(options o) {
  o.preemptions = unlimited;
  if (o.delayed_stores) o.delayed_stores = unlimited;
  return o;
}

std::optional<counterexample> search_all(const options& within, const body& run, summary& done) {
  scheduler s(within);
  const last_words words(s);
  path decisions;
  for (;;) {
    const auto failed = s.run(run, decisions, strategy::first, within.seed, false);
    ++done.runs;
    done.steps += s.steps();
    done.hash = (done.hash ^ s.hash()) * 0x100000001b3;
    if (failed) return explained(within, decisions, run, *failed, " (run " + std::to_string(done.runs) + ")");
    while (!decisions.empty() && decisions.back().chosen + 1 >= decisions.back().alternatives) decisions.pop_back();
    if (decisions.empty()) {
      done.complete = true;
      return std::nullopt;
    }
    ++decisions.back().chosen;
    if (within.runs && done.runs >= within.runs) return std::nullopt;
  }
}

std::optional<counterexample> search_seeds(std::uint64_t first, std::uint64_t count, const options& with,
                                           const body& run, summary& done) {
  options loose = without_bounds(with);
  scheduler s(loose);
  const last_words words(s);
  path decisions;
  for (std::uint64_t seed = first; seed - first < count; ++seed) {
    decisions.clear();
    const auto failed = s.run(run, decisions, seed % 2 ? strategy::priorities : strategy::random_walk, seed, false);
    ++done.runs;
    done.steps += s.steps();
    done.hash = (done.hash ^ s.hash()) * 0x100000001b3;
    loose.seed = seed;
    if (failed) return explained(loose, decisions, run, *failed, " (seed " + std::to_string(seed) + ")");
  }
  return std::nullopt;
}

}  // namespace

counterexample::counterexample(std::string reason, std::string choices, std::string trace)
    : std::runtime_error(reason + "\nagain: simulation::replay(\"" + choices + "\", body)\n" + trace),
      reason_(std::move(reason)),
      choices_(std::move(choices)),
      trace_(std::move(trace)) {}

summary explore(const options& within, const body& run) {
  summary done;
  if (const auto found = search_all(within, run, done)) throw *found;
  return done;
}

summary simulate(std::uint64_t seed, const body& run, const options& with) { return simulate_many(seed, 1, run, with); }

summary simulate_many(std::uint64_t first_seed, std::uint64_t count, const body& run, const options& with) {
  summary done;
  if (const auto found = search_seeds(first_seed, count, with, run, done)) throw *found;
  return done;
}

void replay(const std::string& choices, const body& run) {
  auto [given, led] = from_text(choices);
  scheduler s(given);
  const last_words words(s);
  if (const auto failed = s.run(run, led, strategy::first, given.seed, true))
    throw counterexample(*failed, choices, s.trace_text(steps_shown));
}

std::optional<counterexample> search(const options& within, const body& run) {
  summary done;
  return search_all(within, run, done);
}

std::optional<counterexample> search_random(std::uint64_t first_seed, std::uint64_t count, const body& run,
                                            const options& with) {
  summary done;
  return search_seeds(first_seed, count, with, run, done);
}

void fail(const std::string& reason) {
  if (!running) throw std::logic_error("penstock: simulation::fail outside of a simulation: " + reason);
  running->fail(reason);
}

void check(bool good, const char* what, std::source_location where) {
  if (!good) fail(std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " + what);
}

void name_this_thread(std::string text) {
  if (running) running->name_thread(std::move(text));
}
void name(const void* object, std::string text) {
  if (running) running->name_location(object, std::move(text));
}

void at_step(std::uint64_t n, std::function<void()> what) {
  if (!running) throw std::logic_error("penstock: simulation::at_step outside of a simulation");
  running->at_step(n, std::move(what));
}

unsigned choose(unsigned alternatives) {
  if (!running) throw std::logic_error("penstock: simulation::choose outside of a simulation");
  return running->choose(alternatives);
}

void compute(system::clock::duration how_long) {
  if (running) running->compute(how_long);
}

manual_clock::manual_clock() {
  if (!running) throw std::logic_error("penstock: a manual clock outside of a simulation");
  running->set_manual_clock(true);
}
manual_clock::~manual_clock() {
  if (running) running->set_manual_clock(false);
}
void manual_clock::advance(system::clock::duration by) { running->advance(by); }

namespace detail {
void made(const void* where) {
#ifdef PENSTOCK_SANITIZED
  // The heap is the sanitizer's here, and may have given this memory to another thread in the meantime.
  if (running) running->memory_freed(where, 1);
#endif
  used(where, true, "made");
}
void used(const void* where, bool write, const char* what) {
  if (running) running->watched_access(where, write, what);
}
}  // namespace detail

}  // namespace penstock::simulation

// So that the scheduler hears of memory that changes hands through the heap. Weak: a program may have its own. Not with
// sanitizers, which have theirs.
#ifndef PENSTOCK_SANITIZED
[[gnu::weak]] void operator delete(void* memory) noexcept {
  if (penstock::system::detail::running && memory)
    penstock::system::detail::running->memory_freed(memory, ::malloc_usable_size(memory));
  std::free(memory);
}
[[gnu::weak]] void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
[[gnu::weak]] void operator delete(void* memory, std::align_val_t) noexcept { ::operator delete(memory); }
#endif
