#include "apps/run/vocabulary.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <optional>
#include <thread>
#include <vector>

#include <sched.h>

#include "apps/run/nearest.hpp"

namespace penstock::runner {
namespace {

std::optional<double> number_before(const std::string& text, std::string_view& unit) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || !(number >= 0) || number > 1e15) return std::nullopt;
  unit = std::string_view(text).substr(static_cast<std::size_t>(end - text.data()));
  return number;
}

std::size_t count_from(const std::string& text, std::size_t least, const char* what) {
  std::size_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size() || number < least || number > 1'000'000'000)
    throw usage_error("\"" + text + "\" is not " + what);
  return number;
}

// 4, 150%, auto, 2..16
worker_count workers_from(const std::string& text) {
  constexpr auto expected = "a number of workers: write 4, 50% (of the processors), 2..16, or auto";
  constexpr std::size_t most = 10'000;  // each is a thread
  const auto checked = [&](std::size_t n) {
    if (n == 0 || n > most) throw usage_error("\"" + text + "\" is not " + expected);
    return n;
  };
  if (text == "auto") return automatic;
  if (const auto dots = text.find(".."); dots != text.npos) {
    const auto least = checked(count_from(text.substr(0, dots), 1, expected));
    const auto largest = checked(count_from(text.substr(dots + 2), 1, expected));
    if (least > largest) throw usage_error("\"" + text + "\" ends before it begins");
    return {least, largest};
  }
  if (text.ends_with('%'))
    return std::max<std::size_t>(
        1, checked(count_from(text.substr(0, text.size() - 1), 1, expected)) * processors() / 100);
  return checked(count_from(text, 1, expected));
}

// now|soon,fail|success|done=N|N%
halt_rule halt_from(const std::string& text) {
  const auto wrong = usage_error("\"" + text + "\" is not a rule such as now,fail=1 or soon,done=50%");
  const auto comma = text.find(','), equals = text.find('=');
  if (comma == text.npos || equals == text.npos || equals < comma) throw wrong;
  const std::string when = text.substr(0, comma), what = text.substr(comma + 1, equals - comma - 1);
  halt_rule rule;
  rule.now = when == "now";
  rule.what = what == "fail"      ? halt_rule::of::fail
              : what == "success" ? halt_rule::of::success
              : what == "done"    ? halt_rule::of::done
                                  : halt_rule::of::never;
  std::string_view unit;
  const auto number = number_before(text.substr(equals + 1), unit);
  const bool share = text.ends_with('%');
  if ((when != "now" && when != "soon") || rule.what == halt_rule::of::never || !number || *number <= 0 ||
      (share && *number > 100))
    throw wrong;
  if (share)
    rule.share = *number / 100;
  else
    rule.count = count_from(text.substr(equals + 1), 1, "a number of items");
  return rule;
}

process::termination termination_from(const std::string& text) {
  try {
    return process::termination(text);
  } catch (const std::invalid_argument&) {
    throw usage_error("\"" + text + "\" is not a sequence of signals and times, such as TERM,2s,KILL");
  }
}

// Elsewhere - is often standard output. Here it would be a file of that name, which nobody wants.
const std::string& file_from(const std::string& name) {
  if (name == "-") throw usage_error("- is not a file here: say /dev/stdout, /dev/stderr, or ./- if it is called so");
  return name;
}

