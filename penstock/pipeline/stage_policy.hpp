// stage_policy: what a stage does about a failed attempt: another one, a dead letter, a recorded failure, the end of
// the run. It knows no item types, so it is compiled once.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>

#include <penstock/pipeline/options.hpp>
#include <penstock/pipeline/run_control.hpp>
#include <penstock/pipeline/worker.hpp>

namespace penstock {

// What can be known about a stage's function and items at compile time.
struct stage_abilities {
  bool is_sink = false;
  bool takes_stop = false;     // the function takes a std::stop_token
  bool can_keep_item = false;  // after a failed attempt the item, or a copy of it, is still there
  bool shareable = false;      // the function may be called by several workers at once
  bool knows_bytes = false;    // items tell their size
  bool own_threads = false;    // a worker is a thread
};

class stage_policy {
 public:
  stage_policy(std::string stage, stage_options options, stage_abilities abilities, run_control& control);

  // Throws std::invalid_argument if the options contradict each other or the stage's abilities.
  void check() const;

  [[nodiscard]] const std::string& stage() const noexcept { return stage_; }
  [[nodiscard]] const stage_options& options() const noexcept { return options_; }
  [[nodiscard]] run_control& control() const noexcept { return control_; }

  // Whether the item has to survive this attempt.
  [[nodiscard]] bool must_keep(unsigned attempt) const noexcept {
    return attempt < options_.retry.attempts || options_.dead_letter != nullptr;
  }
  // After a failed attempt: the pause before the next one; empty: there is none.
  [[nodiscard]] std::optional<std::chrono::nanoseconds> pause_after(unsigned attempt,
                                                                    const std::exception_ptr& cause) const;
  // After a failed attempt: true once the pause before the next one is over, which a drain cuts short; false if there is
  // none, or a stop came in between.
  bool try_again(unsigned attempt, const std::exception_ptr& cause, worker& self) const;

  enum class verdict { failed, dead_lettered };
  // The item's last attempt failed. `item` is empty if the function has used it up. Records, and ends the run if it
  // must.
  verdict give_up(item_place place, const std::exception_ptr& cause, erased_item item,
                  const std::vector<worker>& workers) noexcept;

 private:
  [[nodiscard]] bool is_fatal(const std::vector<worker>& workers) noexcept;

  const std::string stage_;
  const stage_options options_;
  const stage_abilities abilities_;
  run_control& control_;
  std::atomic<std::uint64_t> failed_ = 0;
};

}  // namespace penstock
