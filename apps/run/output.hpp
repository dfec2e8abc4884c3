// output: what jobs print, on its way to stdout and stderr: never two jobs' lines in one, in the order and form asked for.
//
//   output shown(plan);
//   shown.print(turn, tag, printed)          // a job has ended
//   shown.line(stdout_of_the_last, tag, "…") // line by line, while it runs
//
// ORDER    Where it is kept, an item has a turn from the beginning, and what a stage makes of it has turns in its place;
//          what is printed before its turn waits here, until all turns before are gone. At most `window` jobs' output
//          waits; who has more waits in print().
// THREADS  Everything at the same time. No lock is held while something is written: what is to be written stands in a
//          queue, and one of the threads that wait for their own writes for all of them, until its own is written.
// ENDING   give_up(): a reader that does not read is waited for no longer. What could not be written is lost, and each
//          `written` says so.
// ERRORS   A stdout that takes no more (head has seen enough, the disk is full): told once through on_broken, and
//          nothing is written any more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <penstock/base/mutex.hpp>
#include <penstock/base/unique_fd.hpp>

#include "apps/run/output_stream.hpp"

namespace penstock::runner {

// What a job has printed: in memory, or, where that is too much, in files without a name, at their beginning.
struct printed {
  std::string out{}, err{};
  unique_fd out_file{}, err_file{};
};

// A turn as the output has it, or something else that is to be written.
struct output_entry {
  std::string tag{};
  printed what{};
  int out_to = -1;
  bool waits = false;  // something to be printed does
  bool gone = false;
  bool is_message = false;        // what.err: of the tool itself, without a tag
  const printed* lent = nullptr;  // instead of `what`
  std::function<void(int)> written{};
};

class output {
 public:
  struct options {
    bool tag = false;
    std::size_t window = 0;
    // Without a lock. errno of what went wrong; EPIPE: the reader has gone; ECANCELED: given up.
    std::function<void(int)> on_broken{};
  };
  explicit output(options o);

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
  // written: called without a lock when it has been written, now or later, before the next; with errno where stdout did
  // not take it. It may say(), and must not print.
  void print(turn* when, const std::string& tag, printed&& what, int out_to, std::function<void(int)> written = {});
  // The same at once, whatever the order. what: lent until this returns.
  void print_unordered(const std::string& tag, const printed& what, int out_to);
  // A part of a job's output, as it comes: whole lines are written, the rest waits in `rest`.
  void stream(int to, const std::string& tag, std::string_view part, std::string& rest);
  void finish_stream(int to, const std::string& tag, std::string& rest);
  // Where text goes that is meant for a terminal on which something else is drawn, too; null: nothing is.
  void draw_above(std::function<void(const std::string&)> above);
  // A message of the tool itself, on stderr. Written when this returns, unless another thread is writing.
  void say(const std::string& text);
  // The same, never waiting: for what must go on hearing signals. A stalled reader gets it when it reads again.
  void announce(const std::string& text);
  // A reader that does not read is not waited for any more.
  void give_up() noexcept;
  // The run is being stopped: turns may never come, and nobody waits in print() for them; outputs wait here.
  void wait_no_more() noexcept;
  // What waits is printed.
  void finish() noexcept;
  [[nodiscard]] bool broken();

 private:
  using entries = std::list<output_entry>;
  std::shared_ptr<turn> insert(entries::iterator before);
  void release(entries::iterator at) noexcept;
  void queue_first() noexcept PENSTOCK_REQUIRES(mutex_);
  std::uint64_t enqueue(entries& one) noexcept PENSTOCK_REQUIRES(mutex_);
  // Returns when that has been written: by this thread, which writes what stands before it, too, or by another.
  void settle(std::uint64_t ticket) noexcept;
  [[nodiscard]] bool is_first(const turn& t) const PENSTOCK_REQUIRES(mutex_);
  void tell(int error) const;

  // Of the thread that writes.
  void write_entry(output_entry& entry, int& error) noexcept;
  int write_text(int to, const std::string& tag, std::string_view text);
  int write_file(int to, const std::string& tag, const unique_fd& file);
  int write(int to, std::string_view bytes);

  const options options_;
  output_stream out_, err_;
  const std::function<void(const std::string&)>* above_now_ = nullptr;  // the writing thread's

  mutex mutex_;  // guards what follows
  condition changed_;
  entries turns_ PENSTOCK_GUARDED_BY(mutex_);
  std::size_t waiting_ PENSTOCK_GUARDED_BY(mutex_) = 0;                                             // outputs in turns_
  entries queue_ PENSTOCK_GUARDED_BY(mutex_);                                                       // to be written now
  std::uint64_t queued_ PENSTOCK_GUARDED_BY(mutex_) = 0, written_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // entries so far
  std::size_t settling_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // threads that wait for another to write
  bool writing_ PENSTOCK_GUARDED_BY(mutex_) = false;
  std::function<void(const std::string&)> above_ PENSTOCK_GUARDED_BY(mutex_);
  bool stopped_ PENSTOCK_GUARDED_BY(mutex_) = false;
  bool finished_ PENSTOCK_GUARDED_BY(mutex_) = false;
  int broken_ PENSTOCK_GUARDED_BY(mutex_) = 0;  // errno
};

}  // namespace penstock::runner
