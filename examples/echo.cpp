// A server that echoes, and two hundred clients that talk to it at the same time: sockets in tasks, all on this one thread. Each connection is a
// few lines that read from top to bottom; where a callback would have kept a state, there is a local variable.
#include <array>
#include <cstdio>
#include <string>

#include <penstock/async/descriptor.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/when.hpp>

using penstock::descriptor, penstock::group, penstock::task;

task<> echo(descriptor connection) {
  std::array<char, 1024> buffer;
  while (const std::size_t n = co_await async_read(connection, std::span<char>(buffer)))
    co_await async_write(connection, std::string_view(buffer.data(), n));
}
task<> serve(descriptor& listener) {
  group connections;  // goes when this task goes, and every connection with it
  while (true) {
    descriptor connection = co_await async_accept(listener);
    connections.add(echo(std::move(connection)));
  }
}

task<> talk(std::uint16_t port, int number, int& understood) {
  descriptor server = co_await penstock::async_connect("127.0.0.1", port);
  const std::string text = "this is client " + std::to_string(number);
  co_await async_write(server, text);
  std::string answer(text.size(), ' ');
  for (std::size_t got = 0; got < answer.size();) {
    const std::size_t n = co_await async_read(server, std::span<char>(answer).subspan(got));
    if (n == 0) co_return;  // the end came too early
    got += n;
  }
  understood += answer == text;
}
task<> talk_all(std::uint16_t port, int clients, int& understood) {
  group g;
  for (int i = 0; i < clients; ++i) g.add("client " + std::to_string(i), talk(port, i, understood));
  co_await g.wait();
}

int main() {
  int understood = 0;
  const auto all = [&]() -> task<> {
    descriptor listener = penstock::listen_on("127.0.0.1", 0);
    // The server never ends by itself; when the clients have, it is destroyed where it waits.
    auto either = when_any(serve(listener), talk_all(port_of(listener), 200, understood));
    (void)co_await std::move(either);
  };
  penstock::run(all());
  std::printf("%d clients have been understood\n", understood);
}
