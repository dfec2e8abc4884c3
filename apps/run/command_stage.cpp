#include "apps/run/command_stage.hpp"

#include <utility>

#include <unistd.h>

#include <penstock/watch/printable.hpp>

namespace penstock::runner {
namespace {

struct slot_lease {
  explicit slot_lease(slots& of) : of_(of), number(of.take()) {}
  ~slot_lease() { of_.give_back(number); }
  slot_lease(const slot_lease&) = delete;
  slot_lease& operator=(const slot_lease&) = delete;

 private:
  slots& of_;

 public:
  const std::size_t number;
};

place_values values_of(const job& j, const std::string& stage, std::size_t slot) {
  return {.item = j.item,
          .in = j.from->item,
          .out = j.out,
          .number = j.number,
          .stage = stage,
          .slot = slot,
          .attempt = j.attempt,
          .columns = &j.from->columns};
}

}  // namespace

command_stage::command_stage(const stage_plan& plan, command_template what, bool is_last, bool out_is_used,
                             run_room& room)
    : plan_(plan), what_(std::move(what)), is_last_(is_last), out_is_used_(out_is_used), room_(room) {}

stage_options command_stage::options() const {
  stage_options o{.workers = plan_.workers, .capacity = plan_.capacity};
  o.ordered = room_.plan.keep_order && !is_last_;  // the last one's order is the output's
  o.on_error = plan_.on_fail == on_fail::stop ? on_error::stop : on_error::skip;
  o.retry = {.attempts = plan_.retries + 1, .backoff = plan_.backoff, .retry_if = [](const std::exception_ptr& cause) {
               try {
                 std::rethrow_exception(cause);
               } catch (const job_failed& e) {
                 return e.worth_another();
               } catch (...) {
                 return false;
               }
             }};
  return o;
}

stage_results command_stage::work(job& j) {
  ++j.attempt;
  attempt_result result;
  {
    const slot_lease slot(slots_);
    result = execute(j, slot.number);
  }
  room_.jobs.collect_strays();
  if (!result.failure.empty()) fail(j, std::move(result));
  return hand_on(j, std::move(result));
}

attempt_result command_stage::execute(const job& j, std::size_t slot) {
  attempt_result result;
  try {
    process::command what = what_.made_for(values_of(j, plan_.name, slot));
    for (const auto& [name, value] : plan_.environment) (void)std::move(what).with(name, value);
    if (!plan_.directory.empty()) (void)std::move(what).in_directory(plan_.directory);

    attempt_options how{.timeout = plan_.timeout, .end = &plan_.end};
    const bool streams = room_.plan.mode == output_mode::line_buffered;
    std::string out_rest, err_rest;
    const int out_to = is_last_ ? STDOUT_FILENO : STDERR_FILENO;
    const bool shown = is_last_ || plan_.show;
    if (is_last_ || plan_.next == passing::lines)
      how.out = streams && is_last_ ? hearing::nothing : hearing::all;
    else
      how.out = shown && !streams ? hearing::all : out_is_used_ ? hearing::last_line : hearing::nothing;
    if (streams) {
      how.on_err = [&](std::string_view part) { room_.shown.stream(STDERR_FILENO, j.item, part, err_rest); };
      // What is kept whole is shown when it is whole.
      if (shown && how.out != hearing::all)
        how.on_out = [&](std::string_view part) { room_.shown.stream(out_to, j.item, part, out_rest); };
    }
    result = attempt(what, how, room_.jobs, room_.ends);
    if (streams) {
      room_.shown.finish_stream(out_to, j.item, out_rest);
      room_.shown.finish_stream(STDERR_FILENO, j.item, err_rest);
    }
  } catch (const std::exception& e) {
    // A value that cannot be given to a program, no descriptor left: it is this job's misfortune, and told as such.
    result.failure = e.what();
  }
  return result;
}

void command_stage::fail(job& j, attempt_result&& result) {
  const bool again = result.started && j.attempt <= plan_.retries && !room_.ends.stopped().stop_requested();
  // Of an attempt that will be repeated only stderr is shown: the output has each item once.
  if (again || !is_last_)
    room_.shown.print_unordered(j.item, result.text, plan_.show ? STDERR_FILENO : -1);
  else
    room_.shown.print(j.turn.get(), j.item, std::move(result.text), STDOUT_FILENO);
  // What is ended with the run is no news, one by one.
  if (!room_.ends.ended().stop_requested())
    room_.shown.say("penstock: " + plan_.name + ": " + printable(j.item) + ": " + printable(result.failure) +
                    (again ? ", trying again" : ""));
  if (!again) {
    // This one is over, and its worker may yet have to wait for others: its place and its turn must not.
    j.turn.reset();
    j.from.reset();
  }
  throw job_failed(result.failure, again);
}

stage_results command_stage::hand_on(job& j, attempt_result&& result) {
  if (is_last_) {
    room_.shown.print(j.turn.get(), j.item, std::move(result.text), STDOUT_FILENO);
    return {};
  }
  room_.shown.print_unordered(j.item, result.text, plan_.show ? STDERR_FILENO : -1);
  // Moved, not copied: the worker may have to wait for room before it lets go of what it was given.
  job next = std::move(j);
  next.attempt = 0;
  if (plan_.next == passing::lines)
    return {std::move(next), result.text.out_file ? line_reader(std::move(result.text.out_file))
                                                  : line_reader(std::move(result.text.out))};
  if (result.text.out_file) {
    line_reader all(std::move(result.text.out_file));
    while (auto line = all.next()) result.last_line = *std::move(line);
  } else if (!result.text.out.empty()) {
    last_line last;
    last.add(result.text.out);
    result.last_line = last.take();
  }
  if (plan_.next == passing::last_line) {
    if (result.last_line.empty()) return {};
    next.item = result.last_line;
  }
  next.out = std::move(result.last_line);
  return stage_results(std::move(next));
}

}  // namespace penstock::runner
