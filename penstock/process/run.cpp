#include <stdexcept>
#include <utility>

#include <penstock/process/await_child.hpp>
#include <penstock/process/run.hpp>

namespace penstock::process {
namespace {

spawn_options places_of(run_options& o) {
  spawn_options made;
  made.in = o.input.empty() ? std::move(o.in) : redirect::pipe();
  made.out = std::move(o.out);
  made.err = std::move(o.err);
  made.group = o.group;
  made.memory_bytes = o.memory_bytes;
  return made;
}

communication_options talk_of(run_options& o) {
  return {.input = std::move(o.input),
          .most_bytes = o.most_bytes,
          .excess = o.excess,
          .on_out = std::move(o.on_out),
          .on_err = std::move(o.on_err),
          .drain = o.drain};
}

std::string last_line(const std::string& text) {
  const auto end = text.find_last_not_of(" \n\r\t");
  if (end == text.npos) return {};
  const auto before = text.find_last_of('\n', end);
  return text.substr(before == text.npos ? 0 : before + 1, end - (before == text.npos ? 0 : before + 1) + 1);
}

std::string failure_text(const std::string& what, const completed& done) {
  std::string text = what + ": " + to_string(done.status);
  if (done.timed_out) text += ", because its time was over";
  if (done.stopped) text += ", because a stop was requested";
  if (const std::string said = last_line(done.err); !said.empty()) text += ": " + said;
  return text;
}

wait_limit limit_of(const run_options& o) {
  return o.timeout.count() ? wait_limit(o.stop, o.timeout) : wait_limit(o.stop);
}
[[noreturn]] void fail_to_end(const std::string& what) {
  throw std::runtime_error(what + " could not be ended: it may be waiting inside the kernel");
}

completed judged(communication& talk, const run_options& options, const std::string& what, bool timed_out,
                 bool stopped) {
  completed done = talk.result();
  if (!done.members.empty()) done.status = status_of_chain(done.members, options.pipefail);
  done.timed_out = timed_out;
  done.stopped = stopped;
  if (options.check && !done.ok()) {
    const std::string text = failure_text(what, done);
    throw command_failed(text, std::move(done));
  }
  return done;
}

completed finish(communication talk, const run_options& options, const std::string& what) {
  bool timed_out = false, stopped = false;
  if (!talk.advance(limit_of(options))) {
    stopped = options.stop.stop_requested();
    timed_out = !stopped;
    if (!talk.terminate(options.end)) fail_to_end(what);
  }
  return judged(talk, options, what, timed_out, stopped);
}
// The same in a task.
task<completed> async_finish(communication& talk, const run_options& options, const std::string& what) {
  bool timed_out = false, stopped = false;
  const bool over = co_await async_advance(talk, limit_of(options));
  if (!over) {
    stopped = options.stop.stop_requested();
    timed_out = !stopped;
    const bool ended = co_await async_terminate(talk, options.end);
    if (!ended) fail_to_end(what);
  }
  co_return judged(talk, options, what, timed_out, stopped);
}

communication::participants members_of(chain& c) {
  communication::participants all{{}, &c.in(), &c.out(), &c.err()};
  for (child& member : c.members()) all.children.push_back(&member);
  return all;
}
std::string text_of(const command_row& row) {
  std::string what;
  for (const command& one : row.commands()) what += (what.empty() ? "" : " | ") + to_string(one);
  return what;
}

}  // namespace

completed run(const command& what, run_options options) {
  child c = spawn(what, places_of(options));
  return finish(communication(c, talk_of(options)), options, to_string(what));
}

completed run(const command_row& row, run_options options) {
  chain c(row, places_of(options));
  return finish(communication(members_of(c), talk_of(options)), options, text_of(row));
}

task<completed> async_run(command what) { return async_run(std::move(what), run_options{}); }
task<completed> async_run(command what, run_options options) {
  child c = spawn(what, places_of(options));
  communication talk(c, talk_of(options));
  const std::string text = to_string(what);
  co_return co_await async_finish(talk, options, text);
}

task<completed> async_run(command_row row) { return async_run(std::move(row), run_options{}); }
task<completed> async_run(command_row row, run_options options) {
  chain c(row, places_of(options));
  communication talk(members_of(c), talk_of(options));
  const std::string text = text_of(row);
  co_return co_await async_finish(talk, options, text);
}

}  // namespace penstock::process
