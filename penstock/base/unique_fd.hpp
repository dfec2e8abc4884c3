// unique_fd: sole owner of a file descriptor; closes it when it goes.
//
//   penstock::unique_fd file(::open(path, O_RDONLY | O_CLOEXEC));
//   if (!file) throw std::system_error(errno, std::generic_category(), path);
//
// ENDING   The destructor ignores what close() says. Where that matters (data was written), fsync first: after a
//          successful fsync nothing is left for close() to lose.
#pragma once

#include <utility>

#include <unistd.h>

namespace penstock {

class unique_fd {
 public:
  unique_fd() noexcept = default;
  explicit unique_fd(int fd) noexcept : fd_(fd) {}
  unique_fd(unique_fd&& other) noexcept : fd_(other.release()) {}
  unique_fd& operator=(unique_fd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~unique_fd() { reset(); }

  explicit operator bool() const noexcept { return fd_ >= 0; }
  [[nodiscard]] int get() const noexcept { return fd_; }
  [[nodiscard]] int release() noexcept { return std::exchange(fd_, -1); }
  void reset(int fd = -1) noexcept {
    if (const int old = std::exchange(fd_, fd); old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace penstock
