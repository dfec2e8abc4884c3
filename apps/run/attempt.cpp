#include "apps/run/attempt.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <new>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include <penstock/base/sleep.hpp>
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

bool is_shortage(const std::error_code& code) noexcept {
  return code == std::errc::resource_unavailable_try_again || code == std::errc::not_enough_memory ||
         code == std::errc::too_many_files_open || code == std::errc::too_many_files_open_in_system;
}

void kept_text::add(std::string_view part) {
  if (!lost_.empty()) return;
  try {
    if (!file_ && text_.size() + part.size() <= most_in_memory) {
      text_ += part;
      return;
    }
    if (!file_) {
      const char* const directory = std::getenv("TMPDIR");
      const std::string where = directory && *directory ? directory : "/tmp";
      file_.reset(::open(where.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600));
      if (!file_) {
        std::string name = where + "/penstock-XXXXXX";
        file_.reset(::mkostemp(name.data(), O_CLOEXEC));
        if (file_) ::unlink(name.c_str());
      }
      if (!file_) throw std::system_error(errno, std::generic_category(), "a file for output in " + where);
      write(text_);
    }
    write(part);
  } catch (const std::exception& e) {
    // The job goes on: that we cannot keep what it prints is no reason to end it.
    lost_ = e.what();
  }
}
void kept_text::write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(file_.get(), bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw std::system_error(errno, std::generic_category(), "writing output to a file (TMPDIR)");
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}
unique_fd kept_text::file() {
  if (file_) ::lseek(file_.get(), 0, SEEK_SET);
  return std::move(file_);
}

namespace {

using namespace std::chrono_literals;

// Pauses between tries of something that is short, longer and longer; counts those in which no other job runs.
class shortage {
 public:
  // False: it has lasted too long.
  bool wait(const running_jobs& jobs, const std::stop_token& stop) {
    const bool alone = !jobs.any();
    if (alone && alone_ >= 10s) return false;
    if (alone) alone_ += pause_;
    (void)sleep_for(pause_, stop);
    pause_ = std::min<std::chrono::milliseconds>(2 * pause_, 500ms);
    return !stop.stop_requested();
  }

 private:
  std::chrono::milliseconds pause_ = 5ms, alone_ = 0ms;
};

// Calls start() until it does not fail for want of something.
template <class Start>
void start_despite_shortage(const Start& start, const attempt_options& options, const running_jobs& jobs,
                            const std::stop_token& stop) {
  for (shortage now;;) {
    try {
      return start();
    } catch (const std::system_error& e) {
      if (!is_shortage(e.code()) && e.code() != std::errc::interrupted) throw;
      if (options.on_shortage) options.on_shortage(e.what());
      if (!now.wait(jobs, stop)) throw;
    } catch (const std::bad_alloc&) {
      if (options.on_shortage) options.on_shortage("no memory");
      if (!now.wait(jobs, stop)) throw;
    }
  }
}

// A wait that fails has lost nothing: it is tried again, some ten seconds long.
template <class Wait>
bool wait_despite_errors(const Wait& wait) {
  for (int tries = 1;; ++tries) {
    try {
      return wait();
    } catch (const std::exception&) {
      if (tries == 30) throw;
      (void)sleep_for(std::min(tries * 20ms, 500ms), {});
    }
  }
}

}  // namespace

attempt_result attempt(const process::command& what, const attempt_options& options, running_jobs& jobs,
                       const endings& ends) {
  attempt_result result;
  result.began = std::chrono::system_clock::now();
  last_line last;
  kept_text out, err;
  process::communication_options talking;
  // Jobs that leave a process behind, which holds their output, are done when they are done.
  talking.drain = 100ms;
  talking.on_out = [&](std::string_view part) {
    if (options.out == hearing::last_line) last.add(part);
    if (options.out == hearing::all) out.add(part);
    if (options.on_out) options.on_out(part);
  };
  talking.on_err = options.on_err ? options.on_err : [&](std::string_view part) { err.add(part); };
  try {
    std::optional<running_jobs::job_process> job;
    start_despite_shortage(
        [&] {
          process::spawn_options how;
          how.in = process::redirect::null();
          how.out = options.out == hearing::nothing && !options.on_out ? process::redirect::null()
                                                                       : process::redirect::pipe();
          how.err = process::redirect::pipe();
          job.emplace(jobs, what, std::move(how));
        },
        options, jobs, ends.stopped());
    result.started = true;
    result.began = std::chrono::system_clock::now();
    process::communication talk(job->get(), std::move(talking));
    const wait_limit until =
        options.timeout.count() ? wait_limit(ends.ended(), options.timeout) : wait_limit(ends.ended());
    std::string why;
    bool over = wait_despite_errors([&] { return talk.advance(until); });
    if (!over) {
      why = ends.ended().stop_requested() ? "ended with the run"
                                          : "took longer than " + duration_text(options.timeout) + ": ended";
      over = wait_despite_errors(
          [&] { return talk.terminate(ends.killed() ? process::termination("KILL") : *options.end); });
      if (!over) why += ", in vain";
    }
    process::completed done = talk.result();
    result.status = done.status;
    result.out_bytes = done.out_bytes;
    if (!why.empty())
      result.failure = std::move(why);
    else if (!done.status.ok())
      result.failure = process::to_string(done.status);
    result.lost = !out.lost().empty() ? out.lost() : err.lost();
    result.text = {out.text(), err.text(), out.file(), err.file()};
  } catch (const process::spawn_error& e) {
    result.failure = e.what();
    // The descriptors that a job starts with are ours, too: pipes, and /dev/null.
    result.is_ours = is_shortage(e.code()) || e.which() == process::spawn_error::part::descriptor ||
                     e.which() == process::spawn_error::part::system;
  } catch (const std::exception& e) {
    result.failure = e.what();
    result.is_ours = true;
  }
  result.last_line = last.take();
  return result;
}

}  // namespace penstock::runner
