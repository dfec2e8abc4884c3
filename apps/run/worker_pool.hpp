// worker_pool: the long-lived processes of a --worker stage, one for each slot.
//
// THREADS  ask() at the same time, for different slots.
// ENDING   One that dies, or whose answer is late, costs its item and is replaced. The destructor ends them all.
#pragma once

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
                     const std::function<process::command()>& command);

  // False: one has said more than its answers, which may be those to other items. REQUIRES: nobody asks.
  [[nodiscard]] bool in_step() noexcept;

 private:
  struct slot_worker {
    std::unique_ptr<process::worker_process> process;
    pid_t known = -1;  // to the running jobs; it may have been replaced since
  };
  void know(slot_worker& w);

  std::vector<slot_worker> workers_;
  running_jobs& jobs_;
  const endings& ends_;
};

}  // namespace penstock::runner
