#include <cerrno>
#include <ctime>

#include <penstock/base/no_sigpipe.hpp>

namespace penstock {

namespace {
sigset_t only_sigpipe() noexcept {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  return set;
}
}  // namespace

no_sigpipe::no_sigpipe() noexcept {
  sigset_t pending;
  sigemptyset(&pending);
  ::sigpending(&pending);
  was_pending_ = ::sigismember(&pending, SIGPIPE) == 1;
  const sigset_t set = only_sigpipe();
  ::pthread_sigmask(SIG_BLOCK, &set, &former_);
}

no_sigpipe::~no_sigpipe() {
  const int error = errno;
  // A signal that was pending before is not this object's to take.
  if (!was_pending_) {
    const sigset_t set = only_sigpipe();
    const timespec now{};
    while (::sigtimedwait(&set, nullptr, &now) < 0 && errno == EINTR) {
    }
  }
  ::pthread_sigmask(SIG_SETMASK, &former_, nullptr);
  errno = error;
}

}  // namespace penstock
