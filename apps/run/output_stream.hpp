// output_stream: stdout or stderr of the tool, written without ever being stuck in write(2): a reader that has stopped
// reading (a pager, a frozen terminal) must not keep the tool from hearing signals.
//
// WAITING  A pipe or terminal is opened once more, as a description of our own that does not block; where that is not
//          allowed, poll(2) comes before each write, which then is as small as what fits. While it waits for the reader,
//          write() looks at give_up() twenty times a second: a wait that has no descriptor of its own cannot fail for
//          want of one.
// THREADS  write() one at a time; give_up() at any time.
// ERRORS   errno, 0: all was written. ECANCELED: given up. Once there was an error, nothing is written any more.
#pragma once

#include <atomic>
#include <cstddef>
#include <string_view>

#include <penstock/base/unique_fd.hpp>

namespace penstock::runner {

class output_stream {
 public:
  explicit output_stream(int fd);

  int write(std::string_view bytes) noexcept;
  // Writes as much as is possible without waiting; returns how much that was.
  std::size_t write_now(std::string_view bytes) noexcept;
  // From now on a write waits a moment for its reader, no longer.
  void give_up() noexcept { given_up_ = true; }
  [[nodiscard]] bool is_terminal() const noexcept { return terminal_; }
  // A short text can be written without waiting.
  [[nodiscard]] bool has_room() const noexcept;

 private:
  bool wait_for_room() noexcept;
  [[nodiscard]] int number() const noexcept { return own_ ? own_.get() : fd_; }

  const int fd_;
  unique_fd own_;
  bool terminal_ = false;
  std::size_t most_ = static_cast<std::size_t>(1) << 20;  // at once
  bool may_block_ = false;                                // a write of more than fits
  int error_ = 0;
  std::atomic<bool> given_up_ = false;
};

}  // namespace penstock::runner
