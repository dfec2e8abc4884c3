// attempt: one execution of one command: started, heard out, ended in time.
//
// SHORT    Where processes, memory or descriptors are short, the start is tried again, for as long as other jobs run, whose
//          ends may help, and ten seconds more: that is not the command's failure.
// OURS     attempt_result says apart what the command did (failure) and what this tool could not do (lost: what the
//          command printed could not be kept; is_ours: the failure is not the command's).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <system_error>

#include <penstock/base/unique_fd.hpp>
#include <penstock/process/command.hpp>
#include <penstock/process/exit_status.hpp>
#include <penstock/process/termination.hpp>

#include "apps/run/endings.hpp"
#include "apps/run/output.hpp"
#include "apps/run/running_jobs.hpp"

namespace penstock::runner {

// What is done with what a job prints.
enum class hearing : std::uint8_t {
  nothing,    // its stdout leads nowhere
  last_line,  // only the last one is kept
  all,        // kept; more than `most_in_memory` in a file
};

struct attempt_options {
  hearing out = hearing::all;
  bool keep_err = true;  // false: on_err has it
  std::chrono::nanoseconds timeout{0};
  const process::termination* end = nullptr;  // lives as long as the call
  // Besides what is kept, as it comes:
  std::function<void(std::string_view)> on_out{};
  std::function<void(std::string_view)> on_err{};
  // Called when the start has to wait, with what is short.
  std::function<void(const std::string&)> on_shortage{};
};

struct attempt_result {
  process::exit_status status{};
  std::string failure;    // empty: it went well
  std::string last_line;  // hearing::last_line
  printed text{};
  std::uint64_t out_bytes = 0;  // on stdout, kept or not
  std::chrono::system_clock::time_point began{};
  bool started = false;        // false: the command could not be started; `failure` says why
  bool is_ours = false;        // `failure` is not the command's: it could not be started, or its end not be seen
  bool may_try_again = false;  // ... and nothing was begun
  std::string lost;            // why some of what it printed is lost; empty: nothing is
};

inline constexpr std::size_t most_in_memory = std::size_t{1} << 20;

[[nodiscard]] attempt_result attempt(const process::command& what, const attempt_options& options, running_jobs& jobs,
                                     const endings& ends);

// Whether a call failed because the machine, or a limit of this program, is short of processes, memory or descriptors.
[[nodiscard]] bool is_shortage(const std::error_code& code) noexcept;

// The output of one of the job's pipes: in memory up to most_in_memory, else in a file without a name.
class kept_text {
 public:
  void add(std::string_view part);
  [[nodiscard]] std::string text() { return std::move(text_); }
  [[nodiscard]] unique_fd file();
  // Why the rest is missing; empty: it is not.
  [[nodiscard]] const std::string& lost() const noexcept { return lost_; }

 private:
  void write(std::string_view bytes);

  std::string text_;
  unique_fd file_;
  std::string lost_;
};

// The last line of a text that comes in parts, without its newline.
class last_line {
 public:
  void add(std::string_view part);
  [[nodiscard]] std::string take();

 private:
  std::string line_;  // the last whole one
  std::string rest_;
};

}  // namespace penstock::runner
