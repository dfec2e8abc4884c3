// Input, output and errors at once: nobody waits for each other, nothing is lost by a limit, and the end is the end.
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <poll.h>

#include <penstock/process/descriptors.hpp>

#include "tests/process/process_testing.hpp"

namespace penstock::process {
namespace {

using namespace std::chrono_literals;
using communication_test = nothing_left;

// The first line that a child says before it goes on with what follows `read`.
constexpr const char* forever = "while :; do read x || :; done";

TEST_F(communication_test, input_longer_than_a_pipe_while_the_child_writes_first) {
  const std::string text = much_text(3'000'000);
  const auto done = run(command::shell("head -c 500000 /dev/zero; head -c 500000 /dev/zero >&2; cat"),
                        {.input = text, .err = redirect::pipe()});
  EXPECT_EQ(done.out, std::string(500'000, '\0') + text);
  EXPECT_EQ(done.err, std::string(500'000, '\0'));
  EXPECT_EQ(done.out_bytes, 3'500'000u);
  EXPECT_FALSE(done.pipes_held);
}

TEST_F(communication_test, a_child_that_does_not_read_is_no_error) {
  struct sigaction before {
  }, after{};
  ::sigaction(SIGPIPE, nullptr, &before);
  EXPECT_EQ(before.sa_handler, SIG_DFL) << "else this test shows nothing";
  const auto done = run(command::shell("exec <&-; echo no thanks"), {.input = much_text(5'000'000)});
  ::sigaction(SIGPIPE, nullptr, &after);
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(done.out, "no thanks\n");
  EXPECT_EQ(after.sa_handler, before.sa_handler);
}

TEST_F(communication_test, a_sigpipe_that_was_waiting_already_is_left_to_its_owner) {
  sigset_t set, former;
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  ::pthread_sigmask(SIG_BLOCK, &set, &former);
  ::raise(SIGPIPE);
  EXPECT_TRUE(run(command::shell("exec <&-"), {.input = much_text(1'000'000)}).ok());
  sigset_t pending;
  ::sigpending(&pending);
  EXPECT_EQ(::sigismember(&pending, SIGPIPE), 1);
  const timespec now{};
  EXPECT_EQ(::sigtimedwait(&set, nullptr, &now), SIGPIPE);
  EXPECT_TRUE(run(command::shell("exec <&-"), {.input = much_text(1'000'000)}).ok());
  ::sigpending(&pending);
  EXPECT_EQ(::sigismember(&pending, SIGPIPE), 0);
  sigset_t now_blocked;
  ::pthread_sigmask(SIG_SETMASK, &former, &now_blocked);
  EXPECT_EQ(::sigismember(&now_blocked, SIGPIPE), 1) << "the mask is not as it was";
}

TEST_F(communication_test, a_limit_loses_nothing) {
  // It answers only what it is asked, so every advance that is limited finds some of it and not all.
  pipe_ends ask = make_pipe();
  child c = spawn(command::shell("while read n <&3; do head -c $n /dev/zero | tr '\\0' $n; done"),
                  {.out = redirect::pipe(), .pass = {ask.read.get()}});
  ask.read.reset();
  communication talk(c);
  std::string expected;
  for (const char* n : {"1", "2", "7", "9"}) {
    ASSERT_EQ(::write(ask.write.get(), (std::string(n) + "\n").c_str(), 2), 2);
    expected += std::string(static_cast<std::size_t>(*n - '0'), *n);
    while (talk.out_bytes() < expected.size()) EXPECT_FALSE(talk.advance(1ms));
  }
  EXPECT_FALSE(talk.advance(0s));
  ask.write.reset();
  EXPECT_TRUE(talk.advance());
  EXPECT_TRUE(talk.advance(0s));
  EXPECT_EQ(talk.result().out, expected);
}

TEST_F(communication_test, input_goes_on_where_a_limit_cut_it) {
  pipe_ends go = make_pipe();
  const std::string text = much_text(2'000'000);
  child c = spawn(command::shell("read x <&3; cat"),
                  {.in = redirect::pipe(), .out = redirect::pipe(), .pass = {go.read.get()}});
  communication talk(c, {.input = text});
  for (int i = 0; i < 5; ++i) EXPECT_FALSE(talk.advance(1ms));
  ASSERT_EQ(::write(go.write.get(), "\n", 1), 1);
  while (!talk.advance(1ms)) {
  }
  EXPECT_EQ(talk.result().out, text);
}

TEST_F(communication_test, a_stop_ends_the_waiting) {
  child c = spawn({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe()});
  const unique_fd held = std::move(c.in());
  communication talk(c);
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(talk.advance(stop.get_token()));
}

TEST_F(communication_test, a_long_output_is_an_error_is_cut_or_is_spilled) {
  const std::string text = much_text(700'000);
  for (const std::size_t most :
       {std::size_t{0}, std::size_t{1}, std::size_t{65'536}, std::size_t{65'537}, std::size_t{699'999}}) {
    EXPECT_THROW(run({"cat"}, {.input = text, .most_bytes = most}), output_too_long) << most;
    const auto cut = run({"cat"}, {.input = text, .most_bytes = most, .excess = excess::truncate});
    EXPECT_EQ(cut.out, text.substr(0, most));
    EXPECT_EQ(cut.out_bytes, text.size());
    EXPECT_FALSE(cut.out_file);
    const auto spilled = run({"cat"}, {.input = text, .most_bytes = most, .excess = excess::spill});
    EXPECT_EQ(spilled.out, text.substr(0, most));
    ASSERT_TRUE(spilled.out_file);
    EXPECT_EQ(run({"cat"}, {.in = redirect::descriptor(spilled.out_file.get())}).out, text);
  }
  const auto fits = run({"cat"}, {.input = text, .most_bytes = 700'000, .excess = excess::spill});
  EXPECT_EQ(fits.out, text);
  EXPECT_FALSE(fits.out_file);
}

TEST_F(communication_test, errors_have_a_limit_of_their_own) {
  const auto done = run(command::shell("echo out; echo errors >&2"),
                        {.err = redirect::pipe(), .most_bytes = 4, .excess = excess::truncate});
  EXPECT_EQ(done.out, "out\n");
  EXPECT_EQ(done.err, "erro");
}

TEST_F(communication_test, output_can_be_handed_on_as_it_comes) {
  const std::string text = much_text(2'000'000);
  std::string seen;
  const auto done =
      run({"cat"}, {.input = text, .most_bytes = 10, .on_out = [&](std::string_view part) { seen += part; }});
  EXPECT_EQ(seen, text);
  EXPECT_EQ(done.out, "");
  EXPECT_EQ(done.out_bytes, text.size());
  EXPECT_THROW(run({"cat"}, {.input = text, .on_out = [](std::string_view) { throw std::runtime_error("enough"); }}),
               std::runtime_error);
}

TEST_F(communication_test, what_is_left_behind_and_holds_the_pipe_is_waited_for_no_longer_than_said) {
  pipe_ends to_it = make_pipe();
  child c = spawn(command::shell("cat <&3 & echo said"), {.out = redirect::pipe(), .pass = {to_it.read.get()}});
  to_it.read.reset();
  communication talk(c, {.drain = 20ms});
  EXPECT_TRUE(talk.advance());
  const auto held = talk.result();
  EXPECT_EQ(held.out, "said\n");
  EXPECT_TRUE(held.status.ok());
  EXPECT_TRUE(held.pipes_held);
}

TEST_F(communication_test, what_is_left_behind_may_still_speak_within_the_time) {
  pipe_ends go = make_pipe();
  child c =
      spawn(command::shell("(read x; echo late) <&3 & echo said"), {.out = redirect::pipe(), .pass = {go.read.get()}});
  communication talk(c, {.drain = 1h});
  while (talk.out_bytes() == 0) EXPECT_FALSE(talk.advance(1ms));
  while (!c.wait(0s)) {
  }
  EXPECT_FALSE(talk.advance(1ms));
  ASSERT_EQ(::write(go.write.get(), "\n", 1), 1);
  EXPECT_TRUE(talk.advance());
  EXPECT_EQ(talk.result().out, "said\nlate\n");
}

TEST_F(communication_test, a_run_is_ended_when_its_time_is_over_and_what_it_said_is_there) {
  const auto done = run(command::shell("echo before; exec sleep 1000"), {.timeout = 100ms, .end = "TERM,1h,KILL"});
  EXPECT_TRUE(done.timed_out);
  EXPECT_FALSE(done.ok());
  EXPECT_EQ(done.status.number(), -SIGTERM);
  EXPECT_EQ(done.status.shell_number(), 143);
  EXPECT_EQ(done.out, "before\n");
}

TEST_F(communication_test, one_that_never_stops_talking_is_ended_when_its_time_is_over) {
  // There is always something to read: a limit that is only looked at when there is nothing is never reached.
  child c = spawn({"cat", "/dev/zero"}, {.out = redirect::pipe()});
  const auto wait_for_more = [&](std::string_view) {
    pollfd readable{c.out().get(), POLLIN, 0};
    ::poll(&readable, 1, -1);
  };
  communication talk(c, {.on_out = wait_for_more});
  EXPECT_FALSE(talk.advance(50ms));
  std::stop_source stop;
  std::jthread stopper([&] { stop.request_stop(); });
  EXPECT_FALSE(talk.advance(stop.get_token()));
  EXPECT_TRUE(talk.terminate("KILL"));
}

TEST_F(communication_test, a_limit_of_nothing_takes_what_is_there) {
  child c = spawn({"echo", "x"}, {.out = redirect::pipe()});
  pollfd readable{c.out().get(), POLLIN, 0};
  ASSERT_EQ(::poll(&readable, 1, -1), 1);
  communication talk(c);
  (void)talk.advance(0s);
  EXPECT_EQ(talk.out_bytes(), 2u);
  EXPECT_TRUE(talk.advance());
}

TEST_F(communication_test, its_last_words_are_heard_however_long) {
  const auto done = run(command::shell(std::string("trap 'head -c 3000000 /dev/zero; exit 6' TERM; ") + forever),
                        {.timeout = 100ms, .end = "TERM,1h"});
  EXPECT_EQ(done.status.code, 6);
  EXPECT_EQ(done.out.size(), 3'000'000u);
}

TEST_F(communication_test, what_it_started_does_not_delay_the_end_of_its_time) {
  const auto began = std::chrono::steady_clock::now();
  // In the group, and deaf to TERM: killed with the leader. In a session of its own: nobody's, and its pipe is given up.
  auto done = run(command::shell("(trap '' TERM; sleep 1000) & sleep 1000"), {.timeout = 50ms, .drain = 1h});
  EXPECT_TRUE(done.timed_out);
  EXPECT_FALSE(done.pipes_held);
  done = run(command::shell("sleep 1000 &"), {.timeout = 50ms, .drain = 1h});
  EXPECT_TRUE(done.timed_out) << "it ended in time, but its output did not";
  pipe_ends life = make_pipe();
  child c = spawn(command::shell("setsid cat <&3 & sleep 1000"), {.out = redirect::pipe(), .pass = {life.read.get()}});
  life.read.reset();
  communication talk(c);
  EXPECT_FALSE(talk.advance(50ms));
  EXPECT_TRUE(talk.terminate());
  EXPECT_TRUE(talk.result().pipes_held);
  EXPECT_LT(std::chrono::steady_clock::now() - began, 15min);
}

TEST_F(communication_test, a_requested_stop_ends_the_run) {
  std::stop_source stop;
  std::string said;
  const auto done = run(command::shell("echo here; exec sleep 1000"),
                        {.stop = stop.get_token(), .on_out = [&](std::string_view) { stop.request_stop(); }});
  EXPECT_TRUE(done.stopped);
  EXPECT_FALSE(done.timed_out);
  EXPECT_EQ(done.status.number(), -SIGTERM);
}

TEST_F(communication_test, checked_runs_throw_what_happened) {
  EXPECT_EQ(run({"echo", "x"}, {.check = true}).out, "x\n");
  try {
    run(command::shell("echo out; echo first >&2; echo 'no such item' >&2; exit 4"),
        {.err = redirect::pipe(), .check = true});
    FAIL();
  } catch (const command_failed& e) {
    EXPECT_TRUE(std::string(e.what()).ends_with("exited with 4: no such item")) << e.what();
    EXPECT_EQ(e.result().out, "out\n");
    EXPECT_EQ(e.result().status.code, 4);
  }
  try {
    run({"sleep", "1000"}, {.timeout = 1ms, .check = true});
    FAIL();
  } catch (const command_failed& e) {
    EXPECT_STREQ(e.what(), "sleep 1000: killed by signal 15 (TERM), because its time was over");
  }
}

TEST_F(communication_test, no_input_is_an_end_at_once) {
  EXPECT_EQ(run({"cat"}).out, "");
  child c = spawn({"cat"}, {.in = redirect::pipe(), .out = redirect::pipe()});
  communication talk(c);
  EXPECT_TRUE(talk.advance());
}

}  // namespace
}  // namespace penstock::process
