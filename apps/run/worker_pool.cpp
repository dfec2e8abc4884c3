#include "apps/run/worker_pool.hpp"

#include <algorithm>
#include <exception>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <penstock/base/sleep.hpp>

namespace penstock::runner {

using namespace std::chrono_literals;

attempt_result worker_pool::ask(std::size_t slot, const std::string& line, std::chrono::nanoseconds timeout,
                                const std::function<process::command()>& command,
                                const std::function<void()>& on_silence,
                                const std::function<void(const std::string&)>& on_shortage) {
  for (int tries = 1;; ++tries) {
    attempt_result result = ask_once(slot, line, timeout, command, on_silence);
    if (!result.may_try_again || tries == 30) return result;
    on_shortage(result.failure);
    if (!sleep_for(std::min(tries * 20ms, 500ms), ends_.stopped())) return result;
  }
}

attempt_result worker_pool::ask_once(std::size_t slot, const std::string& line, std::chrono::nanoseconds timeout,
                                     const std::function<process::command()>& command,
                                     const std::function<void()>& on_silence) {
  attempt_result result;
  result.began = std::chrono::system_clock::now();
  auto& worker = workers_.at(slot - 1).process;
  const auto began = system::clock::now();
  bool had_none = false;
  std::uint64_t started = 0;
  try {
    had_none = !worker || worker->pid() < 0;
    started = worker ? worker->started() : 0;
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
      if (answered_or_reported_) return worker->ask(line, wait_limit(ends_.ended()));
      worker->submit(line);
      if (!worker->wait_for_reply(wait_limit(ends_.ended(), 3s)) && !ends_.ended().stop_requested() &&
          !answered_or_reported_.exchange(true))
        on_silence();
      if (!worker->wait_for_reply(wait_limit(ends_.ended()))) {
        worker->reset();
        return std::optional<std::string>();
      }
      answered_or_reported_ = true;
      auto reply = worker->next();
      if (reply.error) std::rethrow_exception(reply.error);
      return std::optional(std::move(reply.bytes));
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
  } catch (const std::system_error& e) {
    result.failure = e.what();
    // Nothing was sent where no worker was started.
    result.is_ours = is_shortage(e.code());
    result.may_try_again = result.is_ours && had_none && worker && worker->started() == started;
    if (!result.may_try_again && worker) worker->reset();
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