const std::array words{
    // --- items ---
    word{"arg-file", 'a', "FILE", scope::run, "items",
         "Items from FILE instead of stdin; several times: one file after the other",
         [](run_plan& r, stage_plan&, const std::string& v) { r.items.files.push_back(v); }},
    word{"null", '0', "", scope::run, "items", "Items end with a zero byte, as find -print0 writes them",
         [](run_plan& r, stage_plan&, const std::string&) { r.items.end = '\0'; }},
    word{"csv", 0, "", scope::run, "items", "Items are lines of comma separated values: {1} {2} … are columns",
         [](run_plan& r, stage_plan&, const std::string&) { r.items.format = item_format::csv; }},
    word{"tsv", 0, "", scope::run, "items", "The same with tabs, which no value contains",
         [](run_plan& r, stage_plan&, const std::string&) { r.items.format = item_format::tsv; }},
    word{"colsep", 0, "TEXT", scope::run, "items", "The same with TEXT between columns",
         [](run_plan& r, stage_plan&, const std::string& v) {
           if (v.empty()) throw usage_error("columns need something between them, such as ':'");
           r.items.format = item_format::separated;
           r.items.separator = v;
         }},
    word{"header", 0, "", scope::run, "items", "The first line names the columns: {name}",
         [](run_plan& r, stage_plan&, const std::string&) { r.items.header = true; }},
    // --- flow ---
    word{"max-in-flight", 0, "N", scope::run, "flow",
         "At most N items between input and end; by default as many as workers and capacities add up to",
         [](run_plan& r, stage_plan&, const std::string& v) {
           r.max_in_flight = count_from(v, 1, "a number of items from 1");
         }},
    word{"dry-run", 'n', "", scope::run, "flow", "Print the commands, execute none",
         [](run_plan& r, stage_plan&, const std::string&) { r.dry_run = true; }},
    word{"keep-order", 'k', "", scope::anywhere, "flow",
         "The output comes in the order of the items, whichever is done first; all stages keep it",
         [](run_plan& r, stage_plan&, const std::string&) { r.keep_order = true; }},
    // --- output ---
    word{"group", 0, "", scope::run, "output", "What a job prints appears at once when it has ended (the default)",
         [](run_plan& r, stage_plan&, const std::string&) { r.mode = output_mode::grouped; }},
    word{"line-buffer", 0, "", scope::run, "output", "It appears line by line; lines of different jobs alternate",
         [](run_plan& r, stage_plan&, const std::string&) { r.mode = output_mode::line_buffered; }},
    word{"tag", 0, "", scope::run, "output", "Each line begins with the item and a tab",
         [](run_plan& r, stage_plan&, const std::string&) { r.tag = true; }},
    word{
        "results", 0, "DIR", scope::run, "output",
        "Keep what every job printed in files: DIR/STAGE/NUMBER/stdout, stderr, item and status. With --resume an item "
        "whose NUMBER was another's is NUMBER~2",
        [](run_plan& r, stage_plan&, const std::string& v) { r.results = file_from(v); }},
    word{"bar", 0, "", scope::run, "output",
         "Progress on stderr: what each stage does, which one sets the pace, how long it will take",
         [](run_plan& r, stage_plan&, const std::string&) { r.bar = true; }},
    word{"json", 0, "FILE", scope::run, "output", "At the end, write what each stage did into FILE, as JSON",
         [](run_plan& r, stage_plan&, const std::string& v) { r.json = file_from(v); }},
    // --- end ---
    word{"halt", 0, "WHEN,WHAT", scope::run, "end",
         "End early: now (what runs is ended) or soon (it is finished), and after what: fail=N, success=N, done=N, or "
         "N% "
         "of them. fail=N%: of those that have ended, when they are 20, or of all, where it is known how many they are",
         [](run_plan& r, stage_plan&, const std::string& v) { r.halt = halt_from(v); }},
    word{"journal", 0, "FILE", scope::run, "end",
         "Note in FILE what is done, so that --resume can go on after an interrupt, a kill -9, a power cut",
         [](run_plan& r, stage_plan&, const std::string& v) { r.journal = file_from(v); }},
    word{"resume", 0, "", scope::run, "end",
         "Go on with the journal: what is done is not done again, what failed is not tried again. The input may have "
         "become longer, or be in another order",
         [](run_plan& r, stage_plan&, const std::string&) { r.resume = true; }},
    word{"retry-failed", 0, "", scope::run, "end", "The same, and what failed is tried again",
         [](run_plan& r, stage_plan&, const std::string&) { r.resume = r.retry_failed = true; }},
    word{"joblog", 0, "FILE", scope::run, "end", "A line for each job: GNU parallel's columns, then stage and attempt",
         [](run_plan& r, stage_plan&, const std::string& v) { r.job_log = file_from(v); }},
    // --- machine ---
    word{"load", 0, "N", scope::run, "machine",
         "Start no job while the machine's load is above N, or N% of the processors",
         [](run_plan& r, stage_plan&, const std::string& v) {
           std::string_view unit;
           const auto n = number_before(v, unit);
           if (!n || *n <= 0 || (!unit.empty() && unit != "%"))
             throw usage_error("\"" + v + "\" is not a load, such as 2.5 or 100%");
           r.most_load = unit.empty() ? *n : *n / 100 * static_cast<double>(processors());
         }},
    word{"memfree", 0, "SIZE", scope::run, "machine",
         "Start no job while less memory than this is free, such as 500M or 2G",
         [](run_plan& r, stage_plan&, const std::string& v) {
           std::string_view unit;
           const auto n = number_before(v, unit);
           const double factor = unit.empty()                 ? 1
                                 : unit == "k" || unit == "K" ? 1e3
                                 : unit == "M"                ? 1e6
                                 : unit == "G"                ? 1e9
                                                              : 0;
           if (!n || factor == 0) throw usage_error("\"" + v + "\" is not a size, such as 500M or 2G");
           r.least_free_memory = static_cast<std::uint64_t>(*n * factor);
         }},
    word{"nice", 0, "N", scope::run, "machine", "Run everything with the niceness N, 1 to 19",
         [](run_plan& r, stage_plan&, const std::string& v) {
           r.nice = static_cast<int>(count_from(v, 1, "a niceness from 1 to 19"));
           if (r.nice > 19) throw usage_error("\"" + v + "\" is not a niceness from 1 to 19");
         }},
    // --- stage ---
    word{"jobs", 'j', "N", scope::stage, "stage",
         "Workers: how many of this command run at the same time. N, N% of the processors, 2..16: as many as it takes "
         "to be fast, or auto. By default one for each processor",
         [](run_plan&, stage_plan& s, const std::string& v) { s.workers = workers_from(v); }},
    word{"capacity", 0, "N", scope::stage, "stage",
         "Items that may wait before this stage; by default twice its workers",
         [](run_plan&, stage_plan& s, const std::string& v) {
           s.capacity = count_from(v, 1, "a number of items from 1");
         }},
    word{"name", 0, "NAME", scope::stage, "stage", "What the stage is called; by default as its program",
         [](run_plan&, stage_plan& s, const std::string& v) {
           if (v.empty() || v.find_first_of("/\n\t") != v.npos || v.front() == '.')
             throw usage_error("\"" + v +
                               "\" is no name: it must not be empty, begin with a dot, or have a slash in it");
           s.name = v;
         }},
    word{"cwd", 0, "DIR", scope::defaults, "stage", "The directory in which its commands run",
         [](run_plan&, stage_plan& s, const std::string& v) { s.directory = v; }},
    word{"env", 0, "NAME=VALUE", scope::defaults, "stage", "An environment variable of its commands; several times",
         [](run_plan&, stage_plan& s, const std::string& v) {
           const auto equals = v.find('=');
           if (equals == v.npos || equals == 0) throw usage_error("\"" + v + "\" is not NAME=VALUE");
           s.environment.emplace_back(v.substr(0, equals), v.substr(equals + 1));
         }},
    word{"pass", 0, "", scope::stage, "stage",
         "The last line that it prints is the next stage's item, and {in} the original one. If it prints nothing, "
         "nothing goes on",
         [](run_plan&, stage_plan& s, const std::string&) { s.next = passing::last_line; }},
    word{"lines", 0, "", scope::stage, "stage", "Each line that it prints is an item of the next stage",
         [](run_plan&, stage_plan& s, const std::string&) { s.next = passing::lines; }},
    word{"show", 0, "", scope::stage, "stage", "Print on stderr what a stage before the last prints",
         [](run_plan&, stage_plan& s, const std::string&) { s.show = true; }},
    word{"worker", 0, "", scope::stage, "stage",
         "The command is started once for each worker and lives on: it is written an item's line and answers with one "
         "line",
         [](run_plan&, stage_plan& s, const std::string&) { s.worker = true; }},
    word{"argv", 0, "", scope::stage, "stage", "The words of the command go to the program as they are: never a shell",
         [](run_plan&, stage_plan& s, const std::string&) { s.wording = wording::argv; }},
    word{"shell", 0, "", scope::stage, "stage", "The words of the command are one script for /bin/sh",
         [](run_plan&, stage_plan& s, const std::string&) { s.wording = wording::shell; }},
    // --- failure ---
    word{"timeout", 0, "TIME", scope::defaults, "failure", "A job that takes longer is ended, and has failed",
         [](run_plan&, stage_plan& s, const std::string& v) { s.timeout = duration_from(v); }},
    word{"term-seq", 0, "SEQUENCE", scope::defaults, "failure",
         "How a job is ended, with its process group: signals, and the time each has; by default TERM,2s,KILL",
         [](run_plan&, stage_plan& s, const std::string& v) { s.end = termination_from(v); }},
    word{"retries", 0, "N", scope::defaults, "failure", "Try a failed job up to N times more",
         [](run_plan&, stage_plan& s, const std::string& v) {
           s.retries = static_cast<unsigned>(count_from(v, 0, "a number of tries"));
           s.retries_said = true;
         }},
    word{"backoff", 0, "TIME", scope::defaults, "failure",
         "Wait before the first new try; twice as long before each further one, at most 30 s. By default 1s",
         [](run_plan&, stage_plan& s, const std::string& v) { s.backoff = duration_from(v); }},
    word{"on-fail", 0, "stop|drop|retry", scope::defaults, "failure",
         "What a failed job means: drop: its item goes no further, the others do (the default); stop: the run ends; "
         "retry: as --retries 2",
         [](run_plan&, stage_plan& s, const std::string& v) {
           s.on_fail_retry = v == "retry";
           if (v != "stop" && v != "drop" && v != "retry")
             throw usage_error("\"" + v + "\" is not stop, drop or retry");
           s.on_fail = v == "stop" ? on_fail::stop : on_fail::drop;
         }},
};

}  // namespace

