#include "apps/run/command_stage.hpp"

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

#include <penstock/base/sleep.hpp>
#include <penstock/process/spawn.hpp>
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

constexpr const char* not_begun = "not begun";

// A message says which item it was; it need not say all of a megabyte.
std::string shortened(std::string text) {
  constexpr std::size_t most = 300;
  if (text.size() <= most) return text;
  std::size_t end = most;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // not within a letter
  return text.substr(0, end) + "… (" + std::to_string(text.size()) + " bytes)";
}

// All of a file, from its beginning; with a newline at its end.
std::string text_of(const unique_fd& file) {
  std::string text;
  std::array<char, 65536> block;
  for (int failed = 0;;) {
    const ssize_t got = ::pread(file.get(), block.data(), block.size(), static_cast<off_t>(text.size()));
    if (got > 0) {
      text.append(block.data(), static_cast<std::size_t>(got));
    } else if (got == 0) {
      break;
    } else if (errno != EINTR && ++failed == 3) {
      throw std::system_error(errno, std::generic_category(), "reading back what a job printed");
    }
  }
  if (!text.empty() && text.back() != '\n') text += '\n';
  return text;
}

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

command_stage::command_stage(const stage_plan& plan, std::size_t number, command_template what, bool out_is_used,
                             run_room& room)
    : plan_(plan),
      number_(number),
      what_(std::move(what)),
      is_last_(number + 1 == room.plan.stages.size()),
      out_is_used_(out_is_used),
      room_(room),
      workers_(plan.worker ? plan.workers.most() : 0, room.jobs, room.ends) {}

