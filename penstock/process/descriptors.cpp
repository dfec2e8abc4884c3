#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <system_error>

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <penstock/process/descriptors.hpp>

namespace penstock::process {

unique_fd duplicate_above(int fd, int least) noexcept {
  unique_fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, least));
  if (!copy && errno == EINVAL) errno = EMFILE;
  return copy;
}

unique_fd moved_above(unique_fd fd, int least) {
  if (fd.get() >= least || !fd) return fd;
  unique_fd higher = duplicate_above(fd.get(), least);
  if (!higher) throw std::system_error(errno, std::generic_category(), "fcntl(F_DUPFD_CLOEXEC)");
  return higher;
}

pipe_ends make_pipe() {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
  unique_fd read(fds[0]), write(fds[1]);
  return {moved_above(std::move(read)), moved_above(std::move(write))};
}

std::pair<unique_fd, unique_fd> make_socket_pair() {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    throw std::system_error(errno, std::generic_category(), "socketpair");
  unique_fd one(fds[0]), other(fds[1]);
  return {moved_above(std::move(one)), moved_above(std::move(other))};
}

void set_nonblocking(int fd, bool on) noexcept {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return;
  const int wanted = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
  if (wanted != flags) ::fcntl(fd, F_SETFL, wanted);
}

void enlarge_pipe(int fd) noexcept {
  constexpr int large = 1 << 20;
  ::fcntl(fd, F_SETPIPE_SZ, large);
}

void limited_poll::wake_up::operator()() const noexcept { ::eventfd_write(fd, 1); }

// Without it a process that runs already could only be killed: a shortage is worth a few tries.
int open_process(int pid) noexcept {
  for (int tries = 0;; ++tries) {
    const auto fd = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
    if (fd >= 0 || tries == 10 || (errno != EMFILE && errno != ENFILE && errno != ENOMEM)) return fd;
    const timespec pause{0, 1'000'000};
    ::nanosleep(&pause, nullptr);
  }
}
bool signal_process(int descriptor, int signal) noexcept {
  return ::syscall(SYS_pidfd_send_signal, descriptor, signal, nullptr, 0) == 0;
}

limited_poll::limited_poll(const wait_limit& limit) : limit_(limit) {
  if (!limit.stop().stop_possible()) return;
  wake_ = unique_fd(::eventfd(0, EFD_CLOEXEC));
  if (wake_ && wake_.get() < 3) wake_ = duplicate_above(wake_.get());
  if (wake_) on_stop_.emplace(limit.stop(), wake_up{wake_.get()});
}

bool limited_poll::wait(std::vector<pollfd>& fds, system::clock::time_point sooner) {
  if (wake_ || !limit_.stop().stop_possible()) return wait_once(fds, std::min(sooner, limit_.deadline()));
  // No descriptor was left for waking it.
  constexpr system::clock::duration between_looks = std::chrono::milliseconds(20);
  for (;;) {
    const auto until = std::min(std::min(sooner, limit_.deadline()), system::clock::now() + between_looks);
    if (wait_once(fds, until)) return true;
    if (limit_.reached() || system::clock::now() >= sooner) return false;
  }
}

bool limited_poll::wait_once(std::vector<pollfd>& fds, system::clock::time_point deadline) {
  if (wake_) fds.push_back({wake_.get(), POLLIN, 0});
  int ready = 0;
  do {
    timespec left{};
    if (deadline != system::never) {
      // Compared first: the difference to a time far in the past is no duration.
      const auto now = system::clock::now();
      const std::chrono::nanoseconds ns = deadline > now ? deadline - now : std::chrono::nanoseconds(0);
      const auto seconds = std::chrono::floor<std::chrono::seconds>(ns);
      left.tv_sec = static_cast<std::time_t>(seconds.count());
      left.tv_nsec = static_cast<long>((ns - seconds).count());
    }
    ready = ::ppoll(fds.data(), fds.size(), deadline == system::never ? nullptr : &left, nullptr);
  } while (ready < 0 && errno == EINTR);
  const int error = errno;
  bool woken = false;
  if (wake_) {
    woken = ready > 0 && fds.back().revents != 0;
    fds.pop_back();
  }
  if (ready < 0) throw std::system_error(error, std::generic_category(), "ppoll");
  return ready > (woken ? 1 : 0);
}

}  // namespace penstock::process
