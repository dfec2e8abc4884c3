// How many programs a second can be started and waited for, two at a time? Beside the bare vfork loop, which is the limit.
//
//   bench_process_spawning vfork|spawn|run_call|command_stage COUNT true|echo
//
// spawn: spawn() and wait, one thread; run_call: two threads that call run(), output collected;
// command_stage: a pipeline's stage of two workers with a command for each item.
#include <array>
#include <string>
#include <thread>
#include <vector>

#include <poll.h>

#include <penstock/penstock.hpp>
#include <penstock/process/command_stage.hpp>

#include "bench/process/children.hpp"

namespace {

using namespace penstock::process;

constexpr std::size_t at_once = 2;

command command_of(bool echo, std::uint64_t n) {
  if (echo) return {"/bin/sh", "-c", "echo " + std::to_string(n)};
  return {"/bin/true"};
}

void bare(std::uint64_t count, bool echo, int out) {
  std::uint64_t running = 0;
  const auto wait_for_one = [&] {
    int status = 0;
    bench::check(::wait4(-1, &status, 0, nullptr) > 0, "wait4");
    bench::check_exit(status);
    --running;
  };
  for (std::uint64_t i = 0; i < count; ++i) {
    if (running == at_once) wait_for_one();
    const std::string script = "echo " + std::to_string(i);
    const std::array<const char*, 4> sh{"/bin/sh", "-c", script.c_str(), nullptr};
    const std::array<const char*, 2> nothing{"/bin/true", nullptr};
    bench::bare_start(echo ? sh.data() : nothing.data(), echo ? out : -1);
    ++running;
  }
  while (running) wait_for_one();
}

void with_children(std::uint64_t count, bool echo, int out) {
  std::array<child, at_once> running;
  std::vector<pollfd> fds;
  std::uint64_t started = 0, ended = 0;
  while (ended < count) {
    fds.clear();
    for (child& c : running) {
      if (!c && started < count) {
        spawn_options options;
        if (echo) options.out = redirect::descriptor(out);
        c = spawn(command_of(echo, started++), std::move(options));
      }
      if (c) fds.push_back({c.descriptor(), POLLIN, 0});
    }
    ::poll(fds.data(), fds.size(), -1);
    for (child& c : running) {
      if (!c) continue;
      if (const auto status = c.poll()) {
        bench::check(status->ok(), to_string(*status));
        c = child();
        ++ended;
      }
    }
  }
}

// Each call's output is collected; it is put together again for the check.
void with_run(std::uint64_t count, bool echo, int out) {
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < at_once; ++t)
    threads.emplace_back([=] {
      for (std::uint64_t i = t; i < count; i += at_once) {
        const completed done = run(command_of(echo, i), {.check = true});
        if (echo) bench::check(::write(out, done.out.data(), done.out.size()) > 0, "a write");
      }
    });
}

void with_a_stage(std::uint64_t count, bool echo, int out) {
  std::uint64_t n = 0;
  const auto report =
      penstock::from([&]() -> std::optional<std::uint64_t> { return n < count ? std::optional(n++) : std::nullopt; }) |
      penstock::stage("start", command_per_item([echo](const std::uint64_t& i) { return command_of(echo, i); }),
                      {.workers = at_once}) |
      penstock::sink("print",
                     [&](completed& done) {
                       if (echo) bench::check(::write(out, done.out.data(), done.out.size()) > 0, "a write");
                     }) |
      penstock::run();
  bench::check_sum(report.delivered, count, "items delivered");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) bench::fail("usage: bench_process_spawning SYSTEM COUNT true|echo");
  const std::string system = argv[1];
  const std::uint64_t count = bench::number(argv[2]);
  const bool echo = std::string(argv[3]) == "echo";
  const bench::collected_lines printed;
  const bench::stopwatch_with_children watch;
  if (system == "vfork")
    bare(count, echo, printed.fd());
  else if (system == "spawn")
    with_children(count, echo, printed.fd());
  else if (system == "run_call")
    with_run(count, echo, printed.fd());
  else if (system == "command_stage")
    with_a_stage(count, echo, printed.fd());
  else
    bench::fail("no such system");
  bench::result r(count, watch.read());
  if (echo) printed.check_numbers(count);
  r.print();
}
