// attempt: one execution of one command: started, heard out, ended in time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

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
};

struct attempt_result {
  process::exit_status status{};
  std::string failure;    // empty: it went well
  std::string last_line;  // hearing::last_line
  printed text{};
  std::uint64_t out_bytes = 0;  // on stdout, kept or not
  std::chrono::system_clock::time_point began{};
  bool started = false;  // false: the command could not be started; `failure` says why
};

inline constexpr std::size_t most_in_memory = std::size_t{1} << 20;

[[nodiscard]] attempt_result attempt(const process::command& what, const attempt_options& options, running_jobs& jobs,
                                     const endings& ends);

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
