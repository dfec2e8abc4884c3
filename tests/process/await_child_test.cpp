// Children that tasks wait for: the same answers as threads get, and the loop goes on meanwhile.
#include <chrono>
#include <csignal>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include <penstock/async/group.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/when.hpp>
#include <penstock/process/await_child.hpp>

#include "tests/process/process_testing.hpp"

namespace penstock::process {
namespace {

using namespace std::chrono_literals;
using await_child_test = nothing_left;

TEST_F(await_child_test, tells_how_it_ended) {
  const auto code = []() -> task<int> {
    child c = spawn(command::shell("exit 7"));
    const exit_status s = co_await async_wait(c);
    co_return s.code;
  };
  EXPECT_EQ(penstock::run(code()), 7);
}

TEST_F(await_child_test, a_limit_ends_waiting_and_not_the_child) {
  const auto all = []() -> task<> {
    child c = spawn({"cat"}, {.in = redirect::pipe()});
    const auto early = co_await async_wait(c, 1ms);
    EXPECT_FALSE(early);
    const auto at_once = co_await async_wait(c, wait_limit(0ms));
    EXPECT_FALSE(at_once);
    c.in().reset();
    const auto end = co_await async_wait(c, 60s);
    EXPECT_TRUE(end && end->ok());
    const auto again = co_await async_wait(c, 60s);
    EXPECT_TRUE(again && again->ok()) << "an end is an end for ever";
  };
  penstock::run(all());
}

TEST_F(await_child_test, a_stop_ends_waiting) {
  const auto all = []() -> task<> {
    child c = spawn({"cat"}, {.in = redirect::pipe()});
    std::stop_source stop;
    const std::jthread other([&] { stop.request_stop(); });
    const auto none = co_await async_wait(c, wait_limit(stop.get_token()));
    EXPECT_FALSE(none);
  };
  penstock::run(all());
}

task<> sees_the_end(child& c, int& seen) {
  const exit_status s = co_await async_wait(c);
  seen += s.ok();
}
TEST_F(await_child_test, everybody_who_waits_gets_the_same_end) {
  const auto all = []() -> task<int> {
    child c = spawn({"cat"}, {.in = redirect::pipe()});
    int seen = 0;
    group g;
    for (int i = 0; i < 3; ++i) g.add(sees_the_end(c, seen));
    c.in().reset();
    co_await g.wait();
    co_return seen;
  };
  EXPECT_EQ(penstock::run(all()), 3);
}

task<> through_cat(const std::string& text, int& same) {
  run_options with;
  with.input = text;
  command cat({"cat"});
  const completed done = co_await async_run(std::move(cat), std::move(with));
  same += done.ok() && done.out == text;
}
TEST_F(await_child_test, many_at_once_with_input_and_output_longer_than_their_pipes) {
  const std::string text = much_text(1'000'000);
  const auto all = [](const std::string& t) -> task<int> {
    int same = 0;
    group g;
    for (int i = 0; i < 8; ++i) g.add(through_cat(t, same));
    co_await g.wait();
    co_return same;
  };
  EXPECT_EQ(penstock::run(all(text)), 8);
}

TEST_F(await_child_test, communicates_with_a_child_of_somebody_else) {
  const auto all = []() -> task<completed> {
    child c = spawn(command::shell("cat; echo errors >&2; exit 3"),
                    {.in = redirect::pipe(), .out = redirect::pipe(), .err = redirect::pipe()});
    communication_options with;
    with.input = "input";
    completed done = co_await async_communicate(c, std::move(with));
    EXPECT_TRUE(c.poll());
    co_return done;
  };
  const completed done = penstock::run(all());
  EXPECT_EQ(done.out, "input");
  EXPECT_EQ(done.err, "errors\n");
  EXPECT_EQ(done.status.code, 3);
}

TEST_F(await_child_test, a_run_is_ended_when_its_time_is_over_and_what_it_said_is_there) {
  const auto all = []() -> task<completed> {
    run_options with;
    with.timeout = 300ms;
    with.end = "TERM,10s,KILL";
    completed done = co_await async_run(
        command::shell("trap 'echo goodbye; exit 0' TERM; echo hello; while :; do sleep 0.02; done"), std::move(with));
    co_return done;
  };
  const completed done = penstock::run(all());
  EXPECT_TRUE(done.timed_out);
  EXPECT_EQ(done.out, "hello\ngoodbye\n");
}

TEST_F(await_child_test, one_that_never_stops_talking_is_ended_when_its_time_is_over) {
  const auto all = []() -> task<completed> {
    run_options with;
    with.timeout = 50ms;
    with.most_bytes = 10;
    with.excess = excess::truncate;
    command yes({"yes"});
    completed done = co_await async_run(std::move(yes), std::move(with));
    co_return done;
  };
  const completed done = penstock::run(all());
  EXPECT_TRUE(done.timed_out);
  EXPECT_EQ(done.out, "y\ny\ny\ny\ny\n");
}

TEST_F(await_child_test, a_requested_stop_ends_the_run) {
  std::stop_source stop;
  run_options with;
  with.stop = stop.get_token();
  with.on_out = [&](std::string_view) { stop.request_stop(); };
  const auto all = [](run_options o) -> task<completed> {
    completed done = co_await async_run(command::shell("echo ready; exec sleep 1000"), std::move(o));
    co_return done;
  };
  const completed done = penstock::run(all(std::move(with)));
  EXPECT_TRUE(done.stopped);
  EXPECT_FALSE(done.timed_out);
}

task<> counts(int& ticks, bool& over) {
  while (!over) {
    co_await sleep_for(1ms);
    ++ticks;
  }
}
task<> a_run_of_its_own(bool& over) {
  (void)co_await async_run(command::shell("sleep 0.2"));
  over = true;
}
TEST_F(await_child_test, the_loop_goes_on_meanwhile) {
  int ticks = 0;
  bool over = false;
  penstock::run(when_all(counts(ticks, over), a_run_of_its_own(over)));
  EXPECT_GT(ticks, 5) << "of 200";
}

// nothing_left: no child, alive or dead, and no descriptor.
TEST_F(await_child_test, a_task_that_is_cancelled_ends_its_child) {
  const auto one = []() -> task<> {
    command sleep({"sleep", "1000"});
    (void)co_await async_run(std::move(sleep));
  };
  const auto gave_up = penstock::run(within(20ms, one()));
  EXPECT_FALSE(gave_up);
}

TEST_F(await_child_test, checked_runs_and_long_outputs_throw_what_happened) {
  const auto one = [](command what, run_options o) -> task<completed> {
    completed done = co_await async_run(std::move(what), std::move(o));
    co_return done;
  };
  run_options checked;
  checked.err = redirect::pipe();
  checked.check = true;
  try {
    (void)penstock::run(one(command::shell("echo it is broken >&2; exit 4"), std::move(checked)));
    ADD_FAILURE() << "nothing was thrown";
  } catch (const command_failed& e) {
    EXPECT_NE(std::string(e.what()).find("it is broken"), std::string::npos);
    EXPECT_EQ(e.result().status.code, 4);
  }
  run_options little;
  little.most_bytes = 10;
  EXPECT_THROW((void)penstock::run(one({"yes"}, std::move(little))), output_too_long);
  EXPECT_THROW((void)penstock::run(one({"no-such-program-anywhere"}, {})), spawn_error);
}

TEST_F(await_child_test, chains) {
  const auto all = []() -> task<completed> {
    command_row row = command({"printf", "b\\na\\n"}) | command({"sort"}) | command({"head", "-n", "1"});
    completed done = co_await async_run(std::move(row));
    co_return done;
  };
  const completed done = penstock::run(all());
  EXPECT_EQ(done.out, "a\n");
  EXPECT_EQ(done.members.size(), 3u);
}

}  // namespace
}  // namespace penstock::process
