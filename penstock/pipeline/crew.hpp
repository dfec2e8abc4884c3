// crew: the threads of a run, and which stage each of them works at.
//
// A stage has workers: so many calls of its function may be under way at the same time. A thread of the crew takes a
// turn at whatever stage has work, a free worker and room for the results, the most downstream first; so it carries what
// it has made downstream itself, while it is in the processor's cache, and two processors are kept busy by three stages
// of one worker each, which a thread per worker cannot do (.67 of what is possible: three threads on two processors idle
// in turn). There are as many threads as workers, so stages that block still have all the concurrency they asked for.
//
// A batch does not even go through the queue if nothing waits there, a worker is free and it is cheap, or nobody has a
// processor for it: it is carried.
//
// A stage whose function is made per worker is manned by threads of its own: its state may belong to its thread.
//
// WHO LOOKS   A thread is on duty while it looks for work or works at something short; it will look again at once. Work
//             that lies ready is safe as long as anybody is on duty. Who starts on something long, or on a single item
//             (of which nobody knows for sure), goes off duty first, and the last one to do so looks around once more and
//             calls a sleeper if there is work. So a burst of dear items wakes one thread per item, each woken by the one
//             before, and cheap ones are done without any wake.
// PROCESSORS  More threads at work on computing stages than processors only take slices from each other, and a stage of
//             one worker stands still while its thread waits for its slice (.86 instead of .95 of what is possible, at
//             10 µs an item). So where a stage computes (node::computes(): most of its time at work is processor time), no
//             thread is woken for it, and none begins a turn there, while as many as there are processors look for work
//             or compute. Stages that wait for something outside are not held back.
// SUPERVISED  Items may take longer than they should. The supervisor (supervisor.hpp) then says that a thread is overdue: it
//             no longer counts as searching or computing. If work is ready and no thread searches, or a processor is free,
//             the supervisor has a sleeping thread called. An idle crew costs nothing.
// FENCES      Crew members store what they did and look later on the same thread. Only those who are not of the crew (a
//             push into an open pipeline, a stage with its own threads) need the full fence in notice().
// THREADS     notice() and end() from anywhere; the rest from members.
#pragma once

#include <atomic>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <penstock/base/links.hpp>
#include <penstock/base/mutex.hpp>
#include <penstock/base/system.hpp>
#include <penstock/pipeline/scratch.hpp>
#include <penstock/pipeline/supervisor.hpp>
#include <penstock/pipeline/thread_usage.hpp>

namespace penstock {

class node;
class pace;
class worker;
class crew;
enum class readiness : std::uint8_t;

// One thread of a run.
class crew_member {
 public:
  // shared: it serves the whole crew; false for a stage's own thread, which looks for nothing else.
  explicit crew_member(crew& c, bool shared) noexcept : crew_(c), shared_(shared) {}
  crew_member(const crew_member&) = delete;
  crew_member& operator=(const crew_member&) = delete;

  // Around one turn at a stage. items: taken in it; with `pace`, whether that will, or may, take so long that others
  // should know.
  void turn_begins(const node& at, const pace& p, std::size_t items) noexcept;
  void turn_ends() noexcept;
  // In a turn: from here on it may take long (a wait for room, a pause before a retry).
  void goes_on_long() noexcept;
  // Something was put in or freed that other stages may be waiting for. Heard only from those who are off duty: the
  // others will look themselves.
  void changed_something() noexcept;

  [[nodiscard]] bool takes_turns_anywhere() const noexcept { return shared_; }
  // Whether work that is left for others at a computing stage would wait, because every processor has some.
  [[nodiscard]] bool nobody_is_free() const noexcept;

  thread_usage usage;
  // Where a batch and its results are while this thread works at it.
  [[nodiscard]] scratch& for_items() noexcept { return scratch_[carried_side_]; }
  [[nodiscard]] scratch& for_results() noexcept { return scratch_[1 - carried_side_]; }
  // A turn's results go on to the next stage in this thread's hands: the next turn is there, by the worker who was hired
  // for it, and what was the room for results is the room for items.
  struct burden {
    node* to = nullptr;
    worker* by = nullptr;
    void* items = nullptr;
    std::size_t count = 0;
  };
  void carry(const burden& b) noexcept {
    burden_ = b;
    carried_side_ = 1 - carried_side_;
  }
  // What was to be carried is not: it stays where it is. (Which side is whose is settled anew with each turn.)
  burden put_down() noexcept { return std::exchange(burden_, {}); }
  // Takes the turns for what is carried, down to where it stays.
  void deliver();

 private:
  friend class crew;
  void looks_in_vain() noexcept;
  void looks_no_more_in_vain() noexcept;
  enum class duty : std::uint8_t { on, computing, off };
  void leave_duty(duty from, duty to) noexcept;

