// run: starts a command, or a chain of them, talks with it, and waits for its end.
//
//   auto files = run({"git", "ls-files"}).out;
//   auto sum = run({"sha256sum"}, {.input = text, .check = true}).out;
//   auto done = run({"ffmpeg", ...}, {.err = redirect::pipe(), .timeout = 30s, .end = "INT,5s,KILL"});
//   if (done.timed_out) ...
//   auto digest = run(command({"openssl", "enc", ...}) | command({"openssl", "dgst"}), {.input = text}).out;
//
// DEFAULTS The output is collected, errors go where this program's go, the input is empty: a command that asks for input
//          does not hang a program that did not know.
// TIME     After `timeout`, or when a stop is requested, it is ended as `end` says, with its group; what it printed until
//          then is there.
// ERRORS   spawn_error, output_too_long; with `check` command_failed for everything but exit code 0 in time;
//          std::runtime_error if it could not be ended at all; std::system_error if the system refuses to wait.
//          is_shortage() of a spawn_error, or of a system_error's code: the machine was short of something (spawn.hpp).
#pragma once

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>

#include <penstock/process/chain.hpp>
#include <penstock/process/communication.hpp>
#include <penstock/process/spawn.hpp>

namespace penstock::process {

struct run_options {
  std::string input{};  // if there is any, through a pipe, whatever `in` says
  redirect in = redirect::null();
  redirect out = redirect::pipe();
  redirect err = redirect::inherit();
  std::chrono::nanoseconds timeout{0};  // 0: none
  termination end{};
  std::stop_token stop{};
  bool check = false;
  pid_t group = spawn_options::own_group;
  std::size_t memory_bytes = 0;  // address space; 0: no limit of its own
  penstock::process::pipefail pipefail = penstock::process::pipefail::forgiving;
  // As in communication_options.
  std::size_t most_bytes = std::size_t{1} << 30;
  penstock::process::excess excess = penstock::process::excess::error;
  std::function<void(std::string_view)> on_out{};
  std::function<void(std::string_view)> on_err{};
  std::chrono::nanoseconds drain = std::chrono::seconds(5);
};

class command_failed : public std::runtime_error {
 public:
  command_failed(const std::string& text, completed done)
      : std::runtime_error(text), done_(std::make_shared<completed>(std::move(done))) {}
  [[nodiscard]] const completed& result() const noexcept { return *done_; }

 private:
  std::shared_ptr<completed> done_;  // shared: an exception is copied
};

completed run(const command& what, run_options options = {});
completed run(const command_row& row, run_options options = {});

}  // namespace penstock::process
