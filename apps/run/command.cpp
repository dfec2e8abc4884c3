#include "apps/run/command.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <stop_token>

#include <fcntl.h>
#include <unistd.h>

#include <penstock/base/exception_text.hpp>
#include <penstock/base/interrupts.hpp>
#include <penstock/watch/printable.hpp>
#include <penstock/watch/progress.hpp>

#include "apps/run/command_line.hpp"
#include "apps/run/command_template.hpp"
#include "apps/run/help.hpp"
#include "apps/run/item_source.hpp"
#include "apps/run/line.hpp"

namespace penstock::runner {
namespace {

constexpr int exit_failed = 1, exit_usage = 2, exit_interrupted = 130;

// The commands as they would be typed, item by item.
int print_commands(const run_plan& plan, item_source& items, const std::vector<std::string>& column_names) {
  const auto templates = templates_of(plan, column_names);
  std::uint64_t number = 0;
  while (auto item = items.next({})) {
    const std::string n = std::to_string(++number);
    // What a stage would print is not known: its place is shown instead.
    std::string now = item->text, out;
    for (std::size_t i = 0; i < templates.size(); ++i) {
      std::cout << templates[i].text_for({.item = now,
                                          .in = item->text,
                                          .out = out,
                                          .number = n,
                                          .stage = plan.stages[i].name,
                                          .columns = &item->columns})
                << '\n';
      out = "{what " + plan.stages[i].name + " prints}";
      if (plan.stages[i].next != passing::item) now = out;
    }
  }
  std::cout.flush();
  return std::cout ? 0 : exit_failed;
}

// A program that is not there fails with the first item as well as with the millionth.
void check_programs(const std::vector<command_template>& templates) {
  for (const command_template& t : templates)
    if (const std::string name = t.program(); !name.empty() && !process::program_exists(name))
      throw usage_error("there is no program \"" + name + "\" to be found");
}

std::string title_of(const run_plan& plan) {
  std::string title;
  for (const stage_plan& stage : plan.stages) title += (title.empty() ? "" : " → ") + stage.name;
  return title;
}

void write_report(const std::string& path, const report& done) {
  std::ofstream file(path);
  file << to_json(done) << '\n';
  file.close();
  if (!file) throw std::runtime_error("the report could not be written to " + path);
}

// A closed one would be taken by whatever is opened next, and the journal would get the output. What takes its place
// fails as it would.
void hold_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    if (::fcntl(fd, F_GETFD) < 0) (void)!::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int execute(const run_plan& plan) {
  item_source items(plan.items);
  // When the terminal goes, so do the jobs: they are in groups of their own, and nobody else would tell them.
  std::optional<interrupts> signals(std::in_place, std::initializer_list<int>{SIGHUP, SIGQUIT});
  if (items.reads_terminal()) std::cerr << "penstock: items, one on each line; Ctrl-D ends them\n";
  const auto column_names = items.read_header(signals->first());
  if (plan.dry_run) return print_commands(plan, items, column_names);
  check_programs(templates_of(plan, column_names));
  // Whoever reads our output may stop reading: that is an error of write(2) then, not our death. Jobs have the default.
  ::signal(SIGPIPE, SIG_IGN);

  if (plan.nice) (void)!::nice(plan.nice);

  endings ends;
  running_jobs jobs;
  output shown({.tag = plan.tag,
                .window = plan.stages.back().workers.most() + plan.stages.back().capacity,
                .on_broken = [&](int error) {
                  if (error != EPIPE) shown.say("penstock: writing to stdout: " + std::string(std::strerror(error)));
                  ends.end();
                }});
  halting halts(plan.halt, ends, [&] { return items.total(); });
  machine_gate machine(plan.most_load, plan.least_free_memory);
  std::optional<journal> done_so_far;
  if (!plan.journal.empty())
    done_so_far.emplace(plan.journal,
                        plan.retry_failed ? journal::start::retry_failed
                        : plan.resume     ? journal::start::resume
                                          : journal::start::fresh,
                        [&](int error) {
                          shown.say("penstock: " + plan.journal + ": " + std::strerror(error) +
                                    ": what is done cannot be noted any more");
                          ends.stop();
                        });
  std::optional<job_log> log;
  if (!plan.job_log.empty())
    log.emplace(plan.job_log, plan.resume ? append_file::start::as_it_is : append_file::start::empty);
  std::optional<results_directory> results;
  if (!plan.results.empty()) results.emplace(plan.results);

  run_room room{plan,
                shown,
                jobs,
                ends,
                halts,
                machine,
                done_so_far ? &*done_so_far : nullptr,
                log ? &*log : nullptr,
                results ? &*results : nullptr};
  report done;
  {
    const std::stop_callback first(signals->first(), [&] {
      ends.drain();
      if (signals->count() == 1) shown.say("penstock: finishing what is in work; once more (Ctrl-C) to kill it");
    });
    const std::stop_callback second(signals->second(), [&] {
      if (signals->last_signal() == SIGHUP) return ends.end();
      ends.kill();
      jobs.kill_all();
    });
    const std::stop_callback stopped(ends.stopped(), [&] { shown.wait_no_more(); });
    line run(room, items, column_names);
    std::optional<progress> bar;
    if (plan.bar) {
      bar.emplace([&] { return run.snapshot(); },
                  progress_options{.title = title_of(plan), .unit = "items", .total = [&] {
                                     // After an interrupt: what has entered will be finished, and no more comes.
                                     return ends.drained().stop_requested() ? std::optional(run.snapshot().entered)
                                                                            : items.total();
                                   }});
      if (::isatty(STDERR_FILENO) == 1) shown.draw_above([&](const std::string& text) { bar->say(text); });
    }
    done = run.wait();
    shown.finish();
    shown.draw_above({});
    bar.reset();
    if (!run.error().empty() && !halts.ended_well())
      shown.say("penstock: the run ended early: " + printable(run.error()));
  }
  if (room.failed_before)
    shown.say("penstock: " + std::to_string(room.failed_before) +
              " failed in an earlier run; --retry-failed tries again");
  if (!plan.json.empty()) write_report(plan.json, done);
  if (ends.ended().stop_requested() && !jobs.kill_strays())
    shown.say("penstock: some processes that jobs had left behind could not be killed");
  if (signals->count() > 0) return exit_interrupted;
  const bool ended_well = done.outcome == outcome::completed || halts.ended_well();
  return ended_well && done.failed == 0 && !shown.broken() ? 0 : exit_failed;
}

}  // namespace

int run_command(std::span<const std::string> words) {
  hold_standard_descriptors();
  try {
    // For the build, which installs them.
    if (words.size() == 1 && words.front() == "--print-manual") return (std::cout << manual_page()) ? 0 : exit_failed;
    if (words.size() == 1 && words.front() == "--print-bash-completion")
      return (std::cout << bash_completion()) ? 0 : exit_failed;
    if (words.size() == 1 && words.front() == "--print-zsh-completion")
      return (std::cout << zsh_completion()) ? 0 : exit_failed;
    return execute(plan_from(words));
  } catch (const help_wanted&) {
    return (std::cout << help_text()) ? 0 : exit_failed;
  } catch (const std::invalid_argument& e) {
    std::cerr << "penstock run: " << printable(e.what()) << '\n';
    return exit_usage;
  } catch (const std::exception&) {
    std::cerr << "penstock run: " << printable(exception_text(std::current_exception())) << '\n';
    return exit_failed;
  }
}

}  // namespace penstock::runner
