// output: what jobs print, on its way to stdout and stderr: never two jobs' lines in one, in the order and form asked for.
//
//   output shown(plan);
//   shown.print(turn, tag, printed)          // a job has ended
//   shown.line(stdout_of_the_last, tag, "…") // line by line, while it runs
//
// ORDER    Where it is kept: what has turn n is printed after what has n - 1, at most `window` turns ahead wait here, and
//          who is further ahead waits in print().
// THREADS  Everything at the same time. Writing happens under a lock: that is what it is for.
// ERRORS   A stdout that takes no more (head has seen enough, the disk is full): told once through on_broken, and
//          nothing is written any more.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include <penstock/base/mutex.hpp>
#include <penstock/base/unique_fd.hpp>

namespace penstock::runner {

// What a job has printed: in memory, or, where that is too much, in files without a name, at their beginning.
struct printed {
  std::string out{}, err{};
  unique_fd out_file{}, err_file{};
};

class output {
 public:
  struct options {
    bool tag = false;
    bool ordered = false;
    std::uint64_t window = 0;
    // Not under the lock. errno of what went wrong; EPIPE: the reader has gone.
    std::function<void(int)> on_broken{};
  };
  explicit output(options o) : options_(std::move(o)) {}

  // out_to: STDOUT_FILENO or STDERR_FILENO, -1: nowhere.
  void print(std::uint64_t turn, const std::string& tag, printed&& what, int out_to);
  // The same at once, whoever's turn it is.
  void print_unordered(const std::string& tag, const printed& what, int out_to);
  // A part of a job's output, as it comes: whole lines are written, the rest waits in `rest`.
  void stream(int to, const std::string& tag, std::string_view part, std::string& rest);
  void finish_stream(int to, const std::string& tag, std::string& rest);
  // A message of the tool itself, on stderr.
  void say(const std::string& text);
  // Nobody waits for a turn any more; what waits is printed.
  void finish() noexcept;

 private:
  struct waiting {
    std::string tag;
    printed what;
    int out_to;
  };
  void write_job(const std::string& tag, const printed& what, int out_to) PENSTOCK_REQUIRES(mutex_);
  void write_text(int to, const std::string& tag, std::string_view text) PENSTOCK_REQUIRES(mutex_);
  void write_file(int to, const std::string& tag, const unique_fd& file) PENSTOCK_REQUIRES(mutex_);
  void write(int to, std::string_view bytes) PENSTOCK_REQUIRES(mutex_);
  void tell_if_broken(mutex_lock& lock) PENSTOCK_REQUIRES(mutex_);

  const options options_;

  mutex mutex_;  // guards what follows
  condition moved_on_;
  std::uint64_t next_turn_ PENSTOCK_GUARDED_BY(mutex_) = 1;
  std::map<std::uint64_t, waiting> waiting_ PENSTOCK_GUARDED_BY(mutex_);
  bool finished_ PENSTOCK_GUARDED_BY(mutex_) = false;
  int broken_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // errno
  bool told_ PENSTOCK_GUARDED_BY(mutex_) = false;
};

}  // namespace penstock::runner
