#include "apps/run/output_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <climits>
#include <optional>
#include <string>

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::runner {

output_stream::output_stream(int fd) : fd_(fd), terminal_(::isatty(fd) == 1) {
  struct stat about {};
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || ::fstat(fd, &about) != 0 || S_ISREG(about.st_mode) || (flags & O_ACCMODE) == O_RDONLY) return;
  if ((flags & O_NONBLOCK) == 0) {
    if (terminal_ || S_ISFIFO(about.st_mode))
      own_.reset(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    may_block_ = !own_;
  }
  // poll(2) says that a page fits into a pipe; of a terminal it says less.
  if (may_block_) most_ = terminal_ ? 64 : PIPE_BUF;
}

bool output_stream::has_room() const noexcept {
  pollfd writable{number(), POLLOUT, 0};
  return ::poll(&writable, 1, 0) == 1;
}

// False: given up.
bool output_stream::wait_for_room() noexcept {
  constexpr int look_again = 50;                             // ms
  constexpr auto a_moment = std::chrono::milliseconds(200);  // for a reader that is only slow
  std::optional<std::chrono::steady_clock::time_point> until;
  for (;;) {
    if (given_up_ && !until) until = std::chrono::steady_clock::now() + a_moment;
    pollfd writable{number(), POLLOUT, 0};
    const int ready = ::poll(&writable, 1, look_again);
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) ::usleep(1000 * look_again);  // no memory: there is nothing to wait for but time
    if (until && std::chrono::steady_clock::now() >= *until) return false;
  }
}

std::size_t output_stream::write_now(std::string_view bytes) noexcept {
  std::size_t written = 0;
  while (!error_ && written < bytes.size()) {
    if (may_block_ && !has_room()) break;
    const ssize_t n = ::write(number(), bytes.data() + written, std::min(most_, bytes.size() - written));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno != EAGAIN) error_ = errno;
    if (n < 0) break;
    written += static_cast<std::size_t>(n);
  }
  return written;
}

int output_stream::write(std::string_view bytes) noexcept {
  while (!error_) {
    bytes.remove_prefix(write_now(bytes));
    if (bytes.empty()) break;
    if (!error_ && !wait_for_room()) error_ = ECANCELED;
  }
  return error_;
}

}  // namespace penstock::runner
