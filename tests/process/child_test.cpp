// A child's end is seen once, by everybody who asks; signals reach it or nobody; nothing is left of one that is dropped.
#include <csignal>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <sys/resource.h>

#include <penstock/async/run.hpp>
#include <penstock/process/await_child.hpp>
#include <penstock/process/descriptors.hpp>
#include <penstock/process/worker_process.hpp>

#include "tests/process/process_testing.hpp"

namespace penstock::process {
namespace {

using namespace std::chrono_literals;
using child_test = nothing_left;

// A child that has said "ready" and waits for its input to end.
child ready(const std::string& script) {
  child c = spawn(command::shell(script), {.in = redirect::pipe(), .out = redirect::pipe()});
  EXPECT_EQ(line_from(c.out()), "ready");
  return c;
}

TEST_F(child_test, tells_how_it_ended) {
  EXPECT_EQ(to_string(spawn({"true"}).wait()), "exited with 0");
  const exit_status failed = spawn(command::shell("exit 7")).wait();
  EXPECT_FALSE(failed.ok());
  EXPECT_EQ(failed.number(), 7);
  EXPECT_EQ(failed.shell_number(), 7);
  const exit_status killed = spawn(command::shell("kill -TERM $$")).wait();
  EXPECT_EQ(to_string(killed), "killed by signal 15 (TERM)");
  EXPECT_EQ(killed.number(), -15);
  EXPECT_EQ(killed.shell_number(), 143);
  EXPECT_EQ(to_string(exit_status{}), "ended, nobody knows how");
}

TEST_F(child_test, tells_what_it_used) {
  const exit_status s = spawn(command::shell("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")).wait();
  EXPECT_GT(s.user + s.system, 0us);
  EXPECT_GE(s.wall, s.user);
  EXPECT_GT(s.peak_rss_bytes, 100'000u);
}

TEST_F(child_test, an_end_is_an_end_for_ever) {
  child c = spawn(command::shell("exit 3"));
  EXPECT_EQ(c.wait().code, 3);
  EXPECT_EQ(c.wait().code, 3);
  EXPECT_EQ(c.poll()->code, 3);
  EXPECT_EQ(c.wait(0s)->code, 3);
  EXPECT_FALSE(c.signal(SIGKILL));
  EXPECT_FALSE(c.signal_group(SIGKILL));
  EXPECT_EQ(c.terminate()->code, 3);
}

TEST_F(child_test, a_limit_ends_waiting_and_not_the_child) {
  child c = ready("echo ready; read x");
  EXPECT_FALSE(c.poll());
  EXPECT_FALSE(c.wait(0s));
  EXPECT_FALSE(c.wait(1ms));
  std::stop_source stop;
  stop.request_stop();
  EXPECT_FALSE(c.wait(stop.get_token()));
  c.in().reset();
  EXPECT_EQ(c.wait().code, 1);  // read found the end
  EXPECT_EQ(c.wait(stop.get_token())->code, 1);
}

// The ends of what can be written: the past is over, however far; the farthest future is for ever.
TEST_F(child_test, every_limit_that_can_be_written_is_meant) {
  using clock = wait_limit::clock;
  child c = ready("echo ready; read x");
  const std::vector<wait_limit> over{clock::time_point::min(),
                                     clock::time_point::min() + 1ns,
                                     clock::time_point(),
                                     clock::now() - 1s,
                                     clock::now(),
                                     std::chrono::nanoseconds::min(),
                                     -1ns,
                                     0ns,
                                     std::chrono::hours::min(),
                                     std::chrono::duration<double>(-1e300),
                                     std::chrono::nanoseconds(1)};
  child talks = spawn({"sleep", "1000"}, {.out = redirect::pipe()});
  communication talk(talks);
  chain row(command({"cat"}) | command({"cat"}), {.in = redirect::pipe()});
  worker_process silent({"sleep", "1000"});
  for (std::size_t i = 0; i < over.size(); ++i) {
    EXPECT_FALSE(c.wait(over[i])) << i;
    EXPECT_FALSE(penstock::run(async_wait(c, over[i]))) << i;
    EXPECT_FALSE(talk.advance(over[i])) << i;
    EXPECT_FALSE(penstock::run(async_advance(talk, over[i]))) << i;
    EXPECT_FALSE(row.wait(over[i])) << i;
    EXPECT_FALSE(silent.ask("x", over[i])) << i;
  }
  for (const wait_limit& for_ever : {wait_limit(clock::time_point::max()), wait_limit(clock::time_point::max() - 1ns),
                                     wait_limit(std::chrono::nanoseconds::max()), wait_limit(std::chrono::hours::max()),
                                     wait_limit(std::chrono::duration<double>(1e300))}) {
    child ends = ready("echo ready; read x; exit 4");
    ends.in().reset();
    const auto status = ends.wait(for_ever);
    ASSERT_TRUE(status);
    EXPECT_EQ(status->code, 4);
    child in_a_task = ready("echo ready; read x; exit 4");
    in_a_task.in().reset();
    if (for_ever.deadline() == clock::time_point::max() - 1ns) continue;  // the loop's timers round it up
    EXPECT_EQ(penstock::run(async_wait(in_a_task, for_ever))->code, 4);
  }
  EXPECT_TRUE(run({"true"}, {.drain = std::chrono::nanoseconds::max()}).ok());
  EXPECT_TRUE(run({"true"}, {.timeout = std::chrono::nanoseconds::max()}).ok());
  EXPECT_TRUE(run({"sleep", "1000"}, {.timeout = std::chrono::nanoseconds::min(), .end = "KILL"}).timed_out);
  EXPECT_TRUE(
      run({"sleep", "1000"}, {.timeout = -1ns, .end = "KILL", .drain = std::chrono::nanoseconds::min()}).timed_out);
}

TEST_F(child_test, a_stop_wakes_who_waits) {
  child c = ready("echo ready; read x");
  std::stop_source stop;
  std::jthread waiter([&] { EXPECT_FALSE(c.wait(stop.get_token())); });
  stop.request_stop();
  waiter.join();
  EXPECT_FALSE(c.poll());
}

// It runs already: that no descriptor is left must not end the wait for it.
TEST_F(child_test, a_stop_ends_waiting_though_no_descriptor_is_left) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "the sanitizer that comes with it looks at memory through a pipe, and takes objects for invalid without one";
#endif
  child c = ready("echo ready; read x; exit 4");
  rlimit former{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &former), 0);
  const int first_free = ::dup(STDIN_FILENO);
  ::close(first_free);
  const rlimit none{static_cast<rlim_t>(first_free), former.rlim_max};
  ::setrlimit(RLIMIT_NOFILE, &none);
  std::stop_source stop;
  std::optional<exit_status> stopped, late, ended;
  {
    const std::jthread stopper([&] { stop.request_stop(); });
    stopped = c.wait(wait_limit(stop.get_token()));
  }
  std::stop_source never;
  late = c.wait(wait_limit(never.get_token(), 1ms));
  c.in().reset();
  ended = c.wait(wait_limit(never.get_token()));
  ::setrlimit(RLIMIT_NOFILE, &former);
  EXPECT_FALSE(stopped);
  EXPECT_FALSE(late);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->code, 4);
}

