#include <cerrno>
#include <cstring>
#include <utility>

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <penstock/async/descriptor.hpp>
#include <penstock/base/descriptor_error.hpp>
#include <penstock/base/no_sigpipe.hpp>

namespace penstock {

namespace {

[[noreturn]] void fail(const char* what, int error = errno) { throw descriptor_error(what, error); }
bool would_block() noexcept { return errno == EAGAIN || errno == EWOULDBLOCK; }

struct socket_address {
  sockaddr_storage storage{};
  socklen_t length = 0;
  [[nodiscard]] sockaddr* get() noexcept { return reinterpret_cast<sockaddr*>(&storage); }
};
socket_address numeric(const std::string& address, std::uint16_t port) {
  socket_address a;
  in_addr four{};
  in6_addr six{};
  if (::inet_pton(AF_INET, address.c_str(), &four) == 1) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(port);
    in.sin_addr = four;
    std::memcpy(&a.storage, &in, a.length = sizeof in);
  } else if (::inet_pton(AF_INET6, address.c_str(), &six) == 1) {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(port);
    in.sin6_addr = six;
    std::memcpy(&a.storage, &in, a.length = sizeof in);
  } else {
    fail(("not a numeric address: " + address).c_str(), EINVAL);
  }
  return a;
}
unique_fd stream_socket(const socket_address& a) {
  unique_fd fd(::socket(a.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) fail("socket");
  return fd;
}
// Small writes are sent at once: who wants to collect does so before.
void send_at_once(int fd) noexcept {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

}  // namespace

descriptor::descriptor(unique_fd fd) {
  const int flags = ::fcntl(fd.get(), F_GETFL);
  if (flags < 0 || ((flags & O_NONBLOCK) == 0 && ::fcntl(fd.get(), F_SETFL, flags | O_NONBLOCK) < 0)) fail("fcntl");
  state_ = std::make_unique<state>(std::move(fd));
}

void descriptor::state::happened(std::uint32_t epoll_events) noexcept {
  const bool both = (epoll_events & (EPOLLERR | EPOLLHUP)) != 0;
  if (both || (epoll_events & (EPOLLIN | EPOLLRDHUP)) != 0) {
    read_news = true;
    while (ready_link* const one = readers.pop_front()) loop::here().make_ready(*one);
  }
  if (both || (epoll_events & EPOLLOUT) != 0) {
    write_news = true;
    while (ready_link* const one = writers.pop_front()) loop::here().make_ready(*one);
  }
}

// Edge-triggered: a task that found nothing to read waits for news. It may have come between its look and this call.
bool descriptor::readiness_wait::await_suspend(std::coroutine_handle<> h) {
  loop& here = loop::here();
  if (state_.where != here.number()) {
    state_.read_news = state_.write_news = false;
    here.start(state_, state_.fd.get(), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
    state_.where = here.number();
  }
  bool& news = to_write_ ? state_.write_news : state_.read_news;
  if (std::exchange(news, false)) return false;
  coroutine = h;
  (to_write_ ? state_.writers : state_.readers).push_back(*this);
  return true;
}

task<std::size_t> async_read(descriptor& from, std::span<std::byte> buffer) {
  for (;;) {
    const ssize_t n = ::read(from.get(), buffer.data(), buffer.size());
    if (n >= 0) co_return static_cast<std::size_t>(n);
    if (errno == EINTR) continue;
    if (!would_block()) fail("read");
    co_await from.may_read();
  }
}
task<std::size_t> async_read(descriptor& from, std::span<char> buffer) {
  return async_read(from, std::as_writable_bytes(buffer));
}

task<> async_write(descriptor& to, std::span<const std::byte> bytes) {
  bool is_socket = true;
  while (!bytes.empty()) {
    // Without a signal if the reader is gone. A pipe has no send().
    ssize_t n = is_socket ? ::send(to.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL) : -1;
    if (n < 0 && is_socket && errno == ENOTSOCK) is_socket = false;
    if (!is_socket) {
      const no_sigpipe here;
      n = ::write(to.get(), bytes.data(), bytes.size());
    }
    if (n >= 0) {
      bytes = bytes.subspan(static_cast<std::size_t>(n));
      continue;
    }
    if (errno == EINTR) continue;
    if (!would_block()) fail("write");
    co_await to.may_write();
  }
}
task<> async_write(descriptor& to, std::string_view text) {
  return async_write(to, std::as_bytes(std::span<const char>(text.data(), text.size())));
}

descriptor listen_on(const std::string& address, std::uint16_t port, int backlog) {
  socket_address a = numeric(address, port);
  unique_fd fd = stream_socket(a);
  const int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (::bind(fd.get(), a.get(), a.length) != 0) fail("bind");
  if (::listen(fd.get(), backlog) != 0) fail("listen");
  return descriptor(std::move(fd));
}

std::uint16_t port_of(const descriptor& socket) {
  socket_address a;
  a.length = sizeof a.storage;
  if (::getsockname(socket.get(), a.get(), &a.length) != 0) fail("getsockname");
  if (a.storage.ss_family == AF_INET6) {
    sockaddr_in6 in{};
    std::memcpy(&in, &a.storage, sizeof in);
    return ntohs(in.sin6_port);
  }
  sockaddr_in in{};
  std::memcpy(&in, &a.storage, sizeof in);
  return ntohs(in.sin_port);
}

task<descriptor> async_accept(descriptor& listener) {
  for (;;) {
    unique_fd fd(::accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
    if (fd) {
      send_at_once(fd.get());
      co_return descriptor(std::move(fd));
    }
    if (errno == EINTR || errno == ECONNABORTED) continue;
    if (!would_block()) fail("accept");
    co_await listener.may_read();
  }
}

task<descriptor> async_connect(std::string address, std::uint16_t port) {
  socket_address a = numeric(address, port);
  descriptor d(stream_socket(a));
  send_at_once(d.get());
  if (::connect(d.get(), a.get(), a.length) != 0) {
    if (errno != EINPROGRESS && errno != EINTR) fail("connect");
    // The news that comes with its registration is that it is not connected yet; so the error is asked for until it is.
    for (;;) {
      co_await d.may_write();
      int error = 0;
      socklen_t length = sizeof error;
      if (::getsockopt(d.get(), SOL_SOCKET, SO_ERROR, &error, &length) != 0) fail("getsockopt");
      if (error != 0) fail("connect", error);
      socket_address peer;
      peer.length = sizeof peer.storage;
      if (::getpeername(d.get(), peer.get(), &peer.length) == 0) break;
      if (errno != ENOTCONN) fail("connect");
    }
  }
  co_return d;
}

// --- descriptors of others ---

void descriptor_wait::await_suspend(std::coroutine_handle<> h) {
  coroutine = h;
  loop& here = loop::here();
  here.start(*this, fd_, events_);
  where_ = &here;
}
void descriptor_wait::happened(std::uint32_t) noexcept {
  loop& where = *where_;
  end();
  where.make_ready(*this);
}
void descriptor_wait::end() noexcept {
  if (where_) std::exchange(where_, nullptr)->stop(*this, fd_);
}
descriptor_wait readable(int fd) noexcept { return {fd, EPOLLIN}; }
descriptor_wait writable(int fd) noexcept { return {fd, EPOLLOUT}; }

}  // namespace penstock
