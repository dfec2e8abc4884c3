// How long does a server take to answer a message of 64 bytes on each of N connections, beside a bare epoll loop?
//
//   bench_async_echo serve penstock|epoll|asio|threads      prints its port, and serves until it is killed
//   bench_async_echo ask CONNECTIONS ROUNDS COMMAND...      starts such a server, in the folder of this program, and asks it
//
// The one who asks is the same for all, and a process of its own.
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <boost/asio.hpp>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <penstock/async/descriptor.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/process/run.hpp>
#include <penstock/process/spawn.hpp>

#include "bench/measure.hpp"

namespace {

constexpr std::size_t message = 64;

void tell_port(std::uint16_t port) {
  std::printf("%u\n", port);
  std::fflush(stdout);
}

// --- penstock ---

penstock::task<> echo(penstock::descriptor c) {
  std::array<char, 4096> buffer;
  while (const std::size_t n = co_await penstock::async_read(c, std::span<char>(buffer)))
    co_await penstock::async_write(c, std::string_view(buffer.data(), n));
}
penstock::task<> serve_penstock() {
  penstock::descriptor listener = penstock::listen_on("127.0.0.1", 0);
  tell_port(penstock::port_of(listener));
  penstock::group g;
  for (;;) {
    penstock::descriptor c = co_await penstock::async_accept(listener);
    g.add(echo(std::move(c)));
  }
}

// --- a bare loop ---

int listening_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof a;
  if (fd < 0 || ::bind(fd, reinterpret_cast<sockaddr*>(&a), length) != 0 || ::listen(fd, 1024) != 0 ||
      ::getsockname(fd, reinterpret_cast<sockaddr*>(&a), &length) != 0)
    bench::fail("no listening socket");
  tell_port(ntohs(a.sin_port));
  return fd;
}
void no_delay(int fd) {
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}
void serve_epoll() {
  const int listener = listening_socket(), epoll = ::epoll_create1(0);
  const auto add = [&](int fd) {
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = fd;
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
  };
  add(listener);
  std::array<epoll_event, 512> events;
  std::array<char, 4096> buffer;
  for (;;) {
    const int count = ::epoll_wait(epoll, events.data(), events.size(), -1);
    for (int i = 0; i < count; ++i) {
      const int fd = events[static_cast<std::size_t>(i)].data.fd;
      if (fd == listener) {
        const int c = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (c < 0) continue;
        no_delay(c);
        add(c);
        continue;
      }
      const ssize_t n = ::read(fd, buffer.data(), buffer.size());
      if (n > 0)
        (void)!::write(fd, buffer.data(), static_cast<std::size_t>(n));
      else if (n == 0 || errno != EAGAIN)
        ::close(fd);
    }
  }
}

void serve_threads() {
  const int listener = listening_socket();
  for (;;) {
    const int c = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (c < 0) continue;
    no_delay(c);
    std::thread([c] {
      std::array<char, 4096> buffer;
      for (ssize_t n; (n = ::read(c, buffer.data(), buffer.size())) > 0;)
        (void)!::write(c, buffer.data(), static_cast<std::size_t>(n));
      ::close(c);
    }).detach();  // the process is killed
  }
}

// --- Boost.Asio ---

namespace asio = boost::asio;
using executor = asio::io_context::executor_type;
using asio_socket = asio::basic_stream_socket<asio::ip::tcp, executor>;
using asio_acceptor = asio::basic_socket_acceptor<asio::ip::tcp, executor>;
constexpr asio::use_awaitable_t<executor> awaiting;
asio::awaitable<void, executor> asio_echo(asio_socket c) {
  std::array<char, 4096> buffer;
  boost::system::error_code end;
  for (;;) {
    const std::size_t n = co_await c.async_read_some(asio::buffer(buffer), asio::redirect_error(awaiting, end));
    if (end) co_return;
    co_await asio::async_write(c, asio::buffer(buffer.data(), n), asio::redirect_error(awaiting, end));
    if (end) co_return;
  }
}
asio::awaitable<void, executor> asio_accept(asio::io_context& context, asio_acceptor& listener) {
  for (;;) {
    asio_socket c(context);
    co_await listener.async_accept(c, awaiting);
    c.set_option(asio::ip::tcp::no_delay(true));
    asio::co_spawn(context.get_executor(), asio_echo(std::move(c)), asio::detached);
  }
}
void serve_asio() {
  asio::io_context context(1);
  asio_acceptor listener(context, {asio::ip::address_v4::loopback(), 0});
  tell_port(listener.local_endpoint().port());
  asio::co_spawn(context.get_executor(), asio_accept(context, listener), asio::detached);
  context.run();
}

