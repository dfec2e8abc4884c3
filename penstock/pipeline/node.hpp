// node: one stage of a run as the run sees it, whatever kind of stage it is. Worker threads are one kind
// (thread_stage.hpp); a kind that is added is a class derived from node and inlet<In>, and a description with
// `output<In>` and `make_node<In>` (pipeline.hpp has that of worker threads).
//
// Life: check() → turns, taken by the crew's threads (or serve(), on each of the stage's own) → close_input() once the
// stage before has ended → ended, when the input is closed and drained and nobody is at work → hand_back_rest(), when
// every thread of the run has ended.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/entrance.hpp>
#include <penstock/pipeline/item.hpp>
#include <penstock/pipeline/options.hpp>
#include <penstock/pipeline/report.hpp>
#include <penstock/pipeline/worker.hpp>
#include <penstock/queue/status.hpp>

namespace penstock {

// Whether a turn at a stage would find something to do.
enum class readiness : std::uint8_t {
  nothing,
  some,    // a little, which can wait a millisecond
  plenty,  // enough to wake somebody for
};

// The supervisor's findings at a stage.
struct supervision {
  std::int64_t due = 0;  // when to look again, in ns; 0: nothing is open
  bool acted = false;    // something was overdue
  bool owes = false;     // finished results had to stay, for want of room
};

class node {
 public:
  node(std::string name, worker_count workers);
  node(const node&) = delete;
  node& operator=(const node&) = delete;
  virtual ~node() = default;

  // Throws std::invalid_argument, with the stage's name, if its options contradict each other. Before any thread
  // starts.
  virtual void check() const {}

  // --- work ---
  // Does a turn's worth of work if there is some, a worker is free, and results find room. Answers for its items; what
  // it throws ends the run as a failure of the stage.
  virtual bool turn(crew_member& me) = 0;
  // A turn for what `me` has carried here.
  virtual void carried_turn(const crew_member::burden&, crew_member&) noexcept {}
  [[nodiscard]] virtual readiness ready() const noexcept = 0;
  // Whether items wait here whose results would find room, whether or not a worker is free.
  [[nodiscard]] virtual bool has_work() const noexcept { return false; }
  // The supervisor's: shares batches that are overdue, and forwards their finished results. Never waits.
  virtual supervision look_after(crew&, std::int64_t) noexcept { return {}; }
  // A stage with its own threads: one worker's whole life.
  [[nodiscard]] virtual bool has_own_threads() const noexcept { return false; }
  virtual void serve(worker&, crew_member&) {}

  // --- the end ---
  virtual void close_input() noexcept {}
  // Nothing is left to be begun here: the input is closed and drained, or the run is being stopped.
  [[nodiscard]] virtual bool is_over() const noexcept = 0;
  // Gives what is left to the run. No worker runs any more.
  virtual void hand_back_rest() noexcept {}
  // True once: for the first who finds it over and nobody at work.
  [[nodiscard]] bool ends_now() noexcept {
    // In this order: whoever takes the last item is at work before he takes it.
    return is_over() && is_idle() && !ended_.exchange(true);
  }

  // --- for the report ---
  // Sets `in`, and adds what did not happen on this stage's own workers (items refused at its entrance).
  virtual void add_entrance_counts(stage_report& r) const noexcept = 0;
  // How the time of its workers was spent. now: if the run has not ended.
  virtual void add_shares(stage_report& r, std::int64_t now) const noexcept;
  [[nodiscard]] virtual bool delivers() const noexcept { return false; }

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::vector<worker>& workers() noexcept { return workers_; }
  [[nodiscard]] const std::vector<worker>& workers() const noexcept { return workers_; }
  [[nodiscard]] worker_count range() const noexcept { return range_; }
  // How many workers there should be now, and are, but for some that have been told to go when they are done.
  [[nodiscard]] std::size_t present() const noexcept {
    return present_of(manned_.load(std::memory_order_relaxed)) - leaving_.load(std::memory_order_relaxed);
  }
  [[nodiscard]] bool is_idle() const noexcept { return at_work_of(manned_.load()) == 0; }
  // When a worker last left and there was no more work; 0: not yet.
  [[nodiscard]] std::int64_t ran_dry() const noexcept { return ran_dry_.load(std::memory_order_relaxed); }
  // By one thread, the scaler, within the range. remove_worker: one that is free, or else the first to be free. It looks at
  // work for a moment, so the stage may have to be told afterwards that it has ended.
  void add_worker(std::int64_t now) noexcept;
  void remove_worker(std::int64_t now) noexcept;
  // Of those removed, how many are not free yet.
  [[nodiscard]] std::size_t leaving() const noexcept { return leaving_.load(std::memory_order_relaxed); }