stage_options command_stage::options() const {
  stage_options o{.workers = plan_.workers, .capacity = plan_.capacity};
  o.ordered = room_.plan.keep_order && !is_last_;  // the last one's order is the output's
  o.on_error = on_error::skip;  // --on-fail stop is fail()'s: others than the pipeline have to be told, too
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

// What its command can see, and what it is.
journal::key command_stage::key_of(const job& j) const {
  std::vector<std::string_view> parts{plan_.name, what_.text(), j.item};
  if (what_.uses(place::what::in)) parts.push_back(j.from->item);
  if (what_.uses(place::what::out)) parts.push_back(j.out);
  if (what_.uses(place::what::column))
    for (const std::string& column : j.from->columns) parts.push_back(column);
  return journal::key_of(parts);
}

stage_results command_stage::work(job& j) {
  if (room_.done && j.attempt == 0) {
    journal::earlier before = room_.done->take(key_of(j));
    switch (before.what) {
      case journal::state::unknown:
        break;
      case journal::state::done: {
        ++room_.done_before;
        attempt_result as_it_was;
        if (!is_last_ && plan_.next == passing::lines)
          as_it_was.text.out = std::move(before.result);
        else
          as_it_was.last_line = std::move(before.result);
        return pass_on(j, std::move(as_it_was));
      }
      case journal::state::failed:
        ++room_.failed_before;
        let_go(j);
        throw job_failed("failed in an earlier run", false);
    }
  }
  ++j.attempt;
  attempt_result result;
  if (room_.done && !j.record) {
    // The texts that belong to a job of a stage: its name, a reason, the last line that it printed.
    constexpr std::size_t most_of_a_record = 512;
    j.record = room_.done->reserve(most_of_a_record + plan_.name.size());
  }
  if (room_.done && !j.record) {
    result.failure = not_begun;
  } else if (room_.machine.enter(number_, room_.ends.stopped())) {
    const slot_lease slot(slots_);
    result = execute(j, slot.number);
  } else {
    result.failure = not_begun;
  }
  room_.jobs.collect_strays();
  if (!result.failure.empty()) fail(j, std::move(result));
  return hand_on(j, std::move(result));
}

attempt_result command_stage::execute(const job& j, std::size_t slot) {
  attempt_result result;
  const place_values values = values_of(j, plan_.name, slot);
  try {
    if (plan_.worker && j.item.find('\n') != j.item.npos)
      result.failure = "has a newline in it, and a --worker is written each item as one line";
    else if (plan_.worker)
      result = workers_.ask(
          slot, j.item, plan_.timeout, [&] { return command_for({.number = "", .stage = plan_.name, .slot = slot}); },
          [this] {
            room_.shown.say(
                "penstock: " + plan_.name +
                ": no answer from the --worker for 3 s. It must print a line for each line that it reads, and "
                "at once: sed -u, grep --line-buffered, python3 -u, fflush() in awk");
          },
          [this](const std::string& what) { report_shortage(what); });
    else
      result = execute_command(j, values);
  } catch (const std::exception& e) {
    // A value that cannot be given to a program.
    result.failure = e.what();
  }
  keep(j, values, result);
  return result;
}

process::command command_stage::command_for(const place_values& values) const {
  // Workers must not keep their answers to themselves (worker_pool.hpp).
  // One named from here would be looked for in its directory by stdbuf.
  const bool relative = !plan_.directory.empty() && what_.program().find('/') != std::string::npos;
  const bool unbuffered = plan_.worker && !relative && process::program_exists("stdbuf");
  process::command what =
      what_.made_for(values, unbuffered ? std::vector<std::string>{"stdbuf", "-oL"} : std::vector<std::string>{});
  if (plan_.worker && !std::getenv("PYTHONUNBUFFERED"))
    what = process::command(std::move(what).with("PYTHONUNBUFFERED", "1"));
  for (const auto& [name, value] : plan_.environment) {
    process::command with_it = std::move(what).with(name, value);
    what = std::move(with_it);
  }
  if (plan_.directory.empty()) return what;
  return std::move(what).in_directory(plan_.directory);
}

attempt_result command_stage::execute_command(const job& j, const place_values& values) {
  attempt_options how{.timeout = plan_.timeout, .end = &plan_.end};
  how.on_shortage = [this](const std::string& what) { report_shortage(what); };
  const bool streams = room_.plan.mode == output_mode::line_buffered;
  std::string out_rest, err_rest;
  const int out_to = is_last_ ? STDOUT_FILENO : STDERR_FILENO;
  const bool shown = is_last_ || plan_.show;
  if (is_last_ || plan_.next == passing::lines || room_.results)
    how.out = streams && is_last_ ? hearing::nothing : hearing::all;
  else
    how.out = shown && !streams ? hearing::all : out_is_used_ ? hearing::last_line : hearing::nothing;
  if (streams) {
    how.on_err = [&](std::string_view part) { room_.shown.stream(STDERR_FILENO, j.item, part, err_rest); };
    // What is kept whole is shown when it is whole.
    if (shown && how.out != hearing::all)
      how.on_out = [&](std::string_view part) { room_.shown.stream(out_to, j.item, part, out_rest); };
  }
  attempt_result result = attempt(command_for(values), how, room_.jobs, room_.ends);
  if (streams) {
    room_.shown.finish_stream(out_to, j.item, out_rest);
    room_.shown.finish_stream(STDERR_FILENO, j.item, err_rest);
  }
  return result;
}

// Whatever becomes of it, the job is what it was.
void command_stage::keep(const job& j, const place_values& values, const attempt_result& result) noexcept {
  for (int tries = 1;; ++tries) {
    try {
      if (room_.log && tries == 1)
        room_.log->add({.number = j.number,
                        .began = result.began,
                        .received = result.out_bytes,
                        .status = result.status,
                        .command = what_.text_for(values),
                        .stage = plan_.name,
                        .attempt = j.attempt});
    } catch (const std::exception& e) {
      report_trouble(j, std::string("cannot be written to the job log: ") + e.what());
    }
    try {
      if (room_.results)
        room_.results->keep(plan_.name, j.position, j.item,
                            result.failure.empty() ? process::to_string(result.status) : result.failure, result.text);
      return;
    } catch (const std::exception& e) {
      // One that is short of descriptors now may have one in a moment.
      if (tries == 3) return report_trouble(j, std::string("what it printed cannot be kept (--results): ") + e.what());
      (void)sleep_for(std::chrono::milliseconds(20), {});
    }
  }
}

void command_stage::report_shortage(const std::string& what) {
  if (!room_.shortage_said.exchange(true))
    room_.shown.say("penstock: " + plan_.name + ": " + printable(what) + ": trying again until there is room");
}

void command_stage::report_trouble(const job& j, const std::string& what) noexcept {
  room_.trouble = true;
  try {
    room_.shown.say("penstock: " + plan_.name + ": " + shortened(printable(j.item)) + ": " + printable(what));
  } catch (...) {
    // No memory for a message: the exit code says so.
  }
  room_.ends.stop();
}

// Of a job that is over. The pipeline destroys it when its worker is done with all it took at once, and until then that one
// may have to wait for others: the job's turn and its place in flight must not wait with it.
void command_stage::let_go(job& j) noexcept {
  j.turn.reset();
  j.from.reset();
  j.record.reset();
}

void command_stage::fail(job& j, attempt_result&& result) {
  const bool again =
      result.started && !result.is_ours && j.attempt <= plan_.retries && !room_.ends.stopped().stop_requested();
  const bool is_its_own_fault = !room_.ends.ended().stop_requested() && result.failure != not_begun && !result.is_ours;
  // A retry that was hurried because the run drains says little: a resumed run tries again.
  const bool was_hurried = plan_.retries > 0 && j.attempt > 1 && room_.ends.drained().stop_requested();
  std::function<void(int)> note;
  if (room_.done && !again && is_its_own_fault && !was_hurried)
    note = [this, k = key_of(j), attempt = j.attempt, why = result.failure.substr(0, 300), number = number_of(j),
            record = j.record](int) { room_.done->note_failed(k, plan_.name, attempt, why, number); };
  // Of an attempt that will be repeated only stderr is shown: the output has each item once.
  if (again || !is_last_) {
    room_.shown.print_unordered(j.item, result.text, plan_.show ? STDERR_FILENO : -1);
    if (note) note(0);
  } else {
    room_.shown.print(j.turn.get(), j.item, std::move(result.text), STDOUT_FILENO, std::move(note));
  }
  // What is ended with the run is no news, one by one.
  if (is_its_own_fault)
    room_.shown.say("penstock: " + plan_.name + ": " + shortened(printable(j.item)) + ": " + printable(result.failure) +
                    (again ? ", trying again" : ""));
  else if (result.is_ours && !room_.ends.ended().stop_requested())
    report_trouble(j, result.failure + ": this is no failure of the command, and the run stops");
  if (!again) {
    let_go(j);
    if (is_its_own_fault) {
      room_.halts.one_failed();
      if (plan_.on_fail == on_fail::stop) room_.ends.stop();
    }
  }
  throw job_failed(result.failure, again);
}

stage_results command_stage::hand_on(job& j, attempt_result&& result) {
  if (!result.lost.empty()) report_trouble(j, "it has succeeded, but what it printed is lost: " + result.lost);
  if (is_last_) {
    // Noted when it is written, so that a kill in between loses nothing of the output. One that cannot be written is no
    // reason to do the job again.
    std::function<void(int)> note = [this, k = room_.done ? key_of(j) : journal::key{}, attempt = j.attempt,
                                     number = number_of(j), record = j.record, item = j.item,
                                     quiet = result.text.out.empty() && !result.text.out_file](int error) {
      // With stdout closed from the beginning this run was a mistake: it ends with the first output, and counts for nothing.
      if (error == EBADF) return;
      if (room_.done) room_.done->note_done(k, plan_.name, attempt, {}, number);
      if (!error || error == EPIPE || quiet) return;
      room_.shown.say("penstock: " + plan_.name + ": " + shortened(printable(item)) +
                      ": it has succeeded, but what it printed is lost");
    };
    room_.shown.print(j.turn.get(), j.item, std::move(result.text), STDOUT_FILENO, std::move(note));
    room_.halts.one_succeeded();
    let_go(j);
    return {};
  }
  room_.shown.print_unordered(j.item, result.text, plan_.show ? STDERR_FILENO : -1);
  std::string lines;
  try {
    if (plan_.next != passing::lines) {
      if (result.text.out_file) {
        line_reader all(std::move(result.text.out_file));
        while (auto line = all.next()) result.last_line = *std::move(line);
      } else if (!result.text.out.empty()) {
        last_line last;
        last.add(result.text.out);
        result.last_line = last.take();
      }
    }
    // For the journal: with what later stages need, so that they can go on without this one being done again.
    if (room_.done && plan_.next == passing::lines) {
      if (result.text.out_file) {
        lines = text_of(result.text.out_file);
      } else {
        lines = result.text.out;
      }
    }
  } catch (const std::exception& e) {
    if (result.lost.empty())
      report_trouble(j, std::string("it has succeeded, but what it printed is lost: ") + e.what());
    result.lost = e.what();
  }
  if (!result.lost.empty() && (out_is_used_ || plan_.next != passing::item)) {
    // The result is lost, so the next stage cannot go on. The command succeeded and must not run again unasked, so it is
    // noted as a failure.
    if (room_.done) room_.done->note_failed(key_of(j), plan_.name, j.attempt, "what it printed is lost", number_of(j));
    let_go(j);
    throw job_failed("what it printed is lost", false);
  }
  if (room_.done)
    room_.done->note_done(key_of(j), plan_.name, j.attempt,
                          plan_.next == passing::lines ? std::string_view(lines)
                          : out_is_used_               ? std::string_view(result.last_line)
                                                       : std::string_view{},
                          number_of(j));
  j.record.reset();
  return pass_on(j, std::move(result));
}

// result: with its last line found.
stage_results command_stage::pass_on(job& j, attempt_result&& result) {
  if (is_last_) {
    room_.halts.one_succeeded();
    let_go(j);
    return {};
  }
  // Moved, not copied: the worker may have to wait for room before it lets go of what it was given.
  job next = std::move(j);
  next.attempt = 0;
  if (plan_.next == passing::lines)
    return {std::move(next), result.text.out_file ? line_reader(std::move(result.text.out_file))
                                                  : line_reader(std::move(result.text.out))};
  if (plan_.next == passing::last_line) {
    if (result.last_line.empty()) {
      room_.halts.one_succeeded();  // nothing goes on: it has come to its end
      return {};
    }
    next.item = result.last_line;
  }
  next.out = std::move(result.last_line);
  return stage_results(std::move(next));
}

}  // namespace penstock::runner
