// scheduler: one run of a body of code on simulated threads. Whoever explores runs many; each decision that a run had to
// make is in `path()`, and a run that is given the same decisions does the same.
//
// What it decides, and what the first alternative is:
//   before each step   which thread goes on: the one that runs; another is a preemption, and so is a wait that ends at
//                      its deadline early, or for no reason
//   where one blocks   who goes on: the lowest number
//   at a look at a value that still has stores to it in other threads' buffers: whether it sees them: yes
//   at notify_one      who is woken: the one who waits longest
//   at choose()        what the body asks for: 0
//
// THREADS  One system thread at a time; that thread's `running` points here while it runs.
// COST     No allocation per step. Threads are kept in bit sets, so there are at most 64 in a run.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include <penstock/base/system.hpp>
#include <penstock/simulation/fiber.hpp>
#include <penstock/simulation/simulation.hpp>

namespace penstock::system::detail {

using simulation::fiber;
using simulation::options;

// Which of how many alternatives; of 0: as it was read from a text, to be believed.
struct decision {
  std::uint16_t alternatives = 0;
  std::uint16_t chosen = 0;
};

// Where decisions beyond the given path come from.
enum class strategy : std::uint8_t {
  first,        // the first alternative each time
  random_walk,  // now and then another thread
  priorities    // the thread that matters most; priorities change at a few random steps (PCT: Burckhardt et al., 2010)
};

struct trace_entry {
  unsigned thread = 0;
  operation op = operation::mark;
  const void* where = nullptr;
  std::uint64_t value = 0;
  bool has_value = false;
};

class scheduler {
 public:
  using time_point = clock::time_point;
  using threads = std::uint64_t;  // a bit for each
  static constexpr unsigned most_threads = 64;

  explicit scheduler(const options& given);
  scheduler(const scheduler&) = delete;
  scheduler& operator=(const scheduler&) = delete;
  ~scheduler();

  // One run, led by the decisions of `path` as far as they go; seed: of the decisions beyond it that are random, and of
  // random_share(). Returns why it failed, if it did.
  std::optional<std::string> run(const std::function<void()>& body, std::vector<decision>& path, strategy beyond,
                                 std::uint64_t seed, bool trace);

  [[nodiscard]] std::uint64_t steps() const noexcept { return steps_; }
  [[nodiscard]] std::uint64_t hash() const noexcept { return hash_; }
  [[nodiscard]] const std::vector<decision>& path() const noexcept { return *path_; }
  [[nodiscard]] std::string trace_text(std::size_t last) const;

  // --- what a simulated thread calls --------------------------------------------------------------------------------
  [[nodiscard]] unsigned current() const noexcept { return current_->number; }
  void step(operation op, const void* where);
  // For what is no step but empties the buffer: a step if there is anything to empty, so that others may still miss it.
  void step_if_storing(operation op, const void* where) {
    if (current_->store_count) return step(op, where);
    record(op, where);
  }
  void rest(operation op);  // yield, pause
  // Returns false iff the deadline came. REQUIRES: a step was made for the operation.
  bool block(operation op, const void* what, time_point deadline);
  void wake(const void* what, unsigned most, bool any_order);
  void see(const void* value);  // the stores to it in others' buffers: become visible, or not yet
  void write(location& where, void* value, const void* from, std::size_t size, std::memory_order order);
  [[nodiscard]] const void* own_store(const void* value) const noexcept;  // the newest in the own buffer, or null
  void drain();                                                           // the own buffer
  void drain_all();
  void written() noexcept { fruitless_ = 0; }
  void forget(const void* value);
  unsigned start_thread(void (*function)(void*), void* argument);
  void join_thread(unsigned number);
  [[noreturn]] void fail(std::string reason);
  void note(std::uint64_t value) noexcept {
    if (tracing_) trace_.back().value = value, trace_.back().has_value = true;
  }
  void record(operation op, const void* where);

  void acquire(const location& from) noexcept;
  void release(location& to, bool keep) noexcept;
  void synchronize_all() noexcept;

  [[nodiscard]] time_point now() const noexcept { return now_; }
  // A step only where another thread may move the clock at any moment.
  void look_at_clock() {
    if (manual_clock_) step(operation::look, nullptr);
  }
  void set_manual_clock(bool manual) noexcept { manual_clock_ = manual; }
  void advance(clock::duration by);
  // Holds one of the processors for so long, once one is free.
  void compute(clock::duration how_long);
  [[nodiscard]] thread_clock::times usage() const noexcept { return current_->usage; }
  [[nodiscard]] std::int64_t usage_of_all() const noexcept;
  // A number that is a decision of the run; one that is the same for the same seed.
  [[nodiscard]] unsigned choose(unsigned alternatives);
  [[nodiscard]] double random_share() noexcept;
  void at_step(std::uint64_t n, std::function<void()> what);
  void name_thread(std::string text);
  void name_location(const void* where, std::string text);
  [[nodiscard]] const options& given() const noexcept { return options_; }