TEST_F(child_test, everybody_who_waits_gets_the_same_end) {
  for (int round = 0; round < 20; ++round) {
    child c = ready("echo ready; read x; exit 9");
    std::atomic<int> nines = 0;
    std::vector<std::jthread> threads;
    for (int i = 0; i < 6; ++i)
      threads.emplace_back([&, i] {
        const auto s = i % 3 == 0   ? c.wait()
                       : i % 3 == 1 ? *c.wait(1h)
                                    : [&] {
                                        std::optional<exit_status> seen;
                                        while (!(seen = c.poll())) std::this_thread::yield();
                                        return *seen;
                                      }();
        nines += s.code == 9;
      });
    c.in().reset();
    threads.clear();
    EXPECT_EQ(nines, 6);
  }
}

TEST_F(child_test, signals_from_several_threads_while_others_wait) {
  for (int round = 0; round < 20; ++round) {
    child c = ready("echo ready; read x");
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&] {
        while (c.signal(SIGTERM) || c.signal_group(SIGTERM)) {
        }
      });
    for (int i = 0; i < 3; ++i) threads.emplace_back([&] { EXPECT_EQ(c.wait().number(), -SIGTERM); });
    threads.clear();
  }
}

TEST_F(child_test, the_descriptor_is_readable_at_the_end) {
  child c = ready("echo ready; read x");
  pollfd readable{c.descriptor(), POLLIN, 0};
  EXPECT_EQ(::poll(&readable, 1, 0), 0);
  c.in().reset();
  EXPECT_EQ(::poll(&readable, 1, -1), 1);
  EXPECT_TRUE(c.poll());
}

TEST_F(child_test, one_that_is_dropped_is_ended_with_its_group_and_collected) {
  unique_fd out;
  pid_t pid = 0;
  {
    child c = ready("trap '' TERM HUP; sleep 1000 & echo ready; read x; read y");
    pid = c.pid();
    out = std::move(c.out());
  }
  EXPECT_TRUE(reaches_end(out));  // nobody is left who holds it: sleep is gone, too
  EXPECT_EQ(::kill(pid, 0), -1);
  EXPECT_FALSE(has_children());
}

