// running_jobs: every process of the run: those it started, and those that these left behind.
//
// STRAYS   This program is made the reaper of its descendants, so a process whose parents have ended becomes its child,
//          even one that left its group. It is collected when it ends, and killed where the run is.
// THREADS  Everything at the same time.
#pragma once

#include <cstddef>
#include <set>

#include <sys/types.h>

#include <penstock/base/mutex.hpp>
#include <penstock/process/child.hpp>
#include <penstock/process/spawn.hpp>

namespace penstock::runner {

class running_jobs {
 public:
  running_jobs();

  // A process of the run, known from its start to the end of this object.
  class job_process {
   public:
    job_process(running_jobs& jobs, const process::command& what, process::spawn_options options);
    job_process(const job_process&) = delete;
    job_process& operator=(const job_process&) = delete;
    ~job_process();
    [[nodiscard]] process::child& get() noexcept { return child_; }

   private:
    running_jobs& jobs_;
    process::child child_;
  };

  // A process that somebody else starts in `start`, and whose number is known when it returns: strays are not looked for
  // meanwhile.
  template <class Start>
  auto while_starting(Start start) {
    const starting now(*this);
    return start();
  }

  // A process that was started so: not a stray. instead_of: one that has been collected since; -1 in either: none.
  void know(pid_t pid, pid_t instead_of) {
    mutex_lock lock(mutex_);
    ours_.erase(instead_of);
    if (pid > 0) ours_.insert(pid);
  }

  // Whether any command runs now, other than a --worker, which may be idle.
  [[nodiscard]] bool any() const {
    mutex_lock lock(mutex_);
    return !running_.empty();
  }

  // KILL to every job and its group, at once. Those that are started later are theirs to end who start them.
  void kill_all() noexcept;
  // Strays: those that have ended are collected; cheap, so it can be done after each job.
  void collect_strays() noexcept;
  // Kills those that are left, and what they leave, when no job runs any more. False: some do not end.
  bool kill_strays() noexcept;

 private:
  class starting {
   public:
    explicit starting(running_jobs& jobs);
    ~starting();

   private:
    running_jobs& jobs_;
  };

  mutable mutex mutex_;                                        // guards what follows
  std::size_t being_started_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // whose numbers are not known yet
  std::set<process::child*> running_ PENSTOCK_GUARDED_BY(mutex_);
  std::set<pid_t> ours_ PENSTOCK_GUARDED_BY(mutex_);
  std::set<pid_t> there_before_;  // children of the program that this one replaced (exec); constant
};

}  // namespace penstock::runner
