// Pages fetched over HTTP, all at the same time, each within ten seconds or not at all.
//
//   example_http_fetch 192.0.2.1 80 /index.html /news.html        asks a server
//   example_http_fetch                                            asks one of its own
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include <penstock/async/descriptor.hpp>
#include <penstock/async/fan_out.hpp>
#include <penstock/async/run.hpp>

using namespace penstock;

task<std::string> read_to_end(descriptor& from, const char* end = nullptr) {
  std::string text;
  std::array<char, 4096> buffer;
  while (const std::size_t n = co_await async_read(from, std::span<char>(buffer))) {
    text.append(buffer.data(), n);
    if (end != nullptr && text.ends_with(end)) break;
  }
  co_return text;
}

task<std::string> fetch(std::string address, std::uint16_t port, std::string path) {
  descriptor server = co_await async_connect(address, port);
  const std::string request = "GET " + path + " HTTP/1.0\r\nHost: " + address + "\r\n\r\n";
  co_await async_write(server, request);
  co_return co_await read_to_end(server);
}

// The answer's first line, and how long it is.
task<std::string> look_at(const std::string& address, std::uint16_t port, const std::string& path) {
  using namespace std::chrono_literals;
  const auto answer = co_await within(10s, fetch(address, port, path));
  if (!answer) co_return path + ": no answer within ten seconds";
  co_return path + ": " + answer->substr(0, answer->find('\r')) + ", " + std::to_string(answer->size()) + " bytes";
}

// As much of a server as it takes.
task<> answer(descriptor client) {
  const std::string request = co_await read_to_end(client, "\r\n\r\n");
  const std::string text = request.starts_with("GET / ") ? "HTTP/1.0 200 OK\r\n\r\nwelcome\n" : "HTTP/1.0 404 Not Found\r\n\r\n";
  co_await async_write(client, text);
}
task<> serve(descriptor& listener) {
  group clients;
  while (true) {
    descriptor client = co_await async_accept(listener);
    clients.add(answer(std::move(client)));
  }
}

task<> run_all(std::string address, std::uint16_t port, std::vector<std::string> paths) {
  descriptor listener;
  group server;  // after it, because it is destroyed before it
  if (paths.empty()) {
    listener = listen_on("127.0.0.1", 0);
    address = "127.0.0.1";
    port = port_of(listener);
    paths = {"/", "/nowhere"};
    server.add(serve(listener));
  }
  const auto look = [&](const std::string& path) { return look_at(address, port, path); };
  auto looking = fan_out(paths, look);
  const std::vector<std::string> lines = co_await std::move(looking);
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
}

int main(int argc, char** argv) {
  if (argc < 4)
    run(run_all({}, 0, {}));
  else
    run(run_all(argv[1], static_cast<std::uint16_t>(std::atoi(argv[2])), {argv + 3, argv + argc}));
}