  // In so much time at work: processor time that the stage has had, and time that it was ready and no processor was free.
  void used(std::int64_t at_work_ns, std::int64_t ran_ns, std::int64_t crowded_ns) noexcept;
  // Whether it is processor time that its turns mostly take, as far as is known.
  [[nodiscard]] bool computes() const noexcept { return computing_share_.load(std::memory_order_relaxed) > .8; }
  // A turn takes far longer than foreseen: it may be waiting for something, and other threads must not be held back for it.
  void may_not_compute() noexcept { computing_share_.store(0, std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t ran_ns() const noexcept { return ran_ns_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::int64_t crowded_ns() const noexcept { return crowded_ns_.load(std::memory_order_relaxed); }

 protected:
  // A free worker, who is now at work; null if there is none.
  [[nodiscard]] worker* hire(std::int64_t now) noexcept;
  // why: what the worker waits for from now on.
  void let_go(worker& w, wait_kind why, std::int64_t now) noexcept;
  [[nodiscard]] bool has_worker_at_work() const noexcept {
    return at_work_of(manned_.load(std::memory_order_relaxed)) > 0;
  }
  [[nodiscard]] bool has_free_worker() const noexcept {
    const manning now = manned_.load(std::memory_order_relaxed);
    return at_work_of(now) < present_of(now);
  }
  [[nodiscard]] std::size_t index_of(const worker& w) const noexcept {
    return static_cast<std::size_t>(&w - workers_.data());
  }

 private:
  // Workers by index, the last to come first: a stack through next_, with a count beside its top, so that a top that was
  // taken and came back is not taken for the same.
  using stack = system::atomic<std::uint64_t>;  // count << 32 | index
  static constexpr std::uint32_t nobody = ~std::uint32_t{0};
  void push(stack& s, std::uint64_t index) noexcept;
  // `nobody` if it is empty.
  [[nodiscard]] std::uint32_t pop(stack& s) noexcept;
  void dismiss(worker& w, std::int64_t now) noexcept;
  // True, and counted, if the number was above zero.
  static bool take_one(system::atomic<std::size_t>& number) noexcept;

  const std::string name_;
  const worker_count range_;
  std::vector<worker> workers_;  // as many as there may be
  // How many are there, at work or free, and how many of them at work: one word, because a worker that goes home
  // between a look at the one and at the other would leave nobody to be hired.
  using manning = std::uint64_t;
  static constexpr manning one_at_work = 1, one_present = manning{1} << 32;
  static constexpr std::size_t at_work_of(manning m) noexcept { return m & (one_present - 1); }
  static constexpr std::size_t present_of(manning m) noexcept { return m >> 32; }
  system::atomic<manning> manned_;
  std::atomic<std::int64_t> ran_dry_ = 0;
  system::atomic<std::size_t> leaving_ = 0;  // so many of them are not wanted any more
  system::atomic<bool> ended_ = false;
  stack free_ = nobody;
  stack absent_ = nobody;
  std::unique_ptr<system::atomic<std::uint32_t>[]> next_;
  system::atomic<std::int64_t> ran_ns_ = 0;
  system::atomic<std::int64_t> crowded_ns_ = 0;
  std::atomic<double> computing_share_ = 0;  // of its time at work, lately; two that report at once may lose one report
};

// Where the stage before puts its results: a node's typed side.
template <class T>
class inlet {
 public:
  // Promises room for up to `most` items without waiting; returns how many. What is not used is given back.
  [[nodiscard]] virtual std::size_t reserve(std::size_t most) noexcept = 0;
  virtual void give_back(std::size_t places) noexcept = 0;
  // Takes `count` items, for which there are promised places, in every case and without waiting: they enter the stage, or
  // are counted as entered and returned because the run is being stopped.
  virtual void accept(envelope<T>* items, std::size_t count) noexcept = 0;
  // The same, but rather leaves them where they are, to be carried here by `me`; false: not now, nothing has happened.
  [[nodiscard]] virtual bool await(envelope<T>* items, std::size_t count, crew_member& me) noexcept = 0;
  // What `me` was to carry here, if anything, is taken after all.
  virtual void put_down(crew_member& me) noexcept = 0;
  // The same for one without a promise: waits for room. Failed, too, if its size cannot be told. `from`: the worker that
  // calls, for its waiting time.
  virtual void accept(envelope<T>&& item, worker& from, crew_member& me) noexcept = 0;
  // The same for one who waits without a thread. False: `self` stands in line, and calls again with the same item when it is
  // told; or leaves.
  [[nodiscard]] virtual bool accept_in_line(envelope<T>&& item, outside_place& self) noexcept = 0;
  virtual void leave_line(outside_place& self) noexcept = 0;
  // For those who can keep an item that is refused: it stays in `item`, and nothing is counted.
  virtual conqueue_status offer(envelope<T>& item, const wait_limit* limit) = 0;
  // Room that could be promised now; npos where it cannot be told beforehand (a limit in bytes).
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);
  [[nodiscard]] virtual std::size_t room() const noexcept = 0;
  [[nodiscard]] virtual std::size_t room_in_all() const noexcept = 0;
  // Every place that was promised was used or given back.
  [[nodiscard]] virtual bool no_place_is_lost() const noexcept = 0;
  // How many offers were taken.
  [[nodiscard]] virtual std::uint64_t taken() const noexcept = 0;

 protected:
  ~inlet() = default;
};

}  // namespace penstock
