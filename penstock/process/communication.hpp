// communication: feeds a child's input, collects its output and its errors, and sees it end, all at once: no order of
// theirs can make both sides wait for each other.
//
//   child sorter = spawn({"sort"}, {.in = redirect::pipe(), .out = redirect::pipe()});
//   communication talk(sorter, {.input = words});
//   while (!talk.advance(1s)) std::cerr << talk.out_bytes() << " bytes so far\n";      // nothing is lost by a limit
//   completed done = talk.result();
//
// run() is this with a command, a timeout and a termination around it.
//
// INPUT    A child that does not read it to its end is no error. Where there is no input, its pipe is closed at once.
// OUTPUT   Kept in memory up to most_bytes, of each of the two; what to do with more is said by `excess`.
// ENDING   Over when the child has ended and its pipes are at their end. A pipe that somebody else still holds then (a
//          process that the child left behind) is read for `drain` longer, and given up: completed::pipes_held.
// THREADS  One thread at a time; others may wait for and signal the child meanwhile.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <poll.h>

#include <penstock/base/system.hpp>
#include <penstock/process/child.hpp>

namespace penstock::process {

enum class excess : std::uint8_t {
  error,     // output_too_long is thrown, and the child is left to its owner, who ends it
  truncate,  // the first part is kept, the rest is read and dropped
  spill,     // all of it goes to a file without a name in TMPDIR, too
};

struct communication_options {
  std::string input{};
  std::size_t most_bytes = std::size_t{1} << 30;
  penstock::process::excess excess = penstock::process::excess::error;
  // Called with what has come, on the thread that advances, instead of keeping it. What they throw, advance() throws.
  std::function<void(std::string_view)> on_out{};
  std::function<void(std::string_view)> on_err{};
  std::chrono::nanoseconds drain = std::chrono::seconds(5);
};

class output_too_long : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct completed {
  exit_status status;                  // of a chain: the one that counts (chain.hpp)
  std::vector<exit_status> members{};  // of a chain: one for each
  std::string out{}, err{};
  std::uint64_t out_bytes = 0, err_bytes = 0;  // that were printed, kept or not
  unique_fd out_file{}, err_file{};            // excess::spill, and there was more than most_bytes; at their beginning
  bool timed_out = false;                      // it was ended because its time was over
  bool stopped = false;                        // ... because a stop was requested
  bool pipes_held = false;                     // there may have been more output, by somebody it left behind

  [[nodiscard]] bool ok() const noexcept { return status.ok() && !timed_out && !stopped; }
};

class communication {
 public:
  // REQUIRES `c` lives as long as this.
  explicit communication(child& c, communication_options options = {});
  // Several children, of which the first leads the group of all.
  struct participants {
    std::vector<child*> children;
    unique_fd *in, *out, *err;
  };
  communication(participants who, communication_options options);
  communication(communication&&) noexcept;
  communication& operator=(communication&&) = delete;
  ~communication();

  // True: over. False: the limit was reached first; call it again.
  bool advance(const wait_limit& limit = {});
  // As child::terminate(), while the output of the child's last moments is still collected. True: over.
  bool terminate(const termination& how = {});

  [[nodiscard]] std::uint64_t out_bytes() const noexcept;
  [[nodiscard]] std::uint64_t err_bytes() const noexcept;
  // --- for who waits otherwise than by advance() (await_child.hpp) ---
  // What it waits for now: any of these descriptors, of pipes and processes, or that time. Empty: for nothing, advance()
  // goes on at once.
  struct wait {
    std::vector<pollfd> descriptors;
    system::clock::time_point until = system::never;
  };
  [[nodiscard]] wait waits_for() const;
  // As terminate() begins, and as each of its steps does: the signal to all.
  void begin_termination();
  void signal(int number);

  // What there is. REQUIRES over, or that terminate() was in vain: then the status is unknown. Once.
  [[nodiscard]] completed result();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace penstock::process
