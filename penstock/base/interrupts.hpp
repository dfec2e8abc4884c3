// interrupts: SIGINT and SIGTERM as two stop tokens: the first signal says drain, the second says stop.
//
//   penstock::interrupts signals;
//   auto report = penstock::from(files) | ... | penstock::run({.stop = signals.second(), .drain = signals.first()});
//   return signals.count() ? 130 : 0;
//
// THREADS  One thread of its own reads the signals, so what hangs on the tokens runs there, not in a signal handler.
// ENDING   The destructor puts the former handlers back. A third signal finds the default action: a program that hangs
//          in spite of everything can still be ended from the keyboard.
// APART    Signals that come sooner than `apart` after the one before count as that one: timeout(1) signals a process and
//          then its group, so that it gets the same signal twice.
// AT ONCE  Signals that the constructor is given say stop the first time: interrupts signals({SIGHUP, SIGQUIT}).
// REQUIRES At most one object at a time in a process (throws std::logic_error): a signal handler is global by nature.
// THROWS   std::system_error where the process has no two descriptors left for its pipe; the signals are untouched then.
#pragma once

#include <atomic>
#include <chrono>
#include <csignal>
#include <initializer_list>
#include <stop_token>
#include <thread>
#include <vector>

#include <penstock/base/unique_fd.hpp>

namespace penstock {

class interrupts {
 public:
  explicit interrupts(std::initializer_list<int> at_once = {}, std::chrono::milliseconds apart = {});
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;
  ~interrupts();

  [[nodiscard]] std::stop_token first() const noexcept { return first_.get_token(); }
  [[nodiscard]] std::stop_token second() const noexcept { return second_.get_token(); }
  [[nodiscard]] int count() const noexcept { return count_.load(); }
  [[nodiscard]] int last_signal() const noexcept { return last_signal_.load(); }  // 0: none so far

 private:
  void listen();

  const std::chrono::milliseconds apart_;

  struct taken {
    int number;
    bool at_once;
    struct sigaction former {};
  };
  std::stop_source first_;
  std::stop_source second_;
  std::atomic<int> count_ = 0;
  std::atomic<int> last_signal_ = 0;
  unique_fd read_end_;
  unique_fd write_end_;
  std::vector<taken> signals_;
  std::jthread listener_;
};

}  // namespace penstock
