// descriptor: a socket, pipe or anything else that can be polled, for tasks. Enough for an echo server or an HTTP fetch.
//
//   descriptor listener = listen_on("127.0.0.1", 8080);
//   for (;;) {
//     descriptor c = co_await async_accept(listener);
//     g.add(echo(std::move(c)));
//   }
//   ...
//   descriptor c = co_await async_connect("127.0.0.1", 8080);
//   co_await async_write(c, request);                                   // all of it
//   while (const std::size_t n = co_await async_read(c, buffer)) ...    // what is there; 0: the end
//   co_await readable(pidfd);                                           // any descriptor, not owned
//
// THREADS   A descriptor belongs to the loop on which it is awaited, as long as that runs.
// TOGETHER  Any number of tasks may wait for one descriptor, to read and to write, with descriptor and with readable() and
//           writable() of the same number. Each of them goes on when there is news; a task that finds nothing left, because
//           another one was first, waits again. Bytes that one async_write writes may have others' between them.
// ENDING    Destroyed: closed. REQUIRES: nobody awaits it. A task that is destroyed while it reads has read nothing; one that
//           writes may have written a part.
// ERRORS    std::system_error: EPIPE if the reader of a pipe or a socket is gone (no SIGPIPE is raised), EMFILE if no
//           descriptor is left; the message says which limit to raise.
// COST      One epoll_ctl in its life, edge-triggered; a read or write that need not wait is one system call.
#pragma once

#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <penstock/async/loop.hpp>
#include <penstock/async/task.hpp>
#include <penstock/base/links.hpp>
#include <penstock/base/unique_fd.hpp>

namespace penstock {

class descriptor {
 public:
  descriptor() noexcept = default;
  // Takes it over and makes it non-blocking. Throws std::system_error.
  explicit descriptor(unique_fd fd);
  descriptor(descriptor&&) noexcept = default;
  descriptor& operator=(descriptor&&) noexcept = default;

  explicit operator bool() const noexcept { return state_ != nullptr; }
  [[nodiscard]] int get() const noexcept { return state_ ? state_->fd.get() : -1; }
  void close() noexcept { state_.reset(); }

  // Until it may be worth trying again to read (or to write). For what is built on it.
  class [[nodiscard]] readiness_wait;
  readiness_wait may_read() noexcept;
  readiness_wait may_write() noexcept;

 private:
  // Behind a pointer, because the loop knows its address.
  struct state final : watch {
    explicit state(unique_fd f) noexcept : fd(std::move(f)) {}
    ~state() {
      if (loop::is_here(where)) loop::here().stop(*this, fd.get());  // it may have outlived it
    }
    void happened(std::uint32_t epoll_events) noexcept override;
    unique_fd fd;
    std::uint64_t where = 0;  // the loop's number
    // Whether something has happened since a task last waited; the tasks that wait.
    bool read_news = false, write_news = false;
    links<ready_link> readers, writers;
  };
  std::unique_ptr<state> state_;
};

class descriptor::readiness_wait final : private ready_link {
 public:
  readiness_wait(state& s, bool to_write) noexcept : state_(s), to_write_(to_write) {}
  bool await_ready() const noexcept { return false; }
  bool await_suspend(std::coroutine_handle<> h);
  void await_resume() const noexcept {}

 private:
  state& state_;
  const bool to_write_;
};

inline descriptor::readiness_wait descriptor::may_read() noexcept { return {*state_, false}; }
inline descriptor::readiness_wait descriptor::may_write() noexcept { return {*state_, true}; }

// Until at least one byte is there; how many were read, 0 at the end (or for an empty buffer).
task<std::size_t> async_read(descriptor& from, std::span<std::byte> buffer);
task<std::size_t> async_read(descriptor& from, std::span<char> buffer);
// All of it.
task<> async_write(descriptor& to, std::span<const std::byte> bytes);
task<> async_write(descriptor& to, std::string_view text);

// A listening TCP socket; port 0: any, port_of() tells which. address: numeric, IPv4 or IPv6.
descriptor listen_on(const std::string& address, std::uint16_t port, int backlog = 1024);
[[nodiscard]] std::uint16_t port_of(const descriptor& socket);
task<descriptor> async_accept(descriptor& listener);
// address: numeric. Resolving names blocks: on(pool, ...) is for that.
task<descriptor> async_connect(std::string address, std::uint16_t port);

// Until a descriptor that belongs to other code is readable, or writable: at once if it is now. A pidfd is readable when its
// process has ended.
class [[nodiscard]] descriptor_wait final : private watch, private ready_link {
 public:
  descriptor_wait(int fd, std::uint32_t events) noexcept : fd_(fd), events_(events) {}
  ~descriptor_wait() { end(); }
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h);
  void await_resume() noexcept { end(); }

 private:
  void happened(std::uint32_t) noexcept override;
  void end() noexcept;
  const int fd_;
  const std::uint32_t events_;
  loop* where_ = nullptr;
};
[[nodiscard]] descriptor_wait readable(int fd) noexcept;
[[nodiscard]] descriptor_wait writable(int fd) noexcept;

}  // namespace penstock
