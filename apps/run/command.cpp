#include "apps/run/command.hpp"

#include <algorithm>
#include <atomic>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <exception>
#include <fstream>
#include <initializer_list>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <system_error>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <penstock/base/exception_text.hpp>
#include <penstock/base/interrupts.hpp>
#include <penstock/base/unique_fd.hpp>
#include <penstock/watch/printable.hpp>
#include <penstock/watch/progress.hpp>

#include "apps/run/command_line.hpp"
#include "apps/run/command_template.hpp"
#include "apps/run/help.hpp"
#include "apps/run/item_source.hpp"
#include "apps/run/line.hpp"
#include "apps/run/nearest.hpp"

namespace penstock::runner {
namespace {

constexpr int exit_failed = 1, exit_usage = 2, exit_interrupted = 130;

// In its directory and with its variables, where it has any; in a shell of its own, for the next one.
std::string typed_command(const stage_plan& stage, const std::string& text) {
  if (stage.directory.empty() && stage.environment.empty()) return text;
  std::string before;
  if (!stage.directory.empty()) before += "cd -- " + process::shell_quoted(stage.directory.string()) + " && ";
  for (const auto& [name, value] : stage.environment)
    before += "export " + name + '=' + process::shell_quoted(value) + " && ";
  return '(' + before + "{ " + text + "\n})";
}

// The commands as they would be typed, item by item.
int print_commands(const run_plan& plan, item_source& items, const std::vector<std::string>& column_names) {
  const auto templates = templates_of(plan, column_names);
  std::uint64_t number = 0;
  while (auto item = items.next({})) {
    const std::string n = std::to_string(++number);
    // What a stage would print is not known: its place is shown instead.
    std::string now = item->text, out;
    for (std::size_t i = 0; i < templates.size(); ++i) {
      std::cout << typed_command(plan.stages[i], templates[i].text_for({.item = now,
                                                                        .in = item->text,
                                                                        .out = out,
                                                                        .number = n,
                                                                        .stage = plan.stages[i].name,
                                                                        .columns = &item->columns}))
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
    if (const std::string name = t.program(); !name.empty() && !process::program_exists(name)) {
      const bool there = name.find('/') != name.npos && ::access(name.c_str(), F_OK) == 0;
      throw usage_error(there ? name + " is there, but it cannot be executed: is it a program? (chmod +x)"
                              : "there is no program \"" + name + "\" to be found");
    }
}

// What is nearly a column's name is text, such as a part of awk's program; more often it is a slip, and as text it would be
// in every job.
void warn_of_slips(const run_plan& plan, const std::vector<std::string>& column_names) {
  const auto is_of_name = [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-' || c == ' ' || c >= 0x80;
  };
  for (auto name = column_names.begin(); name != column_names.end(); ++name)
    if (!name->empty() && std::find(column_names.begin(), name, *name) != name)
      std::cerr << "penstock: two columns are called " << printable(*name) << ": {" << printable(*name)
                << "} is the first of them\n";
  for (const stage_plan& stage : plan.stages)
    for (const std::string& word : stage.words)
      for (std::size_t at = word.find('{'); at != word.npos; at = word.find('{', at + 1)) {
        const std::size_t end = word.find('}', at);
        if (end == word.npos) break;
        const std::string name = word.substr(at + 1, end - at - 1);
        const bool is_shells = at > 0 && (word[at - 1] == '$' || word[at - 1] == '\\' || word[at - 1] == '{');
        if (is_shells || name.size() < 3 || !std::all_of(name.begin(), name.end(), is_of_name) ||
            std::find(column_names.begin(), column_names.end(), name) != column_names.end() || name == "out")
          continue;
        if (const std::string meant = nearest(name, column_names); !meant.empty())
          std::cerr << "penstock: {" << printable(name) << "} is no column, and stays as it is; did you mean {"
                    << printable(meant) << "}?\n";
      }
}

// What cannot be opened is told before hours of work, and not after.
template <class Open>
void open_for(const char* option, Open open) {
  try {
    open();
  } catch (const std::system_error& e) {
    throw usage_error(std::string(option) + ' ' + e.what());
  }
}
void check_writable(const std::string& path) {
  const unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0666));
  if (!file) throw std::system_error(errno, std::generic_category(), path);
}

// Each job needs descriptors, and without one it would fail for no fault of its own. So the limit is raised as far as it may
// be (jobs see that only where hundreds were asked for), and where that is not enough there are fewer workers. What is to be
// said about it; empty: nothing.
std::string fit_to_descriptors(run_plan& plan) {
  constexpr std::size_t for_us = 32, for_a_worker = 7;  // pipes, pidfd, files for much output, its processor time
  std::size_t workers = 0;
  for (const stage_plan& stage : plan.stages) workers += stage.workers.most();
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return {};
  const std::size_t needed = for_us + workers * for_a_worker;
  // Output that waits for its turn may be in files, too.
  const std::size_t wanted = needed + (plan.keep_order ? 2 * most_in_flight(plan) : 0);
  if (limit.rlim_cur >= wanted) return {};
  rlimit raised = limit;
  raised.rlim_cur = std::min<rlim_t>(wanted, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &raised) == 0) limit = raised;
  if (limit.rlim_cur >= needed) return {};
  const std::size_t room = limit.rlim_cur > for_us ? (limit.rlim_cur - for_us) / for_a_worker : 1;
  std::size_t left = 0;
  for (stage_plan& stage : plan.stages) {
    const std::size_t most = std::max<std::size_t>(1, stage.workers.most() * room / workers);
    stage.workers = worker_count(std::min(stage.workers.least(), most), most);
    left += most;
  }
  return "penstock: " + std::to_string(left) + " workers instead of " + std::to_string(workers) +
         ": no more files may be open (ulimit -n)";
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

// Ignored, SIGCHLD makes the kernel forget how a job ended; blocked signals could not end the run. Both are inherited from
// the program that started this one, and seldom meant.
void accept_signals() {
  ::signal(SIGCHLD, SIG_DFL);
  sigset_t all;
  sigfillset(&all);
  ::pthread_sigmask(SIG_UNBLOCK, &all, nullptr);
}

int execute(run_plan plan) {
  item_source items(plan.items);
  // When the terminal goes, so do the jobs: they are in groups of their own, and nobody else would tell them.
  // Not of a dry run, which a signal just ends.
  std::optional<interrupts> signals;
  if (!plan.dry_run) signals.emplace(std::initializer_list<int>{SIGHUP, SIGQUIT}, std::chrono::milliseconds(200));
  if (items.reads_terminal()) std::cerr << "penstock: items, one on each line; Ctrl-D ends them\n";
  const auto column_names = items.read_header(signals ? signals->first() : std::stop_token{});
  warn_of_slips(plan, column_names);
  if (plan.dry_run) return print_commands(plan, items, column_names);
  check_programs(templates_of(plan, column_names));
  // Whoever reads our output may stop reading: that is an error of write(2) then, not our death. Jobs have the default.
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // the same of a file that must not grow (ulimit -f)

  const std::string fewer = fit_to_descriptors(plan);

  if (plan.nice) (void)!::nice(plan.nice);

  endings ends;
  running_jobs jobs;
  output shown({.tag = plan.tag,
                .window = plan.stages.back().workers.most() + plan.stages.back().capacity,
                .on_broken = [&](int error) {
                  // With a reader that has gone nothing is wrong. Else what runs may still do its work.
                  if (error == EPIPE) return ends.end();
                  shown.say(error == ECANCELED
                                ? std::string("penstock: stdout is not read: what is left of the output is lost")
                                : "penstock: writing to stdout: " + std::string(std::strerror(error)));
                  ends.stop();
                }});
  if (!fewer.empty()) shown.say(fewer);
  halting halts(plan.halt, ends, [&] { return items.total(); });
  machine_gate machine(plan.most_load, plan.least_free_memory, [&] {
    shown.say("penstock: jobs wait until the machine has room for them (--load, --memfree)");
  });
  std::optional<journal> done_so_far;
  const auto open_journal = [&] {
    done_so_far.emplace(plan.journal,
                        plan.retry_failed ? journal::start::retry_failed
                        : plan.resume     ? journal::start::resume
                                          : journal::start::fresh,
                        [&](int error) {
                          shown.say("penstock: " + plan.journal + ": " + std::strerror(error) +
                                    ": what is done cannot be noted any more, so the run stops");
                          ends.stop();
                        });
  };
  if (!plan.journal.empty()) open_for("--journal", open_journal);
  std::atomic<bool> log_is_whole = true;
  std::optional<job_log> log;
  const auto open_log = [&] {
    log.emplace(plan.job_log, plan.resume ? append_file::start::as_it_is : append_file::start::empty, [&](int error) {
      log_is_whole = false;
      shown.say("penstock: --joblog " + plan.job_log + ": " + std::strerror(error) + ": it is not whole");
    });
  };
  if (!plan.job_log.empty()) open_for("--joblog", open_log);
  std::optional<results_directory> results;
  if (!plan.results.empty()) open_for("--results", [&] { results.emplace(plan.results, plan.resume); });
  if (!plan.json.empty()) open_for("--json", [&] { check_writable(plan.json); });
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
  bool in_step = true;
  {
    const std::stop_callback first(signals->first(), [&] {
      ends.drain();
      if (signals->count() == 1) shown.announce("penstock: finishing what is in work; once more (Ctrl-C) to kill it");
    });
    const std::stop_callback second(signals->second(), [&] {
      shown.give_up();
      if (log) log->give_up();
      if (done_so_far) done_so_far->give_up();
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
    if (const std::string* name = run.out_of_step()) {
      in_step = false;
      shown.say("penstock: " + *name +
                ": a --worker said more than one line for an item: some answers above may belong to "
                "other items");
    }
    if (!run.error().empty() && !halts.ended_well())
      shown.say("penstock: the run ended early: " + printable(run.error()));
  }
  if (room.failed_before)
    shown.say("penstock: " + std::to_string(room.failed_before) +
              " failed in an earlier run; --retry-failed tries again");
  if (done_so_far) {
    const auto unwritten = done_so_far->close();
    if (!unwritten.empty()) {
      shown.say("penstock: " + plan.journal + ": " + std::to_string(unwritten.size()) +
                " records could not be written. --resume would do these jobs again: append the following lines to it "
                "first");
      for (const std::string& record : unwritten) shown.say(record.substr(0, record.size() - 1));
    }
  }
  const int interrupted = signals->count();
  if (!plan.json.empty()) {
    signals.reset();  // what it is written to may not be read: a signal ends this program then
    write_report(plan.json, done);
  }
  if (ends.ended().stop_requested() && !jobs.kill_strays())
    shown.say("penstock: some processes that jobs had left behind could not be killed");
  if (interrupted > 0) return exit_interrupted;
  const bool ended_well = done.outcome == outcome::completed || halts.ended_well();
  return ended_well && done.failed == 0 && !shown.broken() && log_is_whole && in_step && !room.trouble &&
                 (!done_so_far || done_so_far->is_whole())
             ? 0
             : exit_failed;
}

}  // namespace

int run_command(std::span<const std::string> words) {
  hold_standard_descriptors();
  accept_signals();
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
