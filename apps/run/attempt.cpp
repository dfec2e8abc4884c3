#include "apps/run/attempt.hpp"

#include <stdexcept>
#include <utility>

#include <penstock/pipeline/report.hpp>
#include <penstock/process/communication.hpp>
#include <penstock/process/spawn.hpp>

namespace penstock::runner {

void last_line::add(std::string_view part) {
  const auto newline = part.rfind('\n');
  if (newline == part.npos) {
    rest_ += part;
    return;
  }
  const std::string_view before = part.substr(0, newline);
  const auto previous = before.rfind('\n');
  line_ = previous == before.npos ? std::exchange(rest_, {}) + std::string(before)
                                  : std::string(before.substr(previous + 1));
  rest_ = part.substr(newline + 1);
}
std::string last_line::take() { return rest_.empty() ? std::move(line_) : std::move(rest_); }

attempt_result attempt(const process::command& what, const attempt_options& options, running_jobs& jobs,
                       const endings& ends) {
  attempt_result result;
  result.began = std::chrono::system_clock::now();
  last_line last;
  process::communication_options talking{.most_bytes = most_in_memory, .excess = process::excess::spill};
  // Jobs that leave a process behind, which holds their output, are done when they are done.
  talking.drain = std::chrono::milliseconds(100);
  if (options.out == hearing::last_line || options.on_out)
    talking.on_out = [&](std::string_view part) {
      if (options.out == hearing::last_line) last.add(part);
      if (options.on_out) options.on_out(part);
    };
  if (options.on_err) talking.on_err = options.on_err;
  try {
    process::spawn_options how;
    how.in = process::redirect::null();
    how.out =
        options.out == hearing::nothing && !options.on_out ? process::redirect::null() : process::redirect::pipe();
    how.err = process::redirect::pipe();
    running_jobs::job_process job(jobs, what, std::move(how));
    result.started = true;
    process::communication talk(job.get(), std::move(talking));
    const wait_limit until =
        options.timeout.count() ? wait_limit(ends.ended(), options.timeout) : wait_limit(ends.ended());
    bool over = talk.advance(until);
    std::string why;
    if (!over) {
      why = ends.ended().stop_requested() ? "ended with the run"
                                          : "took longer than " + duration_text(options.timeout) + ": ended";
      over = talk.terminate(ends.killed() ? process::termination("KILL") : *options.end);
      if (!over) why += ", in vain";
    }
    process::completed done = talk.result();
    result.status = done.status;
    result.out_bytes = done.out_bytes;
    if (!why.empty())
      result.failure = std::move(why);
    else if (!done.status.ok())
      result.failure = process::to_string(done.status);
    result.text = {std::move(done.out), std::move(done.err), std::move(done.out_file), std::move(done.err_file)};
  } catch (const process::spawn_error& e) {
    result.failure = e.what();
  }
  result.last_line = last.take();
  return result;
}

}  // namespace penstock::runner
