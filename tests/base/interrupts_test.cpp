// The first signal drains, the second stops, and afterwards everything is as it was.
#include <csignal>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include <penstock/base/interrupts.hpp>

namespace penstock {
namespace {

void until(const std::stop_token& token) {
  while (!token.stop_requested()) std::this_thread::yield();
}

TEST(interrupts, first_and_second_signal_have_a_token_each) {
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

TEST(interrupts, there_is_one_at_a_time) {
  const interrupts first;
  EXPECT_THROW(interrupts{}, std::logic_error);
}

}  // namespace
}  // namespace penstock
