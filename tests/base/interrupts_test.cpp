// The first signal drains, the second stops, and afterwards everything is as it was.
#include <cerrno>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <penstock/base/interrupts.hpp>

namespace penstock {
namespace {

void until(const std::stop_token& token) {
  while (!token.stop_requested()) std::this_thread::yield();
}

// As a program finds them that was not started in the background of a script, where they are ignored.
void default_signals() {
  ::signal(SIGINT, SIG_DFL);
  ::signal(SIGTERM, SIG_DFL);
}

TEST(interrupts, first_and_second_signal_have_a_token_each) {
  default_signals();
  interrupts signals;
  EXPECT_EQ(signals.count(), 0);
  ::raise(SIGINT);
  until(signals.first());
  EXPECT_FALSE(signals.second().stop_requested());
  EXPECT_EQ(signals.last_signal(), SIGINT);
  ::raise(SIGTERM);
  until(signals.second());
  EXPECT_EQ(signals.count(), 2);
  EXPECT_EQ(signals.last_signal(), SIGTERM);
}

TEST(interrupts, signals_that_come_at_once_are_one_where_that_is_asked_for) {
  default_signals();
  interrupts signals({}, std::chrono::hours(1));
  ::raise(SIGTERM);
  ::raise(SIGTERM);
  ::raise(SIGINT);  // when this one has been heard, the ones before have, too
  while (signals.last_signal() != SIGINT) std::this_thread::yield();
  EXPECT_TRUE(signals.first().stop_requested());
  EXPECT_EQ(signals.count(), 1);
  EXPECT_FALSE(signals.second().stop_requested());
}

TEST(interrupts, puts_the_former_handlers_back) {
  struct sigaction before {
  }, after{};
  ::signal(SIGINT, SIG_IGN);
  ::sigaction(SIGINT, nullptr, &before);
  { const interrupts signals; }
  ::sigaction(SIGINT, nullptr, &after);
  EXPECT_EQ(after.sa_handler, before.sa_handler);
  ::signal(SIGINT, SIG_DFL);
}

TEST(interrupts, an_ignored_signal_stays_ignored) {
  default_signals();
  ::signal(SIGINT, SIG_IGN);
  {
    interrupts signals;
    ::raise(SIGINT);
    ::raise(SIGTERM);
    until(signals.first());
    EXPECT_EQ(signals.last_signal(), SIGTERM);
    EXPECT_FALSE(signals.second().stop_requested());
  }
  ::signal(SIGINT, SIG_DFL);
}

TEST(interrupts, some_say_stop_the_first_time_and_no_more_the_second) {
  default_signals();
  ::signal(SIGHUP, SIG_DFL);
  struct sigaction now {};
  {
    interrupts signals({SIGHUP});
    ::raise(SIGHUP);
    until(signals.second());
    EXPECT_TRUE(signals.first().stop_requested());
    EXPECT_EQ(signals.last_signal(), SIGHUP);
    ::raise(SIGHUP);  // the program is still there
    ::sigaction(SIGINT, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
  }
  ::sigaction(SIGHUP, nullptr, &now);
  EXPECT_EQ(now.sa_handler, SIG_DFL);
}

TEST(interrupts, there_is_one_at_a_time) {
  const interrupts first;
  EXPECT_THROW(interrupts{}, std::logic_error);
}

TEST(interrupts, says_what_it_lacks_where_no_descriptor_is_left) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP()
      << "the sanitizer that comes with it looks at memory through a pipe, and takes objects for invalid without one";
#endif
  default_signals();
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const int next = ::dup(0);
  ::close(next);
  rlimit none = before;
  none.rlim_cur = static_cast<rlim_t>(next);
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  std::string said;
  int code = 0;
  try {
    const interrupts signals;
  } catch (const std::system_error& e) {
    said = e.what();
    code = e.code().value();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(code, EMFILE);
  EXPECT_NE(said.find("interrupts"), std::string::npos) << said;
  const interrupts signals;  // nothing of the failed one is left
}

TEST(interrupts, a_handler_of_the_program_comes_back_and_a_third_signal_finds_the_default) {
  const auto mine = [](int) {};
  default_signals();
  ::signal(SIGTERM, mine);
  struct sigaction now {};
  {
    interrupts signals;
    ::raise(SIGTERM);
    ::raise(SIGTERM);
    while (!signals.second().stop_requested()) std::this_thread::yield();
    ::sigaction(SIGTERM, nullptr, &now);
    EXPECT_EQ(now.sa_handler, SIG_DFL);
  }
  ::sigaction(SIGTERM, nullptr, &now);
  EXPECT_EQ(now.sa_handler, static_cast<void (*)(int)>(mine));
  ::signal(SIGTERM, SIG_DFL);
}

}  // namespace
}  // namespace penstock
