#include "apps/run/worker_pool.hpp"

#include <algorithm>
#include <exception>

namespace penstock::runner {

attempt_result worker_pool::ask(std::size_t slot, const std::string& line, std::chrono::nanoseconds timeout,
                                const std::function<process::command()>& command) {
  attempt_result result;
  result.began = std::chrono::system_clock::now();
  auto& worker = workers_.at(slot - 1);
  const auto began = system::clock::now();
  try {
    if (!worker)
      worker = std::make_unique<process::worker_process>(
          command(), process::worker_options{.framing = process::framing::lines, .deadline = timeout});
    // It may be started anew in there.
    const auto answer = jobs_.while_starting([&] {
      auto made = worker->ask(line, wait_limit(ends_.ended()));
      jobs_.know(worker->pid());
      return made;
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

bool worker_pool::in_step() noexcept {
  return std::all_of(workers_.begin(), workers_.end(), [](const auto& w) { return !w || w->in_step(); });
}

}  // namespace penstock::runner
