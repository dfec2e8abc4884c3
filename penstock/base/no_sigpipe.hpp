// no_sigpipe: while it lives, a write of this thread to a pipe without a reader fails with EPIPE, and no signal is raised.
//
//   const no_sigpipe here;
//   const ssize_t n = ::write(pipe, bytes, count);      // -1 and EPIPE if the reader is gone
//
// The SIGPIPE action of the process is not touched, because it belongs to the program.
// THREADS  Created and destroyed on one thread; the mask of no other thread changes.
// COST     Four system calls. send() with MSG_NOSIGNAL does the same for a socket without them.
#pragma once

#include <csignal>

namespace penstock {

class no_sigpipe {
 public:
  no_sigpipe() noexcept;
  ~no_sigpipe();  // errno is left as it was
  no_sigpipe(const no_sigpipe&) = delete;
  no_sigpipe& operator=(const no_sigpipe&) = delete;

 private:
  sigset_t former_;
  bool was_pending_;
};

}  // namespace penstock
