// child: a process that this program has started and answers for.
//
//   auto c = penstock::process::spawn({"sha256sum"}, {.in = redirect::pipe(), .out = redirect::pipe()});
//   ...
//   if (auto status = c.wait(5s)) ...; else c.terminate("TERM,2s,KILL");
//
// THREADS  wait, poll, signals and terminate may be called by any number of threads at the same time; moving and
//          destroying not. in(), out() and err() have one user at a time each.
// ENDING   The destructor ends what still runs: KILL to the group, and the end is collected, so that neither a process
//          nor a zombie is left. A child that must finish is waited for before. Move assignment ends the former child
//          in the same way; onto itself it changes nothing.
// GROUP    Unless told otherwise a child leads a process group of its own, and what it starts belongs to it; signals and
//          terminate() go to all of them. A process that leaves the group by setsid() escapes.
// NUMBERS  A signal goes to this child or to nobody: the descriptor of the process is used, and the group is signalled
//          only while its leader has not been collected, so neither number can have been given to somebody else.
// COST     One descriptor, as long as the object lives; no thread, no signal handler.
#pragma once

#include <memory>
#include <optional>

#include <sys/types.h>

#include <penstock/base/unique_fd.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/process/exit_status.hpp>
#include <penstock/process/termination.hpp>

namespace penstock::process {

class child {
 public:
  child() noexcept;  // none
  child(child&&) noexcept;
  child& operator=(child&&) noexcept;
  ~child();

  // False: a default-constructed or moved-from one, of which nothing else may be asked.
  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] pid_t pid() const noexcept;
  [[nodiscard]] bool leads_group() const noexcept;

  // --- its end ---
  [[nodiscard]] std::optional<exit_status> poll();  // without waiting; empty: it runs
  exit_status wait();
  // Empty: the limit was reached first. A stop token ends waiting, not the child.
  [[nodiscard]] std::optional<exit_status> wait(const wait_limit& limit);
  // Readable once the child has ended: for an event loop. It stays open, and the same, as long as the child object.
  // -1: it ended so early that there is none.
  [[nodiscard]] int descriptor() const noexcept;

  // --- signals: false: it has ended, and nothing was done ---
  bool signal(int number);
  bool signal_group(int number);  // as signal() if it leads no group
  // Signal after signal to the group until the child has ended; what is left of the group then is killed, before the
  // child is collected. Empty: it did not end, in spite of everything.
  std::optional<exit_status> terminate(const termination& how = {});
  // From now on, when this child is found to have ended, what is left of its group is killed.
  void take_group_along();

  // --- this program's ends of its pipes; none where there is no pipe() ---
  [[nodiscard]] unique_fd& in() noexcept;
  [[nodiscard]] unique_fd& out() noexcept;
  [[nodiscard]] unique_fd& err() noexcept;

 private:
  friend class spawner;
  struct state;
  explicit child(std::unique_ptr<state> s) noexcept;
  std::unique_ptr<state> state_;
};

}  // namespace penstock::process
