// job_log: a line for each job that has ended, in the columns of GNU parallel's --joblog, and two more: the stage and the
// attempt. Scripts that read the former read this.
//
//   Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Stage Attempt
//
// THREADS  add() at the same time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include <penstock/process/exit_status.hpp>

#include "apps/run/append_file.hpp"

namespace penstock::runner {

class job_log {
 public:
  job_log(const std::string& path, append_file::start how);

  struct line {
    std::string number;
    std::chrono::system_clock::time_point began{};
    std::uint64_t received = 0;  // bytes
    process::exit_status status{};
    std::string command, stage;
    unsigned attempt = 0;
  };
  // errno; 0: none.
  int add(const line& l);

 private:
  append_file file_;
};

}  // namespace penstock::runner
