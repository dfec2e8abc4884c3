// A range of workers in a real pipeline: one that cannot end unless it grows, and one that has nothing to do.
#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/penstock.hpp>

namespace penstock {
namespace {

// Lets nobody go on before so many are here at once.
class gathering {
 public:
  explicit gathering(std::size_t needed) : needed_(needed) {}
  void join() {
    std::unique_lock lock(mutex_);
    most_ = std::max(most_, ++here_);
    if (here_ >= needed_) complete_ = true;
    changed_.notify_all();
    changed_.wait(lock, [&] { return complete_; });
    --here_;
  }
  [[nodiscard]] std::size_t most() const { return most_; }

 private:
  const std::size_t needed_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::size_t here_ = 0, most_ = 0;
  bool complete_ = false;
};

TEST(scaling, a_pipeline_that_cannot_end_with_one_worker_gets_more) {
  gathering g(3);
  const report r = from(std::views::iota(0, 50)) | sink("meet", [&](int) { g.join(); }, {.workers = {1, 4}}) | run();
  EXPECT_EQ(r.delivered, 50u);
  EXPECT_GE(g.most(), 3u);
  EXPECT_LE(g.most(), 4u);
  const stage_report& meet = r.stages.back();
  EXPECT_EQ(meet.least_workers, 1u);
  EXPECT_EQ(meet.most_workers, 4u);
  ASSERT_GE(meet.scaling.size(), 2u);
  EXPECT_EQ(meet.scaling.front().from, 1u);
  EXPECT_GE(meet.scaling.back().to, 3u);
}

TEST(scaling, an_idle_pipeline_gives_workers_and_threads_back_and_still_works) {
  gathering g(3);
  auto line = from<int>() | sink("meet", [&](int) { g.join(); }, {.workers = {1, 4}}) | start();
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(line.push(i));
  const auto settled = [&] {
    const stage_report meet = line.snapshot().stages[1];
    return meet.passed == 10 && !meet.scaling.empty() && meet.scaling.back().to == 1;
  };
  while (!settled()) std::this_thread::yield();
  EXPECT_EQ(line.snapshot().stages[1].scaling.back().why, scaling_reason::idle);
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(line.push(i));
  line.close();
  EXPECT_EQ(line.wait().delivered, 20u);
}

TEST(scaling, a_stop_ends_a_pipeline_that_is_growing) {
  std::stop_source stop;
  gathering never(100);
  const auto wait = [](int, std::stop_token token) {
    std::mutex m;
    std::condition_variable_any changed;
    std::unique_lock lock(m);
    changed.wait(lock, token, [] { return false; });
  };
  auto line =
      from(std::views::iota(0, 1000)) | sink("wait", wait, {.workers = automatic}) | start({.stop = stop.get_token()});
  while (line.snapshot().stages[1].workers < 2) std::this_thread::yield();
  stop.request_stop();
  const report r = line.wait();
  EXPECT_EQ(r.outcome, outcome::cancelled);
}

TEST(scaling, ordered_stages_keep_the_order_while_they_grow) {
  gathering g(2);
  std::vector<int> got;
  const report r = from(std::views::iota(0, 200)) |
                   stage("meet",
                         [&](int i) {
                           g.join();
                           return i;
                         },
                         {.workers = {1, 8}, .ordered = true}) |
                   sink("collect", [&](int i) { got.push_back(i); }) | run();
  EXPECT_EQ(r.delivered, 200u);
  EXPECT_TRUE(std::ranges::equal(got, std::views::iota(0, 200)));
}

TEST(scaling, ranges_that_mean_nothing_are_refused) {
  const auto run_with = [](worker_count w) {
    return from(std::views::iota(0, 1)) | sink("s", [](int) {}, {.workers = w}) | run();
  };
  EXPECT_THROW((void)run_with({0, 4}), std::invalid_argument);
  EXPECT_THROW((void)run_with({4, 2}), std::invalid_argument);
  EXPECT_THROW((void)run_with(-1), std::invalid_argument);
  EXPECT_THROW((void)(from(std::views::iota(0, 1)) |
                      sink("s", per_worker([] { return [](int) {}; }), {.workers = {1, 2}}) | run()),
               std::invalid_argument);
}

TEST(scaling, the_report_says_what_was_done_and_why) {
  gathering g(2);
  const report r = from(std::views::iota(0, 20)) | sink("meet", [&](int) { g.join(); }, {.workers = {1, 2}}) | run();
  ASSERT_EQ(r.stages[1].scaling.size(), 1u);
  EXPECT_LE(r.stages[1].scaling[0].at, r.wall);
  EXPECT_TRUE(r.stages[0].scaling.empty());
  std::ostringstream text;
  text << r;
  EXPECT_NE(text.str().find("\"meet\" has 2 workers, of 1 to 2 (1 change, up to 2; the last after "), std::string::npos)
      << text.str();
  EXPECT_NE(to_json(r).find(R"("least_workers":1,"most_workers":2,"scaling":[{"at_s":)"), std::string::npos)
      << to_json(r);
}

}  // namespace
}  // namespace penstock