  crew& crew_;
  const bool shared_;
  system::atomic<duty> duty_ = duty::on;  // the supervisor may set it to off

  // Its place among the sleepers; the crew's mutex guards it.
  struct place : link {
    explicit place(crew_member& m) noexcept : member(m) {}
    crew_member& member;
  };
  place asleep_{*this};

  system::atomic<std::uint32_t> called_ = 0;  // what it sleeps on; written under the crew's mutex
  bool in_vain_ = false;                      // its own: its last look for work found none
  scratch scratch_[2];
  int carried_side_ = 0;
  burden burden_;
};

class crew {
 public:
  // nodes: the source first; they outlive the crew's threads, as the supervisor does.
  crew(const std::vector<std::unique_ptr<node>>& nodes, supervisor& s) noexcept : nodes_(nodes), supervisor_(s) {}
  crew(const crew&) = delete;
  crew& operator=(const crew&) = delete;

  // Before the threads start: how many there will be.
  void expect(std::size_t members) noexcept {
    size_ = members;
    watch_ = members * one_on_duty;
  }
  // A thread that was not expected then: before it serves.
  void one_more() noexcept;
  // One less is needed: who has slept longest goes home, or else the next to lie down.
  void dismiss_one() noexcept;
  // A thread's whole life in the crew: turns until the end, or until it is dismissed.
  void serve(crew_member& me);
  // Work was made ready by a thread that will not look for it.
  void notice() noexcept;
  // The supervisor's: a turn of this thread takes far longer than foreseen. REQUIRES: the thread is in the crew.
  void overdue(crew_member& m) noexcept;
  // The supervisor's: calls a sleeping thread if there is work for it. True if it did.
  bool wake_one_if_useful() noexcept;
  [[nodiscard]] supervisor& supervised_by() noexcept { return supervisor_; }
  // No more work will come: everyone goes home.
  void end() noexcept;

 private:
  friend class crew_member;
  using place = crew_member::place;

  bool take_a_turn(crew_member& me);
  // Whether to look again rather than sleep. idle: how often it has found nothing; since: when it first asked the clock.
  [[nodiscard]] bool stays_up(int idle, std::int64_t& since) const noexcept;
  void lie_down(crew_member& me) noexcept PENSTOCK_REQUIRES(mutex_);
  void leave_list(crew_member& m) noexcept PENSTOCK_REQUIRES(mutex_);
  void get_up(crew_member& m) noexcept PENSTOCK_REQUIRES(mutex_);
  // Sleeps until called. False: it is dismissed. mid_way: passed where work is ready and was not found a moment ago.
  [[nodiscard]] bool sleep(crew_member& me, system::backoff& mid_way);
  // What a member could find. is_full: the processors have enough to do, so computing stages do not count.
  [[nodiscard]] readiness what_is_ready(bool is_full) const noexcept;
  void call_one() noexcept;

  // What crew_member::called_ may say; 0: nothing.
  static constexpr std::uint32_t called_to_work = 1, called_home = 2, dismissed = 3;

  const std::vector<std::unique_ptr<node>>& nodes_;
  supervisor& supervisor_;
  system::atomic<std::size_t> size_ = 0;

  // How many are on duty, and how many off duty are known to compute: one word, so that both change at once.
  using watch = std::uint64_t;
  static constexpr watch one_on_duty = 1, one_computing = watch{1} << 32;
  static constexpr std::size_t on_duty(watch w) noexcept { return w & (one_computing - 1); }
  static constexpr std::size_t computing(watch w) noexcept { return w >> 32; }
  // Not where no supervisor would notice that a thread only seems to compute.
  [[nodiscard]] bool is_full(watch w) const noexcept {
    return on_duty(w) + computing(w) >= processors_ && !supervisor_.is_unavailable();
  }
  static constexpr watch share_of(crew_member::duty d) noexcept {
    return d == crew_member::duty::on ? one_on_duty : d == crew_member::duty::computing ? one_computing : 0;
  }

  const std::size_t processors_ = system::processors();
  alignas(64) system::atomic<watch> watch_ = 0;
  std::atomic<std::uint32_t> in_vain_ = 0;  // how many look and have found nothing so far: a hint
  system::atomic<std::size_t> asleep_ = 0;  // the length of sleepers_
  system::atomic<bool> over_ = false;

  mutable mutex mutex_;                                // guards what follows
  links<place> sleepers_ PENSTOCK_GUARDED_BY(mutex_);  // the last to come is the first to be called
  std::size_t to_dismiss_ PENSTOCK_GUARDED_BY(mutex_) = 0;
};

}  // namespace penstock
