// command_stage: a stage whose work is a command for each item: the function that the pipeline calls.
//
// OURS     A failure of this tool (the journal, the results directory, what a job printed, a machine without room for one
//          more process) is no failure of the command: it is reported, the run stops, and a job that has succeeded counts
//          as done.
// FAILURE  job_failed, thrown to the pipeline, whose policy says what becomes of it: another attempt, or the end of the
//          item, or of the run.
// THREADS  work() by as many as the stage has workers.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>

#include <penstock/pipeline/options.hpp>
#include <penstock/process/command.hpp>

#include "apps/run/attempt.hpp"
#include "apps/run/command_template.hpp"
#include "apps/run/halting.hpp"
#include "apps/run/job.hpp"
#include "apps/run/job_log.hpp"
#include "apps/run/journal.hpp"
#include "apps/run/machine_gate.hpp"
#include "apps/run/plan.hpp"
#include "apps/run/results_directory.hpp"
#include "apps/run/slots.hpp"
#include "apps/run/stage_results.hpp"
#include "apps/run/worker_pool.hpp"

namespace penstock::runner {

class job_failed : public std::runtime_error {
 public:
  job_failed(const std::string& why, bool worth_another) : std::runtime_error(why), worth_another_(worth_another) {}
  [[nodiscard]] bool worth_another() const noexcept { return worth_another_; }

 private:
  bool worth_another_;
};

// What the stages of a run share.
struct run_room {
  const run_plan& plan;
  output& shown;
  running_jobs& jobs;
  endings& ends;
  halting& halts;
  machine_gate& machine;
  journal* done = nullptr;  // null: none of these was asked for
  job_log* log = nullptr;
  const results_directory* results = nullptr;
  std::atomic<bool> trouble = false;  // something of our own failed, and the run was ended
  std::atomic<bool> shortage_said = false;
  std::atomic<std::uint64_t> done_before = 0, failed_before = 0;  // items at a stage, in earlier runs
};

class command_stage {
 public:
  // out_is_used: by a later stage. REQUIRES: plan and room outlive it.
  // number: of the stage, from 0.
  command_stage(const stage_plan& plan, std::size_t number, command_template what, bool out_is_used, run_room& room);

  // What goes on, if the stage makes lines of an item; else at most one.
  stage_results work(job& j);

  [[nodiscard]] const stage_plan& plan() const noexcept { return plan_; }
  [[nodiscard]] const command_template& what() const noexcept { return what_; }
  // As the pipeline is told.
  [[nodiscard]] stage_options options() const;
  // Of a --worker, when the run is over (worker_pool.hpp).
  [[nodiscard]] bool in_step() noexcept { return workers_.in_step(); }
  [[nodiscard]] journal::key key_of(const job& j) const;

 private:
  attempt_result execute(const job& j, std::size_t slot);
  attempt_result execute_command(const job& j, const place_values& values);
  void keep(const job& j, const place_values& values, const attempt_result& result) noexcept;
  void report_shortage(const std::string& what);
  void report_trouble(const job& j, const std::string& what) noexcept;
  std::string number_of(const job& j) const { return number_ == 0 ? j.number : std::string(); }
  [[noreturn]] void fail(job& j, attempt_result&& result);
  [[nodiscard]] process::command command_for(const place_values& values) const;
  static void let_go(job& j) noexcept;
  stage_results pass_on(job& j, attempt_result&& result);
  stage_results hand_on(job& j, attempt_result&& result);

  const stage_plan& plan_;
  const std::size_t number_;
  const command_template what_;
  const bool is_last_;
  const bool out_is_used_;
  run_room& room_;
  slots slots_;
  worker_pool workers_;  // of a --worker stage
};

}  // namespace penstock::runner
