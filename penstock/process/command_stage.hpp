// command_per_item, persistent_worker: other programs as stages of a pipeline.
//
//   using namespace penstock::process;
//   const auto thumbnail = [](const photo& p) { return command({"vipsthumbnail", p.path, "-o", p.small}); };
//   penstock::from(photos)
//     | penstock::stage("thumbnail", command_per_item(thumbnail, {.timeout = 30s}), {.workers = 4, .on_error = skip})
//     | penstock::stage("score", persistent_worker({"python3", "score.py"}, {.deadline = 5s}), {.workers = 2})
//     | ...
//
// command_per_item    A child for each item. The function makes its command, or a | b | c, or either with an input
//                     (fed_command). The result is the outcome, `completed`, or what a second function makes of item and
//                     outcome:  command_per_item(thumbnail, [](photo& p, completed) { return std::move(p); })
// persistent_worker   A child for each worker of the stage, started at its first item and kept: a line in, a line out, or
//                     as worker_process.hpp says. Items are strings, or two functions make the request of an item, and
//                     the result of item and reply. The program must write each answer at once, which most do not
//                     without an option (worker_process.hpp, BUFFERS): give a deadline.
//
// (A function of this program in a process of its own: isolated.hpp.)
//
// FAILURE  An item whose command fails (`check`), cannot be started, is ended by its time or prints too much has failed,
//          with the command, its end ("killed by signal 11 (SEGV)") and its last error line as the reason; so has one on
//          which a worker died or took longer than its deadline, and then the worker is replaced. Everything else goes
//          on: retries, skipping, dead letters are the stage's.
// ENDING   A stop of the run, or the stage's timeout, ends the command as `end` says, a worker at once.
// THREADS  The functions are called by the stage's workers, at the same time where there are several.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <type_traits>
#include <utility>

#include <penstock/pipeline/stage_function.hpp>
#include <penstock/process/run.hpp>
#include <penstock/process/worker_process.hpp>

namespace penstock::process {

struct item_command_options {
  std::chrono::nanoseconds timeout{0};  // 0: none
  termination end{};
  bool check = true;        // whether anything but exit code 0 is a failure; else the outcome tells
  bool keep_errors = true;  // in the outcome, and their last line in the reason; false: they go where this program's go
  std::size_t most_bytes = std::size_t{64} << 20;  // of output, and of errors, per item
  penstock::process::excess excess = penstock::process::excess::error;
  std::chrono::nanoseconds drain = std::chrono::seconds(5);
  std::size_t memory_bytes = 0;  // address space of each process; 0: no limit of its own
};

// A command with what it is to read.
struct fed_command {
  fed_command(command what, std::string in) : row(std::vector<command>{std::move(what)}), input(std::move(in)) {}
  fed_command(command_row what, std::string in) : row(std::move(what)), input(std::move(in)) {}
  command_row row;
  std::string input;
};

// Runs it as the options say. Throws what run() throws; with `check` command_failed, also after a stop.
completed run_for_item(fed_command what, const item_command_options& options, std::stop_token stop);
completed run_for_item(const command& what, const item_command_options& options, std::stop_token stop);
completed run_for_item(const command_row& what, const item_command_options& options, std::stop_token stop);

// What command_per_item makes. Take: void, or what makes the result.
template <class Make, class Take>
class item_command {
 public:
  item_command(Make make, Take take, item_command_options options)
      : make_(std::move(make)), take_(std::move(take)), options_(std::move(options)) {}

  template <class Item>
    requires std::invocable<const Make&, const Item&>
  auto operator()(Item& item, std::stop_token stop) const {
    completed done = run_for_item(std::invoke(make_, std::as_const(item)), options_, stop);
    // With or without check: what was cut short is no outcome, and the item is handed back.
    if (done.stopped) throw std::runtime_error("stopped before it was done");
    return std::invoke(take_, item, std::move(done));
  }

 private:
  Make make_;
  Take take_;
  item_command_options options_;
};

namespace command_stage_parts {

struct take_outcome {
  template <class Item>
  completed operator()(Item&, completed done) const {
    return done;
  }
};
struct request_is_item {
  const std::string& operator()(const std::string& item) const { return item; }
};
struct result_is_reply {
  template <class Item>
  std::string operator()(Item&, std::string reply) const {
    return reply;
  }
};

}  // namespace command_stage_parts

template <class Make>
[[nodiscard]] auto command_per_item(Make make, item_command_options options = {}) {
  return item_command<Make, command_stage_parts::take_outcome>(std::move(make), {}, std::move(options));
}
template <class Make, class Take>
  requires(!std::convertible_to<Take, item_command_options>)
[[nodiscard]] auto command_per_item(Make make, Take take, item_command_options options = {}) {
  return item_command<Make, Take>(std::move(make), std::move(take), std::move(options));
}

// What persistent_worker makes, one for each worker of the stage.
template <class Request, class Result>
class worker_call {
 public:
  worker_call(command what, const worker_options& options, Request request, Result result)
      : worker_(std::move(what), options), request_(std::move(request)), result_(std::move(result)) {}

  template <class Item>
    requires std::invocable<Request&, const Item&>
  auto operator()(Item& item, std::stop_token stop) {
    auto reply = worker_.ask(std::invoke(request_, std::as_const(item)), wait_limit(std::move(stop)));
    if (!reply) throw std::runtime_error("stopped before it was done");
    return std::invoke(result_, item, *std::move(reply));
  }

 private:
  worker_process worker_;
  Request request_;
  Result result_;
};

template <class Request, class Result>
[[nodiscard]] auto persistent_worker(command what, Request request, Result result, worker_options options = {}) {
  return per_worker([=] { return worker_call<Request, Result>(what, options, request, result); });
}
[[nodiscard]] inline auto persistent_worker(command what, worker_options options = {}) {
  using namespace command_stage_parts;
  return persistent_worker(std::move(what), request_is_item{}, result_is_reply{}, options);
}

}  // namespace penstock::process
