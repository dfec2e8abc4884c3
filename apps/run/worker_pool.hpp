// worker_pool: the long-lived processes of a --worker stage, one for each slot.
//
// BUFFERS  Most programs keep what they print until they have a good deal of it, unless it goes to a terminal, so an answer
//          would never come. Workers are therefore started by stdbuf(1), where there is one, and with PYTHONUNBUFFERED.
//          A worker whose first answer does not come within three seconds is reported through on_silence, once.
// THREADS  ask() at the same time, for different slots.
// SHORT    Where no worker can be started for want of processes, memory or descriptors, that is tried again, for some ten
//          seconds: attempt_result::is_ours.
// ENDING   One that dies, or whose answer is late, costs its item and is replaced. The destructor ends them all.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <penstock/process/command.hpp>
#include <penstock/process/worker_process.hpp>

#include "apps/run/attempt.hpp"
#include "apps/run/endings.hpp"
#include "apps/run/running_jobs.hpp"

namespace penstock::runner {

class worker_pool {
 public:
  worker_pool(std::size_t slots, running_jobs& jobs, const endings& ends) : workers_(slots), jobs_(jobs), ends_(ends) {}
  // command: what is started, if there is none in this slot yet.
  attempt_result ask(std::size_t slot, const std::string& line, std::chrono::nanoseconds timeout,
                     const std::function<process::command()>& command, const std::function<void()>& on_silence,
                     const std::function<void(const std::string&)>& on_shortage);

  // False: one has said more than its answers, which may be those to other items. REQUIRES: nobody asks.
  [[nodiscard]] bool in_step() noexcept;

 private:
  attempt_result ask_once(std::size_t slot, const std::string& line, std::chrono::nanoseconds timeout,
                          const std::function<process::command()>& command, const std::function<void()>& on_silence);
  struct slot_worker {
    std::unique_ptr<process::worker_process> process;
    pid_t known = -1;  // to the running jobs; it may have been replaced since
  };
  void know(slot_worker& w);

  std::vector<slot_worker> workers_;
  std::atomic<bool> answered_or_reported_ = false;
  running_jobs& jobs_;
  const endings& ends_;
};

}  // namespace penstock::runner
