// exit_status: how a child process ended, and what it used.
//
//   const auto status = child.wait();
//   if (!status.ok()) std::cerr << to_string(status) << '\n';      // killed by signal 11 (SEGV), core dumped
//   return status.shell_number();                                  // 139
//
// An end that was collected elsewhere is `unknown`: the child is gone, and the system no longer knows how it ended.
// That is so where another part of the program waits for every child, and where SIGCHLD is ignored. A program may be
// started with it ignored: one that wants statuses sets SIGCHLD to SIG_DFL at the beginning of main(). Whether it is
// blocked is the same.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace penstock::process {

struct exit_status {
  enum class end : std::uint8_t { exited, signalled, unknown };
  end how = end::unknown;
  int code = 0;    // of exited
  int signal = 0;  // of signalled
  bool core_dumped = false;

  std::chrono::nanoseconds wall{0};  // from its start until its end was seen here
  // Of the child, and of those of its children that it waited for:
  std::chrono::microseconds user{0};
  std::chrono::microseconds system{0};
  std::size_t peak_rss_bytes = 0;

  [[nodiscard]] bool ok() const noexcept { return how == end::exited && code == 0; }
  // One number for all of it: the exit code, or the negative signal; -1000: unknown.
  [[nodiscard]] int number() const noexcept;
  // As $? in a shell: the exit code, or 128 + signal; 255: unknown.
  [[nodiscard]] int shell_number() const noexcept;
};

// "exited with 3", "killed by signal 11 (SEGV), core dumped", "ended, nobody knows how".
[[nodiscard]] std::string to_string(const exit_status& status);

// "TERM"; "signal 99" for one without a name.
[[nodiscard]] std::string signal_name(int signal);
// The number for "TERM", "SIGTERM" or "15"; 0: there is none.
[[nodiscard]] int signal_number(const std::string& name) noexcept;

}  // namespace penstock::process