TEST_F(child_test, one_that_is_moved_over_is_ended) {
  child c = ready("echo ready; read x");
  const unique_fd out = std::move(c.out());
  c = spawn({"true"});
  EXPECT_TRUE(reaches_end(out));
  child other(std::move(c));
  EXPECT_FALSE(c);
  EXPECT_TRUE(other.wait().ok());
  other = child();
  EXPECT_FALSE(other);
}

TEST_F(child_test, one_that_is_moved_onto_itself_is_as_it_was) {
  child c = ready("echo ready; read x; exit 4");
  const pid_t pid = c.pid();
  const int descriptor = c.descriptor(), in = c.in().get();
  move_onto_itself(c);
  ASSERT_TRUE(c);
  EXPECT_EQ(c.pid(), pid);
  EXPECT_EQ(c.descriptor(), descriptor);
  EXPECT_EQ(c.in().get(), in);
  EXPECT_FALSE(c.poll());
  move_onto_itself(c.in());
  EXPECT_EQ(c.in().get(), in);
  std::swap(c, c);
  c.in().reset();
  EXPECT_EQ(c.wait().code, 4);
  child none;
  move_onto_itself(none);
  EXPECT_FALSE(none);
}

TEST_F(child_test, is_terminated_by_the_first_signal_that_it_minds) {
  child obedient = ready("echo ready; read x");
  EXPECT_EQ(obedient.terminate("TERM,1h,KILL")->number(), -SIGTERM);
  child polite = ready("trap 'exit 5' INT; echo ready; while :; do read x || :; done");
  EXPECT_EQ(polite.terminate("INT,1h,KILL")->number(), 5);
  child stubborn = ready("trap '' TERM; echo ready; while :; do read x || :; done");
  EXPECT_EQ(stubborn.terminate("TERM,1ms,TERM,1ms,KILL")->number(), -SIGKILL);
}

TEST_F(child_test, a_stopped_one_is_terminated) {
  child c = ready("echo ready; read x");
  c.signal(SIGSTOP);
  EXPECT_EQ(c.terminate("TERM,1h,KILL")->number(), -SIGTERM);
}

TEST_F(child_test, that_it_did_not_end_is_said) {
  child c = ready("trap '' TERM; echo ready; while :; do read x || :; done");
  EXPECT_FALSE(c.terminate("TERM,1ms"));
  EXPECT_EQ(c.terminate("KILL")->number(), -SIGKILL);
}

TEST_F(child_test, what_is_left_of_the_group_goes_with_a_terminated_leader) {
  // The leader minds TERM, what it started does not.
  child c = ready("(trap '' TERM; echo ready; read x; while :; do read x || :; done) & wait");
  const unique_fd out = std::move(c.out());
  EXPECT_EQ(c.terminate("TERM,1h,KILL")->number(), -SIGTERM);
  EXPECT_TRUE(reaches_end(out));
}

TEST_F(child_test, what_a_leader_that_ended_by_itself_left_behind_lives) {
  pipe_ends to_it = make_pipe();
  child c = spawn(command::shell("cat <&3 &"), {.out = redirect::pipe(), .pass = {to_it.read.get()}});
  to_it.read.reset();
  EXPECT_TRUE(c.wait().ok());
  EXPECT_FALSE(c.signal_group(SIGKILL));  // its number may be anybody's from now on
  ASSERT_EQ(::write(to_it.write.get(), "alive\n", 6), 6);
  EXPECT_EQ(line_from(c.out()), "alive");
  to_it.write.reset();
  EXPECT_TRUE(reaches_end(c.out()));
}

TEST_F(child_test, with_sigchld_ignored_the_status_is_unknown_and_nothing_hangs) {
  const auto former = ::signal(SIGCHLD, SIG_IGN);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(spawn({"true"}).wait().how, exit_status::end::unknown);
  child c = ready("echo ready; read x");
  EXPECT_FALSE(c.poll());
  EXPECT_TRUE(c.signal(0));
  const auto ended = c.terminate();
  ::signal(SIGCHLD, former);
  EXPECT_EQ(ended->how, exit_status::end::unknown);
}

// Blocked, it is as if it were not: nothing here waits for it.
TEST_F(child_test, with_sigchld_blocked_statuses_are_right) {
  sigset_t set, former;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  ::pthread_sigmask(SIG_BLOCK, &set, &former);
  EXPECT_EQ(spawn(command::shell("exit 4")).wait().code, 4);
  EXPECT_EQ(run(command::shell("kill -9 $$")).status.signal, SIGKILL);
  EXPECT_EQ(run(command({"true"}) | command::shell("exit 5")).status.code, 5);
  timespec now{};
  ::sigtimedwait(&set, nullptr, &now);
  ::pthread_sigmask(SIG_SETMASK, &former, nullptr);
}

