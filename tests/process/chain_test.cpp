// a | b | c: the pipes are theirs alone, the early end of one is told to those before it, and which status counts is said.
#include <csignal>

#include <poll.h>

#include "tests/process/process_testing.hpp"

namespace penstock::process {
namespace {

using namespace std::chrono_literals;
using chain_test = nothing_left;

exit_status exited(int code) {
  exit_status s;
  s.how = exit_status::end::exited;
  s.code = code;
  return s;
}
exit_status killed(int signal) {
  exit_status s;
  s.how = exit_status::end::signalled;
  s.signal = signal;
  return s;
}

TEST(chain_status, is_the_last_that_failed_and_an_early_sigpipe_is_forgiven) {
  const auto verdict = [](std::vector<exit_status> members, pipefail how) {
    return status_of_chain(members, how).number();
  };
  EXPECT_EQ(verdict({exited(0), exited(0)}, pipefail::strict), 0);
  EXPECT_EQ(verdict({exited(1), exited(2), exited(0)}, pipefail::forgiving), 2);
  EXPECT_EQ(verdict({exited(1), exited(2), exited(0)}, pipefail::off), 0);
  EXPECT_EQ(verdict({killed(SIGPIPE), exited(0)}, pipefail::forgiving), 0);
  EXPECT_EQ(verdict({killed(SIGPIPE), exited(0)}, pipefail::strict), -SIGPIPE);
  EXPECT_EQ(verdict({exited(3), killed(SIGPIPE), exited(0)}, pipefail::forgiving), 3);
  EXPECT_EQ(verdict({exited(0), killed(SIGPIPE)}, pipefail::forgiving), -SIGPIPE);
  EXPECT_EQ(verdict({killed(SIGSEGV), exited(0)}, pipefail::forgiving), -SIGSEGV);
}

TEST_F(chain_test, what_goes_in_comes_out_at_the_other_end) {
  const auto done =
      run(command({"tr", "a-z", "A-Z"}) | command({"sort"}) | command({"uniq", "-c"}), {.input = "b\na\nb\n"});
  EXPECT_TRUE(done.ok());
  EXPECT_EQ(done.members.size(), 3u);
  EXPECT_EQ(done.out, "      1 A\n      2 B\n");
}

TEST_F(chain_test, much_goes_through) {
  const std::string text(5'000'000, 'x');
  EXPECT_EQ(run(command({"cat"}) | command({"cat"}) | command({"cat"}), {.input = text}).out, text);
}

TEST_F(chain_test, sigpipe_travels) {
  // yes never ends by itself: only because nobody reads on, and nobody else holds its pipe.
  const auto done = run(command({"yes"}) | command({"cat"}) | command({"head", "-n", "2"}));
  EXPECT_EQ(done.out, "y\ny\n");
  EXPECT_EQ(done.members[0].number(), -SIGPIPE);
  EXPECT_EQ(done.members[1].number(), -SIGPIPE);
  EXPECT_TRUE(done.ok());
  EXPECT_FALSE(run(command({"yes"}) | command({"head", "-n", "1"}), {.pipefail = pipefail::strict}).ok());
}

TEST_F(chain_test, the_last_member_killed_ends_the_others) {
  chain c(command({"yes"}) | command({"cat"}) | command({"sleep", "1000"}));
  c.members().back().signal(SIGKILL);
  const auto statuses = c.wait();
  EXPECT_EQ(statuses[0].number(), -SIGPIPE);
  EXPECT_EQ(statuses[1].number(), -SIGPIPE);
  EXPECT_EQ(statuses[2].number(), -SIGKILL);
}

TEST_F(chain_test, one_that_is_moved_onto_itself_is_as_it_was) {
  chain c(command({"cat"}) | command::shell("cat; exit 3"), {.in = redirect::pipe(), .err = redirect::pipe()});
  move_onto_itself(c);
  ASSERT_EQ(c.members().size(), 2u);
  EXPECT_TRUE(c.in() && c.err());
  EXPECT_FALSE(c.wait(0s));
  c.in().reset();
  EXPECT_EQ(c.wait().back().code, 3);
  chain other(command({"sleep", "1000"}) | command({"sleep", "1000"}));
  other = std::move(c);  // ends what it had
  EXPECT_EQ(other.members().size(), 2u);
}

// Then the system collects each member at once, also the leader of the group that the others are to join.
TEST_F(chain_test, with_sigchld_ignored_nothing_hangs_or_throws) {
  const auto former = ::signal(SIGCHLD, SIG_IGN);
  for (int i = 0; i < 50; ++i) {
    chain c(command({"true"}) | command({"true"}) | command({"cat"}) | command({"true"}));
    for (const exit_status& status : c.wait()) EXPECT_EQ(status.how, exit_status::end::unknown);
    EXPECT_EQ(run(command({"echo", "x"}) | command({"cat"}), {.input = "y"}).out, "x\n");
  }
  chain c(command({"true"}) | command({"sleep", "1000"}) | command({"sleep", "1000"}));
  EXPECT_EQ(c.members().front().wait().how, exit_status::end::unknown);
  const auto ended = c.terminate("TERM,1h,KILL");
  const completed timed = run(command({"true"}) | command({"sleep", "1000"}), {.timeout = 1ms, .end = "TERM,1h,KILL"});
  ::signal(SIGCHLD, former);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->back().how, exit_status::end::unknown);
  EXPECT_TRUE(timed.timed_out);
}

TEST_F(chain_test, is_one_group) {
  chain c(command({"cat"}) | command({"cat"}) | command({"cat"}), {.in = redirect::pipe()});
  for (child& member : c.members()) EXPECT_EQ(::getpgid(member.pid()), c.members().front().pid());
  EXPECT_FALSE(c.wait(0s));
  EXPECT_TRUE(c.signal(SIGKILL));
  for (const exit_status& s : c.wait()) EXPECT_EQ(s.number(), -SIGKILL);
  EXPECT_FALSE(c.signal(SIGKILL));
}

TEST_F(chain_test, the_group_is_reached_though_its_leader_has_ended) {
  chain c(command({"true"}) | command({"sleep", "1000"}) | command({"sleep", "1000"}));
  pollfd leader{c.members()[0].descriptor(), POLLIN, 0};
  ASSERT_EQ(::poll(&leader, 1, -1), 1);
  const auto statuses = c.terminate("TERM,1h,KILL");
  ASSERT_TRUE(statuses);
  EXPECT_TRUE((*statuses)[0].ok());
  EXPECT_EQ((*statuses)[1].number(), -SIGTERM);
  EXPECT_EQ((*statuses)[2].number(), -SIGTERM);
}

TEST_F(chain_test, a_member_that_cannot_start_ends_those_before_it) {
  unique_fd out;
  EXPECT_THROW(chain(command({"sleep", "1000"}) | command({"sleep", "1000"}) | command({"/nowhere/x"})), spawn_error);
  EXPECT_THROW(run(command({"/nowhere/x"}) | command({"cat"})), spawn_error);
  EXPECT_THROW(chain(command_row(std::vector<command>{})), std::invalid_argument);
}

TEST_F(chain_test, a_dropped_one_is_ended) { chain c(command({"yes"}) | command({"sleep", "1000"})); }

TEST_F(chain_test, errors_of_all_come_together) {
  const scratch_directory here;
  const auto row = command::shell("echo 1 >&2") | command::shell("cat; echo 2 >&2") | command::shell("cat; echo 3 >&2");
  EXPECT_EQ(run(row, {.err = redirect::pipe()}).err, "1\n2\n3\n");
  write_file(here / "errors", "before");
  EXPECT_TRUE(run(row, {.err = redirect::to_file(here / "errors")}).ok());
  EXPECT_EQ(contents(here / "errors").size(), 6u);
}

TEST_F(chain_test, its_time_is_over_for_all) {
  const auto done = run(command({"yes"}) | command({"cat"}) | command::shell("trap '' TERM; sleep 1000"),
                        {.timeout = 50ms, .end = "TERM,20ms,KILL"});
  EXPECT_TRUE(done.timed_out);
  EXPECT_EQ(done.members[2].number(), -SIGKILL);
}

TEST_F(chain_test, of_one_member_is_a_run) {
  EXPECT_EQ(run(command_row(std::vector<command>{command({"echo", "x"})})).out, "x\n");
}

}  // namespace
}  // namespace penstock::process
