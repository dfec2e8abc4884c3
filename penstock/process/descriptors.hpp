// Descriptors as this room needs them: pipes that no other process inherits, own ends above the standard three, a poll
// with a limit, and writing without SIGPIPE.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <poll.h>

#include <penstock/base/no_sigpipe.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/unique_fd.hpp>
#include <penstock/base/wait_limit.hpp>

namespace penstock::process {

struct pipe_ends {
  unique_fd read, write;
};
// Close-on-exec from the first moment; both above 2, so that a program started with 0, 1 or 2 closed does not find its
// pipes there. Throws std::system_error.
[[nodiscard]] pipe_ends make_pipe();
// The same for a pair of connected stream sockets.
[[nodiscard]] std::pair<unique_fd, unique_fd> make_socket_pair();
// A copy, close-on-exec, with at least the number `least`. None: errno says why; EMFILE where the limit allows no such
// number.
[[nodiscard]] unique_fd duplicate_above(int fd, int least = 3) noexcept;
// The descriptor itself if it is at least `least`, else a copy that is.
[[nodiscard]] unique_fd moved_above(unique_fd fd, int least = 3);
void set_nonblocking(int fd, bool on) noexcept;
// Four times the throughput of a pipe for those with much to say. Only for them: a user's pipes share a limit
// (pipe-user-pages-soft), and above it everybody's new pipes have a page or two. Where it may not be, it stays as it is.
inline constexpr std::size_t usual_pipe = std::size_t{64} << 10;
void enlarge_pipe(int fd) noexcept;

// pidfd_open(2) and pidfd_send_signal(2). Not the C library's: glibc 2.36 declares them without extern "C".
[[nodiscard]] int open_process(int pid) noexcept;
bool signal_process(int descriptor, int signal) noexcept;

// poll(2) with a wait_limit: a stop request wakes it. Where no descriptor is left for that, it looks for the request
// every 20 ms: the wait for a child that runs already must not fail.
class limited_poll {
 public:
  explicit limited_poll(const wait_limit& limit);
  limited_poll(const limited_poll&) = delete;
  limited_poll& operator=(const limited_poll&) = delete;

  // Waits for one of `fds`; sets their revents. False: the limit, or `sooner`, was reached and none is ready.
  bool wait(std::vector<pollfd>& fds, system::clock::time_point sooner = system::never);

 private:
  struct wake_up {
    int fd;
    void operator()() const noexcept;
  };
  bool wait_once(std::vector<pollfd>& fds, system::clock::time_point deadline);
  const wait_limit& limit_;
  unique_fd wake_;  // none: the limit has no stop token, or no descriptor was left
  std::optional<system::stop_callback<wake_up>> on_stop_;
};

}  // namespace penstock::process