// --- who asks ---

void many_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

int connected_to(std::uint16_t port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = htons(port);
  a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (fd < 0 || ::connect(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0)
    bench::fail(std::string("cannot connect: ") + std::strerror(errno));
  no_delay(fd);
  const linger at_once{1, 0};  // no port is kept waiting after the end
  ::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  return fd;
}

void ask(std::uint64_t connections, std::uint64_t rounds, std::vector<std::string> server_command) {
  std::filesystem::current_path(std::filesystem::read_symlink("/proc/self/exe").parent_path());
  penstock::process::child server = penstock::process::spawn(penstock::process::command(std::move(server_command)),
                                                             {.out = penstock::process::redirect::pipe()});
  std::string line;
  for (char c = 0; ::read(server.out().get(), &c, 1) == 1 && c != '\n';) line += c;
  const auto port = static_cast<std::uint16_t>(bench::number(line));
  const int epoll = ::epoll_create1(EPOLL_CLOEXEC);
  std::vector<int> all;
  for (std::uint64_t i = 0; i < connections; ++i) {
    all.push_back(connected_to(port));
    epoll_event e{};
    e.events = EPOLLIN;
    e.data.fd = all.back();
    ::epoll_ctl(epoll, EPOLL_CTL_ADD, all.back(), &e);
  }
  std::array<char, message> text{};
  std::array<epoll_event, 512> events;
  const auto one_round = [&] {
    for (const int fd : all)
      if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(message))
        bench::fail("a message was not taken");
    for (std::uint64_t bytes = 0; bytes < connections * message;) {
      const int count = ::epoll_wait(epoll, events.data(), events.size(), 20'000);
      if (count <= 0) bench::fail("no answer");
      for (int i = 0; i < count; ++i) {
        const ssize_t n = ::recv(events[static_cast<std::size_t>(i)].data.fd, text.data(), text.size(), MSG_DONTWAIT);
        if (n <= 0) bench::fail("a connection was closed");
        bytes += static_cast<std::uint64_t>(n);
      }
    }
  };
  one_round();  // everybody is there
  const bench::stopwatch watch;
  for (std::uint64_t r = 0; r < rounds; ++r) one_round();
  const bench::used used = watch.read();
  const auto end = server.terminate("KILL");
  if (!end) bench::fail("the server did not end");
  bench::result(connections * rounds, used)
      .add("rounds", rounds)
      .add("server_cpu_s", std::chrono::duration<double>(end->user + end->system).count())
      .add("server_rss_kib", end->peak_rss_bytes / 1024)
      .print();
}

}  // namespace

int main(int argc, char** argv) {
  many_descriptors();
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "ask" && argc > 4) {
    ask(bench::number(argv[2]), bench::number(argv[3]), {argv + 4, argv + argc});
    return 0;
  }
  const std::string_view system = what == "serve" && argc == 3 ? argv[2] : "";
  if (system == "penstock")
    penstock::run(serve_penstock());
  else if (system == "epoll")
    serve_epoll();
  else if (system == "asio")
    serve_asio();
  else if (system == "threads")
    serve_threads();
  else
    bench::fail("usage: bench_async_echo serve SYSTEM | ask CONNECTIONS ROUNDS COMMAND...");
}
