#include "apps/run/worker_pool.hpp"

#include <algorithm>
#include <exception>

namespace penstock::runner {

attempt_result worker_pool::ask(std::size_t slot, const std::string& line, std::chrono::nanoseconds timeout,
                                const std::function<process::command()>& command) {
  attempt_result result;
  result.began = std::chrono::system_clock::now();
  auto& worker = workers_.at(slot - 1).process;
  const auto began = system::clock::now();
  try {
    if (!worker)
      worker = std::make_unique<process::worker_process>(
          command(), process::worker_options{.framing = process::framing::lines, .deadline = timeout});
    // It may be started anew in there.
    const auto answer = jobs_.while_starting([&] {
      const struct knowing {
        worker_pool& pool;
        slot_worker& worker;
        ~knowing() { pool.know(worker); }
      } whatever_happens{*this, workers_[slot - 1]};
      return worker->ask(line, wait_limit(ends_.ended()));
    });
    result.started = true;
    if (answer) {
      result.last_line = *answer;
      result.text.out = *answer + '\n';
      result.status.how = process::exit_status::end::exited;
    } else {
      result.failure = "ended with the run";
    }
  } catch (const process::worker_died& e) {
    result.started = true;
    result.status = e.status();
    result.failure = e.what();
  } catch (const std::exception& e) {
    result.failure = e.what();
  }
  result.status.wall = system::clock::now() - began;
  return result;
}

void worker_pool::know(slot_worker& w) {
  const pid_t now = w.process->pid();
  if (now == w.known) return;
  jobs_.know(now, w.known);
  w.known = now;
}

bool worker_pool::in_step() noexcept {
  return std::all_of(workers_.begin(), workers_.end(),
                     [](const slot_worker& w) { return !w.process || w.process->in_step(); });
}

}  // namespace penstock::runner