TEST_F(child_test, with_sigchld_ignored_everything_else_is_as_ever) {
  const auto former = ::signal(SIGCHLD, SIG_IGN);
  const completed done = run(command::shell("cat; echo error >&2"), {.input = "text", .err = redirect::pipe()});
  const completed timed = run({"sleep", "1000"}, {.timeout = 1ms});
  worker_process worker({"cat"});
  const std::string answer = worker.ask("x");
  std::string reason;
  worker_process dies(command::shell("read x; exit 3"));
  try {
    (void)dies.ask("x");
  } catch (const worker_died& e) {
    reason = e.what();
  }
  { const child dropped = spawn({"sleep", "1000"}); }
  ::signal(SIGCHLD, former);
  EXPECT_EQ(done.out + done.err, "texterror\n");
  EXPECT_EQ(done.status.how, exit_status::end::unknown);
  EXPECT_TRUE(timed.timed_out);
  EXPECT_EQ(answer, "x");
  EXPECT_EQ(reason, "the worker " + to_string(exit_status{}));
}

TEST_F(child_test, one_that_somebody_else_collected_is_unknown_and_its_number_is_not_signalled) {
  child c = ready("echo ready; read x; exit 4");
  c.in().reset();
  int status = 0;
  ASSERT_EQ(::waitpid(c.pid(), &status, 0), c.pid());
  // The number is free now, and may be anybody's.
  EXPECT_FALSE(c.signal(SIGKILL));
  EXPECT_FALSE(c.signal_group(SIGKILL));
  EXPECT_EQ(c.wait().how, exit_status::end::unknown);
}

TEST(termination, is_signals_and_times) {
  const termination t("SIGTERM,2s,9,500ms,INT,0.5m");
  ASSERT_EQ(t.steps().size(), 3u);
  EXPECT_EQ(t.steps()[0].signal, SIGTERM);
  EXPECT_EQ(t.steps()[0].wait, 2s);
  EXPECT_EQ(t.steps()[1].signal, SIGKILL);
  EXPECT_EQ(t.steps()[1].wait, 500ms);
  EXPECT_EQ(t.steps()[2].wait, 30s);
  EXPECT_EQ(termination("TERM,KILL").steps()[0].wait, 0s);
  EXPECT_EQ(termination("KILL").steps()[0].wait, termination::last_wait);
  for (const char* wrong :
       {"", "2s", "TREM", "TERM,2h3", "TERM,2d", "TERM,,KILL", "TERM,-1s", "TERM,nans", "0", "65536"})
    EXPECT_THROW(termination{wrong}, std::invalid_argument) << wrong;
}

TEST(termination, every_time_that_is_written_is_meant) {
  for (const char* time : {"0s", "1ms", "2s", "4999ms", "5s", "5000ms", "5001ms", "6s", "1h"}) {
    const std::string t = time;
    const auto alone = termination("TERM," + t).steps();
    const auto wait = alone[0].wait;
    const auto first = termination("TERM," + t + ",KILL").steps();
    EXPECT_EQ(first[0].wait, wait) << t;
    EXPECT_EQ(first[1].wait, termination::last_wait) << t;
    const auto middle = termination("INT,500ms,TERM," + t + ",KILL,1s").steps();
    EXPECT_EQ(middle[0].wait, 500ms) << t;
    EXPECT_EQ(middle[1].wait, wait) << t;
    EXPECT_EQ(middle[2].wait, 1s) << t;
  }
  EXPECT_EQ(termination("TERM,5s,KILL").steps()[0].wait, 5s);
  EXPECT_EQ(termination("INT,TERM,KILL").steps()[1].wait, 0s);
  EXPECT_THROW(termination("TERM,1s,2s"), std::invalid_argument);
}

TEST(signal_names, go_both_ways) {
  EXPECT_EQ(signal_name(SIGTERM), "TERM");
  EXPECT_EQ(signal_number("SIGKILL"), SIGKILL);
  EXPECT_EQ(signal_number("15"), 15);
  for (const char* wrong : {"", "SIG", "term", "99", "-1", "9x", " 9", "+9"})
    EXPECT_EQ(signal_number(wrong), 0) << wrong;
  EXPECT_EQ(signal_number(std::string("TERM\0x", 6)), 0);
  EXPECT_EQ(signal_number(std::string("15\0x", 4)), 0);
}

}  // namespace
}  // namespace penstock::process
