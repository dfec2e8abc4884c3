// job_log: a line for each job that has ended, in the columns of GNU parallel's --joblog, and two more: the stage and the
// attempt. Scripts that read the former read this.
//
//   Seq Host Starttime JobRuntime Send Receive Exitval Signal Command Stage Attempt
//
// THREADS  add() at the same time.
// ERRORS   std::system_error from the constructor. A disk that is full is told once through on_broken.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include <penstock/process/exit_status.hpp>

#include "apps/run/append_file.hpp"

namespace penstock::runner {

class job_log {
 public:
  job_log(const std::string& path, append_file::start how, std::function<void(int)> on_broken);

  // A reader of it that does not read is not waited for any more.
  void give_up() noexcept { file_.give_up(); }

  struct line {
    std::string number;
    std::chrono::system_clock::time_point began{};
    std::uint64_t received = 0;  // bytes
    process::exit_status status{};
    std::string command, stage;
    unsigned attempt = 0;
  };
  void add(const line& l);

 private:
  void write(const std::string& record);

  append_file file_;
  const std::function<void(int)> on_broken_;
  std::atomic<bool> told_ = false;
};

}  // namespace penstock::runner
