// Sockets and pipes in tasks: an echo server with many clients, pipes that are full, peers that are gone, tasks destroyed.
#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
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

TEST(descriptor, writing_to_a_pipe_whose_reader_is_gone_is_an_error_and_no_signal) {
  const auto all = []() -> task<> {
    int both[2];
    EXPECT_EQ(::pipe2(both, O_CLOEXEC), 0);
    descriptor to{unique_fd(both[1])};
    ::close(both[0]);
    int error = 0;
    try {
      co_await async_write(to, std::string_view("x"));
    } catch (const std::system_error& e) {
      error = e.code().value();
    }
    EXPECT_EQ(error, EPIPE);
  };
  run(all());
}

struct both_ends {
  both_ends() {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, both), 0);
    here = unique_fd(both[0]);
    there = unique_fd(both[1]);
  }
  unique_fd here, there;
};
task<> until_readable(int fd, int& went_on) {
  co_await readable(fd);
  ++went_on;
}
task<> until_writable(int fd, int& went_on) {
  co_await writable(fd);
  ++went_on;
}
task<> reads_one(descriptor& d, int& went_on) {
  std::array<char, 1> byte;
  const std::size_t count = co_await async_read(d, byte);
  EXPECT_EQ(count, 1u);
  ++went_on;
}

TEST(descriptor, any_number_of_tasks_wait_for_one) {
  int read = 0, written = 0;
  const auto all = [&]() -> task<> {
    both_ends ends;
    const int fd = ends.here.get();
    group g;
    for (int i = 0; i < 3; ++i) g.add(until_readable(fd, read));
    for (int i = 0; i < 2; ++i) g.add(until_writable(fd, written));
    {
      group given_up;
      given_up.add(until_readable(fd, read));
    }
    while (written < 2) co_await yield_to_others();
    EXPECT_EQ(read, 0);
    EXPECT_EQ(::send(ends.there.get(), "x", 1, MSG_NOSIGNAL), 1);
    co_await g.wait();
    co_await readable(fd);  // it still is
  };
  run(all());
  EXPECT_EQ(read, 3);
}

TEST(descriptor, tasks_that_read_one_socket_get_one_byte_each_whatever_else_waits_for_it) {
  int read = 0, told = 0;
  const auto all = [&]() -> task<> {
    both_ends ends;
    const int fd = ends.here.get();
    descriptor d(std::move(ends.here));
    group g;
    for (int i = 0; i < 3; ++i) g.add(reads_one(d, read));
    g.add(until_readable(fd, told));
    for (int i = 0; i < 3; ++i) {
      for (int k = 0; k < 3; ++k) co_await yield_to_others();
      EXPECT_EQ(read, i);
      EXPECT_EQ(::send(ends.there.get(), "x", 1, MSG_NOSIGNAL), 1);
      while (read == i) co_await yield_to_others();
    }
    co_await g.wait();
  };
  run(all());
  EXPECT_EQ(told, 1);
}

TEST(descriptor, a_number_that_was_closed_and_given_again_is_waited_for_anew) {
  int never = 0, read = 0;
  const auto all = [&]() -> task<> {
    group stale, g;
    both_ends first;
    const int number = first.here.get();
    stale.add(until_readable(number, never));
    first.here.reset();  // against the rules: a task waits for it
    both_ends second;
    EXPECT_EQ(second.here.get(), number);
    g.add(until_readable(number, read));
    EXPECT_EQ(::send(second.there.get(), "x", 1, MSG_NOSIGNAL), 1);
    co_await g.wait();
  };
  run(all());
  EXPECT_EQ(read, 1);
  EXPECT_EQ(never, 0);
}

// --- without a descriptor left ---

class no_descriptor_left {
 public:
  no_descriptor_left() {
    ::getrlimit(RLIMIT_NOFILE, &former_);
    const unique_fd next(::dup(0));
    rlimit none = former_;
    none.rlim_cur = static_cast<rlim_t>(next.get());
    EXPECT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  }
  ~no_descriptor_left() { ::setrlimit(RLIMIT_NOFILE, &former_); }

 private:
  rlimit former_{};
};
void expect_emfile(const std::function<void()>& what) {
  try {
    what();
    ADD_FAILURE() << "there was one left";
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), std::errc::too_many_files_open);
    EXPECT_NE(std::string(e.what()).find("ulimit -n"), std::string::npos) << e.what();
  }
}

TEST(descriptor, without_one_left_the_error_has_its_number_and_says_what_to_do) {
  const auto nothing = []() -> task<> { co_return; };
  const auto accepts = []() -> task<> {
    descriptor listener = listen_on("127.0.0.1", 0);
    descriptor client = co_await async_connect("127.0.0.1", port_of(listener));
    const no_descriptor_left here;
    (void)co_await async_accept(listener);
  };
  const auto connects = []() -> task<> {
    const no_descriptor_left here;
    (void)co_await async_connect("127.0.0.1", 1);
  };
  expect_emfile([&] {
    const no_descriptor_left here;
    run(nothing());
  });
  expect_emfile([&] {
    const no_descriptor_left here;
    (void)listen_on("127.0.0.1", 0);
  });
  expect_emfile([&] { run(accepts()); });
  expect_emfile([&] { run(connects()); });
}

}  // namespace
}  // namespace penstock
