// plan: what a run was told to do: its stages, its items, its output, its end. Made from a command line
// (command_line.hpp) or a file; run by `line`.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <penstock/pipeline/options.hpp>
#include <penstock/process/termination.hpp>

namespace penstock::runner {

// What becomes of an item that has failed, after all its retries.
enum class on_fail : std::uint8_t { drop, stop };

// What the next stage takes for its item.
enum class passing : std::uint8_t {
  item,       // the same one again
  last_line,  // the last line that this stage printed; nothing, if it printed nothing
  lines,      // each line that it printed
};

// How the words of a command are meant.
enum class wording : std::uint8_t {
  automatic,  // one word: for the shell, if it needs one; several: as they are
  argv,
  shell,
};

struct stage_plan {
  std::string name;  // empty: after its command
  std::vector<std::string> words;
  runner::wording wording = wording::automatic;

  worker_count workers = 0;  // 0: one for each processor
  std::size_t capacity = 0;  // 0: twice the workers
  bool worker = false;       // one long-lived process for each worker: a line in, a line out

  std::filesystem::path directory;
  std::vector<std::pair<std::string, std::string>> environment;

  std::chrono::nanoseconds timeout{0};
  process::termination end{};
  unsigned retries = 0;
  bool retries_said = false;
  std::chrono::nanoseconds backoff = std::chrono::seconds(1);
  runner::on_fail on_fail = on_fail::drop;
  bool on_fail_retry = false;  // `--on-fail retry`: twice more, where --retries says nothing else

  passing next = passing::item;
  bool show = false;
};

// How items lie in their files.
enum class item_format : std::uint8_t { lines, csv, tsv, separated };

struct item_plan {
  bool from_arguments = false;                      // `:::`
  std::vector<std::vector<std::string>> arguments;  // one list for each `:::`; the items are all their combinations
  std::vector<std::string> files;                   // one after the other; none: stdin
  item_format format = item_format::lines;
  std::string separator;  // of columns, for item_format::separated
  char end = '\n';
  bool header = false;  // the first line names the columns
};

enum class output_mode : std::uint8_t {
  grouped,        // what a job printed, at once, when it has ended
  line_buffered,  // line by line, as they come
};

// When a run ends before its items do.
struct halt_rule {
  enum class of : std::uint8_t { never, fail, success, done };
  of what = of::never;
  bool now = false;       // what runs is ended, too; else it is finished
  std::size_t count = 0;  // so many,
  double share = 0;       // or such a share: of those that have ended (fail), of all (success, done)
};

struct run_plan {
  bool says_stage_options = false;  // where it came from a command line
  std::vector<stage_plan> stages;
  item_plan items;
  output_mode mode = output_mode::grouped;
  bool tag = false;
  bool keep_order = false;
  std::size_t max_in_flight = 0;  // 0: what the stages' workers and capacities add up to
  bool dry_run = false;

  halt_rule halt{};
  std::string journal;  // empty: none
  bool resume = false;
  bool retry_failed = false;
  std::string job_log;
  std::string results;

  double most_load = 0;                 // start no job above it; 0: whatever it is
  std::uint64_t least_free_memory = 0;  // bytes; start no job below it
  int nice = 0;

  bool bar = false;
  std::string json;  // file for the report
};

}  // namespace penstock::runner
