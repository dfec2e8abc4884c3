// run_control: the life of one run: its threads, its phase, its failures, its accounts.
//
//   running → draining → ended            the source ends (by itself, or on request), then stage after stage
//   running | draining → stopping → ended a stop or a failure: every input is closed, what waits is handed back
//
// THREADS  Everything may be called from any thread, workers and stop callbacks included; start() and wait() from one.
// ENDING   wait() joins every thread. Nothing here waits without a wake-up: workers wait in queues, and stopping closes
//          them all.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <list>
#include <memory>
#include <new>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <penstock/base/mutex.hpp>
#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/deadline_watch.hpp>
#include <penstock/pipeline/errors.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/options.hpp>
#include <penstock/pipeline/report.hpp>
#include <penstock/pipeline/scaler.hpp>

namespace penstock {

class run_control {
 public:
  explicit run_control(run_options options);
  run_control(const run_control&) = delete;
  run_control& operator=(const run_control&) = delete;
  ~run_control();  // stops and joins if wait() was not called

  // Nodes are built from the last to the first.
  void add_in_front(std::unique_ptr<node> n) { nodes_.insert(nodes_.begin(), std::move(n)); }

  // Starts every worker, the last stage first, so that nothing has entered if a thread cannot be had. Then it throws
  // std::system_error, and no thread is left behind.
  void start();
  void drain() noexcept;
  void close_entrance() noexcept;  // of an open pipeline: its source ends
  void request_stop() noexcept;
  // Joins all threads, balances the accounts. Throws run_error if the run failed.
  report wait();
  [[nodiscard]] report snapshot() const;

  // For nodes.
  // Every thread is there, and the source may begin.
  [[nodiscard]] bool is_open() const noexcept { return open_.load(std::memory_order_acquire); }
  [[nodiscard]] std::stop_token stop_token() const noexcept { return stop_.get_token(); }
  [[nodiscard]] std::stop_token drain_token() const noexcept { return drain_.get_token(); }  // of a stop, too
  [[nodiscard]] bool stopping() const noexcept { return stopping_.load(std::memory_order_acquire); }
  [[nodiscard]] bool draining() const noexcept { return draining_.load(std::memory_order_acquire); }
  // The source has come to its end by itself: what is asked of the run from now on cuts nothing short.
  void source_ended() noexcept { source_ended_ = true; }
  [[nodiscard]] deadline_watch& deadlines() noexcept { return deadlines_; }
  // Records a failed item; with `fatal`, the run ends because of it.
  void record_failure(item_place place, const std::exception_ptr& cause, bool fatal) noexcept;
  void hand_back(unfinished_item item) noexcept;
  // Something could not be done for want of memory that the user would miss: the run fails.
  void no_memory() noexcept;
  // After its input was closed, or a worker of it was let go: if it has ended, the next one's input is closed, and so on.
  void may_have_ended(node& n) noexcept;
  // A stage with a range of workers has found work.
  void scales() noexcept { scaler_->notice(); }
  // An item was put into the first stage by a thread outside of the run.
  void made_ready() noexcept { crew_.notice(); }
  [[nodiscard]] supervisor& supervised_by() noexcept { return supervisor_; }

 private:
  enum class phase { built, started, ended };

  // A thread of the crew. gone: it has nothing more to do here than to be joined.
  struct member_thread {
    system::atomic<bool> gone = false;
    system::thread thread;
  };
  void start_member(bool expected);
  void join_the_gone() noexcept;
  void member_main() noexcept;
  void end_threads() noexcept;
  void own_thread_main(node& n, worker& self) noexcept;  // of a thread of a stage of its own
  [[nodiscard]] std::size_t index_of(const node& n) const noexcept;
  void join_all() noexcept;
  [[nodiscard]] report account() const;  // the numbers, without failures and unfinished items

  const run_options options_;                 // constant after construction
  std::vector<std::unique_ptr<node>> nodes_;  // constant after start(); the source first
  supervisor supervisor_{nodes_, [this] { supervisor_thread_ = system::thread([this] { supervisor_.run(crew_); }); }};
  crew crew_{nodes_, supervisor_};
  std::stop_source stop_;
  std::stop_source drain_;
  // The same as two words that are asked for with each item: a stop_source counts its tokens in the word that says it.
  alignas(64) system::atomic<bool> stopping_ = false;
  system::atomic<bool> draining_ = false;
  system::atomic<bool> open_ = false;
  std::atomic<bool> source_ended_ = false;
  deadline_watch deadlines_;
  phase phase_ = phase::built;               // of the thread that starts and waits
  std::vector<system::thread> own_threads_;  // of stages
  std::list<member_thread> members_;         // of the crew; while there is a scaler, its
  std::optional<scaler> scaler_;             // none: every number of workers is fixed
  system::thread scaler_thread_;
  system::thread supervisor_thread_;
  std::atomic<std::int64_t> began_ns_ = 0;
  std::atomic<std::int64_t> ended_ns_ = 0;
  std::optional<system::stop_callback<std::function<void()>>> on_stop_;
  std::optional<system::stop_callback<std::function<void()>>> on_drain_;

  const stage_error no_memory_{{}, std::make_exception_ptr(std::bad_alloc())};  // a copy of it needs no memory

  mutable mutex mutex_;                                                   // guards what follows
  std::optional<stage_error> first_failure_ PENSTOCK_GUARDED_BY(mutex_);  // the one that ended the run
  std::vector<failure> failures_ PENSTOCK_GUARDED_BY(mutex_);
  std::vector<unfinished_item> unfinished_ PENSTOCK_GUARDED_BY(mutex_);
};

}  // namespace penstock
