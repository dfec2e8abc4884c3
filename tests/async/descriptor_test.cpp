// Sockets and pipes in tasks: an echo server with many clients, pipes that are full, peers that are gone, tasks destroyed.
#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <penstock/async/descriptor.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/when.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

struct two_ends {
  two_ends() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) throw std::system_error(errno, std::generic_category(), "pipe2");
    out = descriptor(unique_fd(fds[0]));
    in = descriptor(unique_fd(fds[1]));
  }
  descriptor out, in;
};

task<> echo(descriptor c) {
  std::array<char, 512> buffer;
  while (const std::size_t n = co_await async_read(c, std::span<char>(buffer)))
    co_await async_write(c, std::string_view(buffer.data(), n));
}
task<> serve(descriptor& listener) {
  group connections;
  for (;;) {
    descriptor c = co_await async_accept(listener);
    connections.add(echo(std::move(c)));
  }
}
task<std::string> talk(std::uint16_t port, std::string text) {
  descriptor c = co_await async_connect("127.0.0.1", port);
  std::string back;
  std::array<char, 100> buffer;
  for (int round = 0; round < 3; ++round) {
    co_await async_write(c, text);
    for (std::size_t got = 0; got < text.size();) {
      const std::size_t n = co_await async_read(c, std::span<char>(buffer));
      if (n == 0) co_return "the end came too early";
      back.append(buffer.data(), n);
      got += n;
    }
  }
  co_return back;
}
task<> check_talk(std::uint16_t port, std::string text, int& done) {
  const std::string back = co_await talk(port, text);
  EXPECT_EQ(back, text + text + text);
  ++done;
}

TEST(descriptor, an_echo_server_with_many_clients_on_one_thread) {
  int done = 0;
  const auto all = [&]() -> task<> {
    descriptor listener = listen_on("127.0.0.1", 0);
    group server, clients;
    server.add(serve(listener));
    for (int i = 0; i < 200; ++i) {
      std::string text(static_cast<std::size_t>(1 + i * 5), static_cast<char>('a' + i % 26));
      clients.add(check_talk(port_of(listener), std::move(text), done));
    }
    co_await clients.wait();
    server.cancel();
    const bool by_itself = co_await server.wait();
    EXPECT_FALSE(by_itself);
  };
  run(all());
  EXPECT_EQ(done, 200);
}

TEST(descriptor, more_than_a_pipe_holds_goes_through_in_order) {
  const std::string text = [] {
    std::string t;
    for (int i = 0; t.size() < 1'000'000; ++i) t += std::to_string(i) + ' ';
    return t;
  }();
  const auto write_all = [](descriptor& to, const std::string& t) -> task<> {
    co_await async_write(to, t);
    to.close();
  };
  const auto read_all = [](descriptor& from) -> task<std::string> {
    std::string got;
    std::array<char, 7000> buffer;
    while (const std::size_t n = co_await async_read(from, std::span<char>(buffer))) got.append(buffer.data(), n);
    co_return got;
  };
  const auto all = [&]() -> task<std::string> {
    two_ends pipe;
    auto both = when_all(write_all(pipe.in, text), read_all(pipe.out));
    auto results = co_await std::move(both);
    co_return std::get<1>(results);
  };
  EXPECT_EQ(run(all()), text);
}

TEST(descriptor, a_connection_that_nobody_takes_is_an_error) {
  const auto all = []() -> task<> {
    std::uint16_t port = 0;
    {
      const descriptor listener = listen_on("127.0.0.1", 0);
      port = port_of(listener);
    }
    (void)co_await async_connect("127.0.0.1", port);
  };
  EXPECT_THROW(run(all()), std::system_error);
  EXPECT_THROW(listen_on("no address", 1), std::system_error);
}

TEST(descriptor, writing_to_a_peer_that_is_gone_is_an_error_and_no_signal) {
  const auto all = []() -> task<> {
    descriptor listener = listen_on("::1", 0);
    descriptor c = co_await async_connect("::1", port_of(listener));
    { const descriptor peer = co_await async_accept(listener); }
    const std::string much(100'000, 'x');
    for (int i = 0; i < 1000; ++i) co_await async_write(c, much);
  };
  EXPECT_THROW(run(all()), std::system_error);
}

TEST(descriptor, a_task_that_is_destroyed_while_it_reads_leaves_it_usable) {
  const auto read_one = [](descriptor& from) -> task<std::size_t> {
    std::array<char, 10> buffer;
    co_return co_await async_read(from, std::span<char>(buffer));
  };
  const auto all = [&]() -> task<> {
    two_ends pipe;
    for (int i = 0; i < 3; ++i) {
      const auto nothing = co_await within(1ms, read_one(pipe.out));
      EXPECT_FALSE(nothing.has_value());
    }
    co_await async_write(pipe.in, "abc");
    const std::size_t n = co_await read_one(pipe.out);
    EXPECT_EQ(n, 3u);
  };
  run(all());
}

TEST(descriptor, one_that_outlives_its_loop_can_be_used_on_another) {
  two_ends pipe;
  const auto write_some = [](descriptor& to) -> task<> { co_await async_write(to, "abc"); };
  const auto read_some = [](descriptor& from) -> task<std::size_t> {
    std::array<char, 10> buffer;
    co_return co_await async_read(from, std::span<char>(buffer));
  };
  for (int i = 0; i < 3; ++i) {
    const auto both = [&]() -> task<std::size_t> {
      auto all = when_all(read_some(pipe.out), write_some(pipe.in));
      const auto results = co_await std::move(all);
      co_return std::get<0>(results);
    };
    EXPECT_EQ(run(both()), 3u);
  }
}

TEST(descriptor, readiness_of_one_that_belongs_to_somebody_else) {
  const unique_fd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  const auto wait_for_it = [](int fd) -> task<> { co_await readable(fd); };
  const auto all = [&]() -> task<> {
    co_await writable(event.get());
    const auto nothing = co_await within(1ms, wait_for_it(event.get()));
    EXPECT_FALSE(nothing.has_value());
    group g;
    g.add(wait_for_it(event.get()));
    const std::uint64_t one = 1;
    EXPECT_EQ(::write(event.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    co_await g.wait();
    co_await readable(event.get());  // it still is
  };
  run(all());
}

}  // namespace
}  // namespace penstock
