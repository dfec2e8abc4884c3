// chain: commands connected by pipes, as a | b | c in a shell, in one process group and without a shell.
//
//   using penstock::process::command;
//   penstock::process::chain c(command({"openssl", "enc", ...}) | command({"openssl", "dgst"}), {.out = redirect::pipe()});
//   auto statuses = c.wait();
//
// run(a | b | c, options) runs one and collects its output.
//
// PIPES    Between the members they are nobody's but the members': when one ends early, those before it are told by
//          SIGPIPE, or by EPIPE if they ignore it. `in` is the first one's, `out` the last one's, `err` that of all.
// GROUP    The first member leads it, the others join; signals go to all. The first is collected last. Where SIGCHLD
//          is ignored in this program, the system collects a leader that ends before the others have joined it; then
//          the next member leads a group, and all statuses are unknown.
// ENDING   If a member cannot be started, those before it are ended. As with child, the destructor ends what still runs.
// THREADS  One at a time; a member's own functions as child says.
#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <penstock/process/spawn.hpp>

namespace penstock::process {

// Commands in a row: what a | b makes.
class command_row {
 public:
  command_row(command first, command second) {
    commands_.push_back(std::move(first));
    commands_.push_back(std::move(second));
  }
  explicit command_row(std::vector<command> commands) : commands_(std::move(commands)) {}
  friend command_row operator|(command_row row, command next) {
    row.commands_.push_back(std::move(next));
    return row;
  }
  [[nodiscard]] const std::vector<command>& commands() const noexcept { return commands_; }

 private:
  std::vector<command> commands_;
};
[[nodiscard]] inline command_row operator|(command first, command second) {
  return {std::move(first), std::move(second)};
}

// Which member's status counts for the chain.
enum class pipefail : std::uint8_t {
  forgiving,  // the last that failed; but one before the end that died of SIGPIPE has not failed: the next had enough
  strict,     // the last that failed
  off,        // the last member, whatever the others did
};
// REQUIRES at least one.
[[nodiscard]] exit_status status_of_chain(std::span<const exit_status> members, pipefail how);

class chain {
 public:
  // options.group must not be another child's. Throws as spawn; std::invalid_argument for a row without commands.
  explicit chain(const command_row& row, spawn_options options = {});
  chain(chain&&) noexcept = default;
  chain& operator=(chain&& other) noexcept;

  [[nodiscard]] std::vector<child>& members() noexcept { return members_; }
  [[nodiscard]] unique_fd& in() noexcept { return members_.front().in(); }
  [[nodiscard]] unique_fd& out() noexcept { return members_.back().out(); }
  [[nodiscard]] unique_fd& err() noexcept { return err_; }

  std::vector<exit_status> wait();
  [[nodiscard]] std::optional<std::vector<exit_status>> wait(const wait_limit& limit);
  bool signal(int number);  // to all
  std::optional<std::vector<exit_status>> terminate(const termination& how = {});

 private:
  std::vector<child> members_;
  unique_fd err_;
};

}  // namespace penstock::process