std::size_t processors() {
  cpu_set_t ours;
  if (::sched_getaffinity(0, sizeof ours, &ours) == 0) return static_cast<std::size_t>(CPU_COUNT(&ours));
  return std::max(1u, std::thread::hardware_concurrency());
}

std::chrono::nanoseconds duration_from(const std::string& text) {
  std::string_view unit;
  const auto number = number_before(text, unit);
  const double seconds = !number                       ? -1
                         : unit == "ms"                ? *number / 1000
                         : unit == "s" || unit.empty() ? *number
                         : unit == "m"                 ? *number * 60
                         : unit == "h"                 ? *number * 3600
                         : unit == "d"                 ? *number * 86400
                                                       : -1;
  if (seconds < 0 || seconds > 1e9) throw usage_error("\"" + text + "\" is not a time, such as 500ms, 90s, 1.5m, 2h");
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

std::span<const word> vocabulary() noexcept { return words; }

const word* find_word(std::string_view name) noexcept {
  const auto found = std::find_if(words.begin(), words.end(), [&](const word& w) { return w.name == name; });
  return found == words.end() ? nullptr : &*found;
}
const word* find_word(char letter) noexcept {
  const auto found =
      std::find_if(words.begin(), words.end(), [&](const word& w) { return w.letter == letter && letter; });
  return found == words.end() ? nullptr : &*found;
}

void say(const word& w, run_plan& run, stage_plan& stage, const std::string& value) {
  try {
    w.apply(run, stage, value);
  } catch (const usage_error& e) {
    throw usage_error("--" + std::string(w.name) + ": " + e.what());
  }
}

std::string nearest_word(std::string_view name) {
  std::vector<std::string_view> names;
  names.reserve(words.size());
  for (const word& w : words) names.push_back(w.name);
  return nearest(name, names);
}

}  // namespace penstock::runner
