#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/process/start_program.hpp>

// clone() under its other name, because ThreadSanitizer replaces the first by one that takes the child for a fork: then it
// sees no locks of this process any more.
extern "C" int __clone(int (*begin)(void*), void* stack, int flags, void* argument, ...) noexcept;  // NOLINT

namespace penstock::process {
namespace {

// The signals that get their default action back: all, but those whose being ignored is meant for children, too.
sigset_t default_signals() noexcept {
  sigset_t set;
  sigfillset(&set);
  for (const int kept : {SIGHUP, SIGINT, SIGQUIT}) {
    struct sigaction now {};
    if (::sigaction(kept, nullptr, &now) == 0 && now.sa_handler == SIG_IGN) sigdelset(&set, kept);
  }
  sigdelset(&set, SIGKILL);
  sigdelset(&set, SIGSTOP);
  return set;
}

// --- without a limit: posix_spawn ---

int prepare(const program_start& what, posix_spawn_file_actions_t* actions, posix_spawnattr_t* attributes) noexcept {
  int error = 0;
  if (what.directory) error = ::posix_spawn_file_actions_addchdir_np(actions, what.directory);
  for (const descriptor_copy& each : what.copies)
    if (!error) error = ::posix_spawn_file_actions_adddup2(actions, each.from, each.to);
  if (!error) error = ::posix_spawn_file_actions_addclosefrom_np(actions, what.close_from);
  // The descriptors are known to be open: a lowered limit of this process no longer allows them.
  if (error == EBADF) error = EMFILE;
  sigset_t mask;
  sigemptyset(&mask);
  const sigset_t defaults = default_signals();
  int flags = POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF;
  if (what.joins_group) flags |= POSIX_SPAWN_SETPGROUP;
  if (!error) error = ::posix_spawnattr_setsigmask(attributes, &mask);
  if (!error) error = ::posix_spawnattr_setsigdefault(attributes, &defaults);
  if (!error) error = ::posix_spawnattr_setpgroup(attributes, what.group);
  if (!error) error = ::posix_spawnattr_setflags(attributes, static_cast<short>(flags));
  return error;
}

int start_unlimited(const program_start& what, pid_t& pid) noexcept {
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  if (const int error = ::posix_spawn_file_actions_init(&actions)) return error;
  int error = ::posix_spawnattr_init(&attributes);
  if (!error) {
    error = prepare(what, &actions, &attributes);
    if (!error) error = ::posix_spawn(&pid, what.program, &actions, &attributes, what.words, what.environment);
    ::posix_spawnattr_destroy(&attributes);
  }
  ::posix_spawn_file_actions_destroy(&actions);
  return error;
}

// --- with a limit: the same steps by ourselves, and the limit before exec ---
//
// posix_spawn has no step for it. The child is made as posix_spawn makes its own: it borrows this process's memory, on
// a stack of its own, and this thread sleeps until the child has executed its program or ended. It makes system calls
// and nothing else: no function of the C library that has a state, and none that a sanitizer replaces, because every
// change of memory is one of this process.

struct limited_start {
  const program_start& what;
  rlimit memory;
  sigset_t defaults;
  int error = 0;  // set by the child
};

// The child's first failing call is kept, and no further one is made.
struct calls {
  int& error;
  template <class... Arguments>
  __attribute__((no_sanitize("address", "thread", "undefined"))) void make(long number, Arguments... arguments) {
    if (!error && ::syscall(number, arguments...) < 0) error = errno;
  }
};

__attribute__((no_sanitize("address", "thread", "undefined"))) int begin(void* argument) {
  limited_start& start = *static_cast<limited_start*>(argument);
  const program_start& what = start.what;
  calls call{start.error};
  constexpr std::size_t set_bytes = _NSIG / 8;
  // The kernel's own structure, which the headers do not declare: all zero is the default action and an empty mask.
  const std::array<unsigned long, 8> zeros{};
  // All signals are blocked still, so no handler of this program ever runs in the child.
  for (int signal = 1; signal < _NSIG; ++signal)
    if (sigismember(&start.defaults, signal) == 1)
      call.make(SYS_rt_sigaction, signal, zeros.data(), nullptr, set_bytes);
  if (what.joins_group) call.make(SYS_setpgid, 0, what.group);
  if (what.directory) call.make(SYS_chdir, what.directory);
  for (const descriptor_copy& each : what.copies) {
    if (each.from == each.to)
      call.make(SYS_fcntl, each.to, F_SETFD, 0);
    else
      call.make(SYS_dup3, each.from, each.to, 0);
  }
  call.make(SYS_close_range, what.close_from, UINT_MAX, 0);
  call.make(SYS_prlimit64, 0, RLIMIT_AS, &start.memory, nullptr);
  call.make(SYS_rt_sigprocmask, SIG_SETMASK, zeros.data(), nullptr, set_bytes);
  call.make(SYS_execve, what.program, what.words, what.environment);
  for (;;) ::syscall(SYS_exit_group, 127);
}

int start_limited(const program_start& what, pid_t& pid) noexcept {
  rlimit memory{};
  if (::getrlimit(RLIMIT_AS, &memory) != 0) return errno;
  // Where a stricter limit holds already, it stays.
  memory.rlim_max = std::min<rlim_t>(memory.rlim_max, what.memory_bytes);
  memory.rlim_cur = memory.rlim_max;
  limited_start start{what, memory, default_signals()};

  constexpr std::size_t stack_bytes = std::size_t{64} << 10;
  void* const stack =
      ::mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return errno;
  sigset_t all, former;
  sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &former);
  const pid_t started =
      ::__clone(begin, static_cast<char*>(stack) + stack_bytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &start);
  int error = started < 0 ? errno : start.error;
  ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
  ::munmap(stack, stack_bytes);
  if (started > 0 && error) {
    int ignored = 0;
    while (::waitpid(started, &ignored, 0) < 0 && errno == EINTR) {
    }
  }
  if (!error) pid = started;
  return error == EBADF ? EMFILE : error;
}

}  // namespace

int start_program(const program_start& what, pid_t& pid) noexcept {
  return what.memory_bytes ? start_limited(what, pid) : start_unlimited(what, pid);
}

}  // namespace penstock::process
