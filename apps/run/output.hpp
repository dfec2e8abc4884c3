// output: what jobs print, on its way to stdout and stderr: never two jobs' lines in one, in the order and form asked for.
//
//   output shown(plan);
//   shown.print(turn, tag, printed)          // a job has ended
//   shown.line(stdout_of_the_last, tag, "…") // line by line, while it runs
//
// ORDER    Where it is kept, an item has a turn from the beginning, and what a stage makes of it has turns in its place;
//          what is printed before its turn waits here, until all turns before are gone. At most `window` jobs' output
//          waits; who has more waits in print().
// THREADS  Everything at the same time. Writing happens under a lock: that is what it is for.
// ERRORS   A stdout that takes no more (head has seen enough, the disk is full): told once through on_broken, and
//          nothing is written any more.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <penstock/base/mutex.hpp>
#include <penstock/base/unique_fd.hpp>

namespace penstock::runner {

// What a job has printed: in memory, or, where that is too much, in files without a name, at their beginning.
struct printed {
  std::string out{}, err{};
  unique_fd out_file{}, err_file{};
};

// A turn as the output has it.
struct output_entry {
  std::string tag{};
  printed what{};
  int out_to = -1;
  bool waits = false;  // something to be printed does
  bool gone = false;
  std::function<void()> written{};
};

class output {
 public:
  struct options {
    bool tag = false;
    std::size_t window = 0;
    // Not under the lock. errno of what went wrong; EPIPE: the reader has gone.
    std::function<void(int)> on_broken{};
  };
  explicit output(options o) : options_(std::move(o)) {}

  // A place in the order; it is gone when nobody has it any more, whatever became of its job.
  class turn {
   public:
    turn(output& of, std::list<output_entry>::iterator at) : of_(of), at_(at) {}
    turn(const turn&) = delete;
    turn& operator=(const turn&) = delete;
    ~turn() { of_.release(at_); }
    [[nodiscard]] std::shared_ptr<turn> before() { return of_.insert(at_); }

   private:
    friend class output;
    output& of_;
    const std::list<output_entry>::iterator at_;
  };
  [[nodiscard]] std::shared_ptr<turn> next_turn();

  // turn: null where the order is not kept.
  // out_to: STDOUT_FILENO or STDERR_FILENO, -1: nowhere.
  // written: called when it has been written, now or later, before the next; must not come back here.
  void print(turn* when, const std::string& tag, printed&& what, int out_to, std::function<void()> written = {});
  // The same at once, whoever's turn it is.
  void print_unordered(const std::string& tag, const printed& what, int out_to);
  // A part of a job's output, as it comes: whole lines are written, the rest waits in `rest`.
  void stream(int to, const std::string& tag, std::string_view part, std::string& rest);
  void finish_stream(int to, const std::string& tag, std::string& rest);
  // Where text goes that is meant for a terminal on which something else is drawn, too; null: nothing is.
  void draw_above(std::function<void(const std::string&)> above);
  // A message of the tool itself, on stderr.
  void say(const std::string& text);
  // The run is being stopped: turns may never come, and nobody waits in print() for them; outputs wait here.
  void wait_no_more() noexcept;
  // What waits is printed.
  void finish() noexcept;
  [[nodiscard]] bool broken();

 private:
  using entries = std::list<output_entry>;
  std::shared_ptr<turn> insert(entries::iterator before);
  void release(entries::iterator at) noexcept;
  void write_first() noexcept PENSTOCK_REQUIRES(mutex_);
  void write_job(const std::string& tag, const printed& what, int out_to) PENSTOCK_REQUIRES(mutex_);
  void write_text(int to, const std::string& tag, std::string_view text) PENSTOCK_REQUIRES(mutex_);
  void write_file(int to, const std::string& tag, const unique_fd& file) PENSTOCK_REQUIRES(mutex_);
  void write(int to, std::string_view bytes) PENSTOCK_REQUIRES(mutex_);
  [[nodiscard]] bool is_first(const turn& t) const PENSTOCK_REQUIRES(mutex_);
  // errno, once, if stdout has broken; to be told without the lock.
  int what_is_new() noexcept PENSTOCK_REQUIRES(mutex_);
  void tell(int error) const;

  const options options_;

  mutex mutex_;  // guards what follows
  condition moved_on_;
  entries turns_ PENSTOCK_GUARDED_BY(mutex_);
  std::size_t waiting_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // outputs in turns_
  std::function<void(const std::string&)> above_ PENSTOCK_GUARDED_BY(mutex_);
  bool stopped_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool finished_ PENSTOCK_GUARDED_BY(mutex_) = false;
  int broken_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // errno
  bool told_ PENSTOCK_GUARDED_BY(mutex_) = false;
};

}  // namespace penstock::runner
