#include "apps/run/command.hpp"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <exception>
#include <iostream>
#include <optional>
#include <stop_token>

#include <unistd.h>

#include <penstock/base/exception_text.hpp>
#include <penstock/base/interrupts.hpp>
#include <penstock/watch/printable.hpp>

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

int execute(const run_plan& plan) {
  item_source items(plan.items);
  std::optional<interrupts> signals(std::in_place);
  if (items.reads_terminal()) std::cerr << "penstock: items, one on each line; Ctrl-D ends them\n";
  const auto column_names = items.read_header(signals->first());
  if (plan.dry_run) return print_commands(plan, items, column_names);
  check_programs(templates_of(plan, column_names));
  // Whoever reads our output may stop reading: that is an error of write(2) then, not our death. Jobs have the default.
  ::signal(SIGPIPE, SIG_IGN);

  endings ends;
  running_jobs jobs;
  output shown({.tag = plan.tag,
                .window = plan.stages.back().workers.most() + plan.stages.back().capacity,
                .on_broken = [&](int error) {
                  if (error != EPIPE) shown.say("penstock: writing to stdout: " + std::string(std::strerror(error)));
                  ends.end();
                }});
  run_room room{plan, shown, jobs, ends};
  report done;
  {
    const std::stop_callback first(signals->first(), [&] {
      ends.drain();
      shown.say("penstock: finishing what is in work; once more (Ctrl-C) to kill it");
    });
    const std::stop_callback second(signals->second(), [&] {
      ends.kill();
      jobs.kill_all();
    });
    const std::stop_callback stopped(ends.stopped(), [&] { shown.wait_no_more(); });
    line run(room, items, column_names);
    done = run.wait();
    shown.finish();
    if (!run.error().empty()) shown.say("penstock: the run ended early: " + printable(run.error()));
  }
  if (ends.ended().stop_requested() && !jobs.kill_strays())
    shown.say("penstock: some processes that jobs had left behind could not be killed");
  if (signals->count() > 0) return exit_interrupted;
  return done.outcome == outcome::completed && done.failed == 0 && !shown.broken() ? 0 : exit_failed;
}

}  // namespace

int run_command(std::span<const std::string> words) {
  try {
    if (asks_for_help(words)) {
      std::cout << help_text();
      return 0;
    }
    return execute(plan_from(words));
  } catch (const std::invalid_argument& e) {
    std::cerr << "penstock run: " << printable(e.what()) << '\n';
    return exit_usage;
  } catch (const std::exception&) {
    std::cerr << "penstock run: " << printable(exception_text(std::current_exception())) << '\n';
    return exit_failed;
  }
}

}  // namespace penstock::runner