  void watched_access(const void* where, bool write, const char* what);
  void memory_freed(const void* where, std::size_t size) noexcept;

 private:
  struct pending_store {
    location* where;
    void* value;
    std::uint64_t issued;  // the how-manieth store of all
    vector_clock released;
    std::uint16_t size;
    std::uint16_t overlooked;
    alignas(16) std::byte bytes[16];
  };
  static constexpr unsigned buffer_size = 32;

  struct thread_state {
    unsigned number = 0;
    fiber stack;
    void (*function)(void*) = nullptr;
    void* argument = nullptr;
    std::function<void()> own_function;  // of main and of what at_step() was given
    bool finished = false;
    bool woken = false;  // else: it timed out
    operation waits_in = operation::wait;
    const void* waits_on = nullptr;
    std::uint64_t waits_since = 0;
    time_point deadline = never;
    unsigned priority = 0;
    std::string name;
    thread_clock::times usage;
    vector_clock known;  // what happened before its next step
    // Stores on their way, a ring: oldest at first_store.
    std::array<pending_store, buffer_size> stores;
    unsigned first_store = 0;
    unsigned store_count = 0;

    pending_store& store_at(unsigned i) noexcept { return stores[(first_store + i) % buffer_size]; }
    const pending_store& store_at(unsigned i) const noexcept { return stores[(first_store + i) % buffer_size]; }
  };
  struct candidate {
    unsigned thread;
    enum class how : std::uint8_t { goes_on, times_out, wakes } why;
  };
  struct candidates {
    std::array<candidate, std::size_t{2} * most_threads> list;
    unsigned count = 0;
    void add(threads set, candidate::how why) noexcept;
  };
  struct watched_state {
    vector_clock reads;
    unsigned writer = 0;
    std::uint32_t written = 0;  // the writer's tick
  };

  static constexpr threads bit(unsigned thread) noexcept { return threads{1} << thread; }

  thread_state& new_thread();
  static void thread_main(void* self) noexcept;
  unsigned decide(unsigned alternatives, unsigned rarely = 2);
  unsigned pick(const candidates& among, unsigned free);
  [[nodiscard]] threads may_end_early() const noexcept;
  void go_on(candidate chosen);
  void change_to(thread_state& next);
  void leave_blocked();
  void expire();
  bool jump_to_deadline();
  void count_step(operation op);
  void start_hook();
  void end_thread();
  void abandon();
  [[nodiscard]] std::string name_of(const thread_state& t) const;
  void commit_oldest(thread_state& of);
  void commit_through(std::uint64_t issued);
  [[nodiscard]] std::string waiting_text() const;
  void set_runnable(thread_state& t) noexcept;
  std::uint64_t random() noexcept;
  [[nodiscard]] bool bounded() const noexcept { return beyond_ == strategy::first; }

  const options options_;
  std::vector<std::unique_ptr<thread_state>> all_;  // kept from run to run, for their stacks
  fiber root_;

  // Of the run.
  std::vector<decision>* path_ = nullptr;
  std::size_t position_ = 0;
  strategy beyond_ = strategy::first;
  std::uint64_t random_ = 0;
  std::uint64_t values_ = 0;  // of random_share(): apart from the decisions, which are not drawn again
  unsigned stickiness_ = 1;   // random_walk: a switch once in so many steps
  std::array<std::uint64_t, 3> priority_changes_;  // priorities: at these steps
  unsigned low_priority_ = 0;
  thread_state* current_ = nullptr;
  unsigned thread_count_ = 0;
  threads runnable_ = 0;
  threads rested_ = 0;  // have yielded, and not run since
  // Were preempted, and not run since: others may rest so often before these go on. Else nobody who looks a few times
  // before he sleeps would ever come to sleep while somebody stands in the middle of something.
  threads stalled_ = 0;
  unsigned stalled_rests_ = 0;
  threads timed_ = 0;  // wait with a deadline
  threads blocked_ = 0;
  threads may_wake_ = 0;  // wait in a way that may end for no reason
  threads hooks_ = 0;     // of at_step, not started
  std::uint64_t steps_ = 0;
  std::uint64_t hash_ = 0;
  std::uint64_t waits_ = 0;
  std::uint64_t stores_issued_ = 0;
  unsigned stores_pending_ = 0;
  unsigned preemptions_left_ = 0;
  unsigned delays_left_ = 0;
  unsigned fruitless_ = 0;  // rounds of rest in which nobody has written anything
  time_point now_;
  bool manual_clock_ = false;
  unsigned computing_ = 0;  // processors in use
  std::uint64_t next_hook_ = ~std::uint64_t{0};
  std::vector<std::pair<std::uint64_t, unsigned>> hook_steps_;
  bool tracing_ = false;
  std::vector<trace_entry> trace_;
  std::unordered_map<const void*, std::string> names_;
  std::map<const void*, watched_state> watched_;
  bool in_watched_ = false;
  std::optional<std::string> failure_;
};

}  // namespace penstock::system::detail
