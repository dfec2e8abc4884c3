#include <algorithm>
#include <cerrno>
#include <chrono>
#include <stdexcept>
#include <system_error>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <penstock/base/interrupts.hpp>

namespace penstock {
namespace {

// All that the signal handler touches: the pipe to write to, -1 for none.
std::atomic<int> handler_fd = -1;
static_assert(std::atomic<int>::is_always_lock_free);

void on_signal(int number) {
  const int saved = errno;
  const auto byte = static_cast<unsigned char>(number);
  if (const int fd = handler_fd.load(); fd >= 0) (void)!::write(fd, &byte, 1);  // full: enough signals are waiting
  errno = saved;
}

}  // namespace

interrupts::interrupts(std::initializer_list<int> at_once, std::chrono::milliseconds apart) : apart_(apart) {
  for (const int number : {SIGINT, SIGTERM}) signals_.push_back({number, false});
  for (const int number : at_once) signals_.push_back({number, true});
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
    throw std::system_error(errno, std::generic_category(), "penstock: no pipe for class interrupts");
  read_end_.reset(fds[0]);
  write_end_.reset(fds[1]);
  int none = -1;
  if (!handler_fd.compare_exchange_strong(none, write_end_.get()))
    throw std::logic_error("penstock: there is an object of class interrupts already");
  // Before the listener starts, which reads them.
  for (taken& s : signals_) ::sigaction(s.number, nullptr, &s.former);
  try {
    listener_ = std::jthread([this] { listen(); });
  } catch (...) {
    handler_fd = -1;
    throw;
  }
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  for (const taken& s : signals_) {
    // Started with nohup or in the background of a script, a signal is ignored; that decision is the user's.
    if (s.former.sa_handler != SIG_IGN) ::sigaction(s.number, &action, nullptr);
  }
}

interrupts::~interrupts() {
  for (const taken& s : signals_) ::sigaction(s.number, &s.former, nullptr);
  handler_fd = -1;
  const unsigned char end = 0;                                      // no signal has this number
  if (::write(write_end_.get(), &end, 1) != 1) write_end_.reset();  // the end of the pipe says the same
  listener_.join();
  // Again: the second signal, heard late, may have set the default action in between.
  for (const taken& s : signals_) ::sigaction(s.number, &s.former, nullptr);
}

void interrupts::listen() {
  auto counted = std::chrono::steady_clock::time_point::min();
  for (;;) {
    pollfd readable{read_end_.get(), POLLIN, 0};
    // Without memory poll() fails: there is nothing to wait for but time, and signals must be heard all the same.
    if (::poll(&readable, 1, -1) < 0 && errno != EINTR) std::this_thread::sleep_for(std::chrono::milliseconds(10));
    unsigned char number = 0;
    const ssize_t got = ::read(read_end_.get(), &number, 1);
    if (got < 0) continue;
    if (got == 0 || number == 0) return;
    last_signal_ = number;
    const auto found =
        std::find_if(signals_.begin(), signals_.end(), [&](const taken& s) { return s.number == number; });
    const bool at_once = found != signals_.end() && found->at_once;
    // timeout(1) and others signal a process and then its group, which it is in: that is one signal, and not two.
    const auto now = std::chrono::steady_clock::now();
    if (count_ > 0 && !at_once && now - counted < apart_) continue;
    counted = now;
    const int before = count_.load();
    count_ = before + 1 + (at_once && before == 0 ? 1 : 0);
    if (before == 0) first_.request_stop();
    if (count_ < 2 || before >= 2) continue;
    // Those of the terminal's end come twice, from it and from its shell: they do not mean more the second time.
    for (const taken& s : signals_)
      if (s.former.sa_handler != SIG_IGN && !s.at_once) ::signal(s.number, SIG_DFL);
    second_.request_stop();
  }
}

}  // namespace penstock
