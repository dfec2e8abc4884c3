// line: a plan as a pipeline at work: items → command stages → output.
//
//   line run(plan, items, header, shown, jobs, ends);
//   report done = run.wait();
//
// The number of stages is known only now, so their nodes are put together one by one; each is the library's thread_stage
// with a command for its function.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <penstock/base/budget.hpp>
#include <penstock/pipeline/report.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/source.hpp>

#include "apps/run/command_stage.hpp"
#include "apps/run/item_source.hpp"

namespace penstock::runner {

class line {
 public:
  // Starts. REQUIRES: everything lent outlives it. Throws template_error (usage); std::system_error for a thread that
  // cannot be had.
  line(run_room& room, item_source& items, const std::vector<std::string>& column_names);
  line(const line&) = delete;
  line& operator=(const line&) = delete;
  ~line();

  [[nodiscard]] report snapshot() const { return control_->snapshot(); }
  // Of a failed run, too: then error() says why it ended.
  report wait();
  // After wait(): the stage with a --worker that has said more than its answers; null: none.
  [[nodiscard]] const std::string* out_of_step() const noexcept;
  [[nodiscard]] const std::string& error() const noexcept { return error_; }

 private:
  void feed(open_source_node<job>& entrance) noexcept;

  run_room& room_;
  item_source& items_;
  std::optional<budget> room_for_items_;
  std::string error_;
  std::uint64_t numbers_ = 0;  // of items; the source's
  std::vector<std::unique_ptr<command_stage>> stages_;
  std::unique_ptr<run_control> control_;  // its threads use what is above
  std::jthread feeder_;                   // ... and it what it feeds
};

// The templates of the plan's stages. Throws template_error, with the stage's name.
[[nodiscard]] std::vector<command_template> templates_of(const run_plan& plan,
                                                         const std::vector<std::string>& column_names);
// How many items may be under way: what was said, or what the stages add up to.
[[nodiscard]] std::size_t most_in_flight(const run_plan& plan);

}  // namespace penstock::runner
