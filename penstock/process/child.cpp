#include <cassert>
#include <cerrno>
#include <csignal>
#include <stdexcept>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/process/child_state.hpp>
#include <penstock/process/descriptors.hpp>
#include <penstock/process/redirect.hpp>

namespace penstock::process {
namespace {

// waitid(2) with what the child has used, which the C library's leaves out. By descriptor: a number may be another
// process's by now if somebody else in this program collects children.
int wait_for(int pidfd, siginfo_t& info, int options, rusage* used) {
  long result = 0;
  do {
    result = ::syscall(SYS_waitid, P_PIDFD, pidfd, &info, options, used);
  } while (result < 0 && errno == EINTR);
  return static_cast<int>(result);
}

std::chrono::microseconds time_of(const timeval& t) {
  return std::chrono::seconds(t.tv_sec) + std::chrono::microseconds(t.tv_usec);
}

exit_status status_of(const siginfo_t& info, const rusage& used) {
  exit_status s;
  if (info.si_code == CLD_EXITED) {
    s.how = exit_status::end::exited;
    s.code = info.si_status;
  } else {
    s.how = exit_status::end::signalled;
    s.signal = info.si_status;
    s.core_dumped = info.si_code == CLD_DUMPED;
  }
  s.user = time_of(used.ru_utime);
  s.system = time_of(used.ru_stime);
  s.peak_rss_bytes = static_cast<std::size_t>(used.ru_maxrss) * 1024;
  return s;
}

}  // namespace

std::optional<exit_status> child::state::look() {
  mutex_lock lock(gate);
  if (status) return status;
  exit_status found;
  if (pidfd) {
    siginfo_t info{};
    if (group_goes_along && leads_group) {
      // While the leader is a zombie its number, which is the group's, cannot be given to anybody else.
      if (wait_for(pidfd.get(), info, WEXITED | WNOHANG | WNOWAIT, nullptr) == 0) {
        if (info.si_pid == 0) return std::nullopt;
        ::kill(-pid, SIGKILL);
      }
      info = {};
    }
    rusage used{};
    if (wait_for(pidfd.get(), info, WEXITED | WNOHANG, &used) == 0) {
      if (info.si_pid == 0) return std::nullopt;
      found = status_of(info, used);
    } else if (errno != ECHILD) {
      throw std::system_error(errno, std::generic_category(), "waitid");
    }
  }
  found.wall = system::clock::now() - started;
  status = found;
  return status;
}

child::child() noexcept = default;
child::child(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
child::child(child&&) noexcept = default;

child& child::operator=(child&& other) noexcept {
  child taken(std::move(other));
  std::swap(state_, taken.state_);  // the former one ends here, unless it is the same
  return *this;
}

child::~child() {
  if (!state_) return;
  try {
    // Not TERM first: a destructor that waits for somebody's good will may wait for long.
    if (!poll()) {
      take_group_along();
      signal_group(SIGKILL);
      (void)wait(termination::last_wait);
    }
  } catch (...) {
    // poll(2) has no memory: the process is dead or dying, and at worst a zombie stays until this program ends.
  }
}

pid_t child::pid() const noexcept { return state_->pid; }
bool child::leads_group() const noexcept { return state_->leads_group; }
int child::descriptor() const noexcept { return state_->pidfd.get(); }
unique_fd& child::in() noexcept { return state_->in; }
unique_fd& child::out() noexcept { return state_->out; }
unique_fd& child::err() noexcept { return state_->err; }

std::optional<exit_status> child::poll() { return state_->look(); }

exit_status child::wait() { return *wait(wait_limit()); }

std::optional<exit_status> child::wait(const wait_limit& limit) {
  // The end first, then the limit: a limit ends waiting only.
  if (auto ended = state_->look()) return ended;
  limited_poll until(limit);
  std::vector<pollfd> fds{{state_->pidfd.get(), POLLIN, 0}};
  for (;;) {
    const bool ready = until.wait(fds);
    if (auto ended = state_->look()) return ended;
    if (!ready) return std::nullopt;
  }
}

bool child::signal(int number) {
  mutex_lock lock(state_->gate);
  return !state_->status && state_->pidfd && signal_process(state_->pidfd.get(), number);
}

bool child::signal_group(int number) {
  if (!state_->leads_group) return signal(number);
  mutex_lock lock(state_->gate);
  if (state_->status || !state_->pidfd) return false;
  // A leader that somebody else has collected no longer keeps its number from being used again.
  siginfo_t info{};
  if (wait_for(state_->pidfd.get(), info, WEXITED | WNOHANG | WNOWAIT, nullptr) != 0) return false;
  return ::kill(-state_->pid, number) == 0;
}

void child::take_group_along() {
  mutex_lock lock(state_->gate);
  state_->group_goes_along = true;
}

std::optional<exit_status> child::terminate(const termination& how) {
  if (auto ended = poll()) return ended;
  take_group_along();
  for (const termination::step& step : how.steps()) {
    signal_group(step.signal);
    // A stopped process would hear only after somebody has let it go on.
    if (step.signal != SIGKILL) signal_group(SIGCONT);
    if (auto ended = wait(step.wait)) return ended;
  }
  return std::nullopt;
}

namespace {
unique_fd given_away(child& other, unique_fd& end, const char* what) {
  if (!other || !end) throw std::logic_error(std::string("penstock: the other child has no pipe for its ") + what);
  set_nonblocking(end.get(), false);  // as a program expects its standard descriptors
  return std::move(end);
}
}  // namespace

redirect redirect::from(child& other) { return descriptor(given_away(other, other.out(), "output")); }
redirect redirect::to(child& other) { return descriptor(given_away(other, other.in(), "input")); }

}  // namespace penstock::process
