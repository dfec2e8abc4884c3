// The k-th thread cannot be started: nothing is left behind. This program replaces pthread_create to make it so.
#include <system_error>

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

#include "tests/pipeline/pipeline_testing.hpp"

namespace {
std::atomic<int> threads_left = -1;  // -1: no limit
std::atomic<int> refused = 0;
}  // namespace

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*body)(void*),
                              void* argument) noexcept {
  using function = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<function>(::dlsym(RTLD_NEXT, "pthread_create"));
  if (threads_left >= 0 && threads_left-- == 0) {
    for (int i = 0; i < 1000; ++i) ::sched_yield();  // time for the others to begin too early
    ++refused;
    refused.notify_all();
    return EAGAIN;
  }
  return real(thread, attributes, body, argument);
}

namespace penstock {
namespace {

TEST(thread_start, a_thread_that_cannot_be_had_unwinds_cleanly_and_nothing_has_entered) {
  for (int k = 0; k < 8; ++k) {
    std::atomic<int> entered = 0;
    refused = 0;
    const auto attempt = [&] {
      auto line = from([&]() -> std::optional<int> {
                    ++entered;
                    return entered <= 10 ? std::optional<int>(entered) : std::nullopt;
                  }) |
                  stage("a", [](int i) { return i; }, {.workers = 3, .ordered = true}) |
                  sink("b", [](int) {}, {.workers = 3}) | start();
      line.wait();
    };
    threads_left = k;  // 7 are needed
    if (k < 7) {
      EXPECT_THROW(attempt(), std::system_error) << k;
      EXPECT_EQ(refused, 1) << "pthread_create was not replaced";
      EXPECT_EQ(entered, 0);
    } else {
      EXPECT_NO_THROW(attempt());
      EXPECT_EQ(entered, 11);
    }
    threads_left = -1;
  }
}

// Threads of a stage's own wait for items, those of the crew for anything, the scaler for time to pass.
TEST(thread_start, threads_of_every_kind_are_told_to_go_home) {
  for (int k = 0; k < 6; ++k) {
    int entered = 0;
    refused = 0;
    const auto attempt = [&] {
      const auto own = [] { return [](int i) { return i; }; };
      auto line =
          from([&]() -> std::optional<int> { return ++entered <= 10 ? std::optional(entered) : std::nullopt; }) |
          stage("own", per_worker(own), {.workers = 2}) | sink("b", [](int) {}, {.workers = {1, 3}}) | start();
      line.wait();
    };
    threads_left = k;  // 5 are needed: two of its own, two for source and sink, and the scaler's
    if (k < 5) {
      EXPECT_THROW(attempt(), std::system_error) << k;
      EXPECT_EQ(refused, 1);
      EXPECT_EQ(entered, 0);
    } else {
      EXPECT_NO_THROW(attempt());
      EXPECT_EQ(entered, 11);
    }
    threads_left = -1;
  }
}

TEST(thread_start, a_stage_that_cannot_grow_goes_on_with_the_workers_it_has) {
  refused = 0;
  threads_left = 2;  // the sink's first worker and the scaler
  const auto until_refused = [](int) { refused.wait(0); };
  auto line = from<int>() | sink("grows", until_refused, {.workers = {1, 3}}) | start();
  for (unsigned i = 1; i <= 20; ++i) {
    EXPECT_TRUE(line.push(0));
    if (i < 10) continue;
    refused.wait(0);
    while (line.snapshot().stages[1].passed < i) std::this_thread::yield();  // in between, all are asleep
  }
  threads_left = -1;
  line.close();
  const report r = line.wait();
  EXPECT_EQ(r.delivered, 20u);
  ASSERT_EQ(r.stages[1].scaling.size(), 1u);
  EXPECT_EQ(r.stages[1].scaling[0].why, scaling_reason::no_thread);
  EXPECT_EQ(r.stages[1].scaling[0].to, 1u);
}

}  // namespace
}  // namespace penstock
