// What is done about the number of a stage's workers, and what it costs: at a stage that says it has work to do.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <system_error>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/scaler.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using system::thread;

class shop : public node {
 public:
  explicit shop(worker_count workers) : node("shop", workers) {
    for (std::size_t i = 0; i < this->workers().size(); ++i) this->workers()[i].begin(now_ns(), i < workers.least());
  }
  bool turn(crew_member&) override { return false; }
  [[nodiscard]] readiness ready() const noexcept override { return readiness::nothing; }
  [[nodiscard]] bool has_work() const noexcept override { return !at_work_.empty(); }
  [[nodiscard]] bool is_over() const noexcept override { return false; }
  void add_entrance_counts(stage_report&) const noexcept override {}

  // Everybody is at work for so long, and does so many items each; but for a part of the time.
  void busy(std::chrono::nanoseconds how_long, std::uint64_t items, std::chrono::nanoseconds starved = 0ns,
            std::chrono::nanoseconds blocked = 0ns) {
    open();
    (void)sleep_for(how_long - starved - blocked, {});
    at_work_.front()->passed.add(items * at_work_.size());
    const std::vector<worker*> those = at_work_;
    for (worker* w : those) w->wait_begins(wait_kind::blocked, now_ns());
    (void)sleep_for(blocked, {});
    for (worker* w : those) w->wait_ends(now_ns());
    if (starved == 0ns) return;
    rest();
    (void)sleep_for(starved, {});
  }
  void open() {
    while (worker* const w = hire(now_ns())) at_work_.push_back(w);
  }
  [[nodiscard]] bool is_open() const { return !at_work_.empty(); }
  [[nodiscard]] std::size_t at_work() const { return at_work_.size(); }
  void rest() {
    for (worker* w : at_work_) let_go(*w, wait_kind::starved, now_ns());
    at_work_.clear();
  }

 private:
  std::vector<worker*> at_work_;
};

// Shops with one scaler, and what it has asked for.
class street {
 public:
  explicit street(int shops, worker_count range, int threads_to_be_had = 1000) : threads_to_be_had_(threads_to_be_had) {
    for (int i = 0; i < shops; ++i) shops_.push_back(std::make_unique<shop>(range));
    scaler_.emplace(shops_, scaler::means{[&] { add_thread(); }, [&] { --threads; }, [&] { ++joined; },
                                          [&] { worker_added(); }, [&](node& n) { removed_from.push_back(&n); }});
    check(scaler_->is_needed());
    runs_ = thread([this] { scaler_->run(); });
  }
  ~street() {
    for (std::size_t i = 0; i < shops_.size(); ++i) at(i).rest();
    scaler_->end();
    runs_.join();
  }
  shop& at(std::size_t i) { return static_cast<shop&>(*shops_[i]); }
  // Busy for so long, with a worker who looks for work all the time. In small steps: what is done in a window is even.
  void open(std::size_t i, std::chrono::nanoseconds until) {
    for (auto t = 0ns; t < until; t += 250us) {
      scaler_->notice();
      at(i).busy(250us, 12);
    }
  }
  void notice() { scaler_->notice(); }
  [[nodiscard]] std::vector<scaling_step> steps(std::size_t i) { return scaler_->steps(at(i)); }

  int threads = 0, asked = 0, workers_added = 0, joined = 0;
  std::vector<node*> removed_from;

 private:
  void worker_added() {
    ++workers_added;
    for (std::size_t i = 0; i < shops_.size(); ++i)
      if (at(i).is_open()) at(i).open();
  }
  void add_thread() {
    ++asked;
    if (threads == threads_to_be_had_) throw std::system_error(std::make_error_code(std::errc::no_such_process));
    ++threads;
  }
  const int threads_to_be_had_;
  std::vector<std::unique_ptr<node>> shops_;
  std::optional<scaler> scaler_;
  thread runs_;
};

void try_some(const simulation::body& body, std::uint64_t steps = 1'000'000) {
  simulation::options within = testing::without_haste(0);
  within.steps = steps;
  simulation::simulate_many(1, 10, body, within);
}

TEST(simulated_scaler, workers_and_their_threads_come_and_go) {
  try_some([] {
    street s(2, {1, 4});
    s.open(0, 200ms);
    check(s.at(0).present() == 4 && s.threads == 3 && s.workers_added == 3);
    check(s.removed_from.empty());
    s.at(0).rest();
    (void)sleep_for(3s, {});
    check(s.at(0).present() == 1 && s.threads == 0, "they are not needed any more");
    check(!s.removed_from.empty() && s.removed_from.back() == &s.at(0), "the stage may have to be told of its end");
    check(s.joined > 0);
    s.open(1, 200ms);
    check(s.at(1).present() == 4 && s.threads == 3);
    const auto first = s.steps(0), second = s.steps(1);
    check(first.size() == 3 && first[0].from == 1 && first[0].to == 2 && first[1].from == 2 && first[1].to == 4);
    check(first[0].why == scaling_reason::waits_outside && first[2].why == scaling_reason::idle && first[2].to == 1);
    check(first[0].at < 200ms && first[2].at < 3200ms && second.size() == 2 && second[0].at > 3s);
  });
}

TEST(simulated_scaler, who_is_still_at_work_keeps_his_thread) {
  try_some([] {
    street s(1, {1, 4});
    while (s.removed_from.empty()) {
      s.notice();
      s.at(0).busy(1ms, 60 / std::max<std::size_t>(1, s.at(0).at_work()));  // no more for any worker more
    }
    const std::size_t there = s.at(0).at_work();
    check(there > s.at(0).present() && s.threads == static_cast<int>(there) - 1, "told to go, and not gone");
    s.at(0).rest();
    (void)sleep_for(3s, {});
    check(s.at(0).present() == 1 && s.threads == 0);
  });
}

TEST(simulated_scaler, costs_nothing_while_all_are_idle) {
  try_some(
      [] {
        street s(1, {1, 4});
        s.open(0, 100ms);
        s.at(0).rest();
        (void)sleep_for(24h, {});
        check(s.at(0).present() == 1);
        s.open(0, 100ms);
        check(s.at(0).present() > 1, "and hears of work");
      },
      50'000);
}

TEST(simulated_scaler, where_there_is_no_thread_it_says_so_and_does_not_ask_again) {
  try_some([] {
    street s(1, {1, 64}, 4);
    s.open(0, 1s);
    check(s.at(0).present() == 5 && s.threads == 4 && s.asked == 5);
    const auto steps = s.steps(0);
    check(steps.back().why == scaling_reason::no_thread && steps.back().to == 5);
  });
}

TEST(simulated_scaler, what_keeps_a_stage_from_being_the_bottleneck) {
  const auto workers_after = [](std::chrono::nanoseconds starved, std::chrono::nanoseconds blocked) {
    street s(1, {1, 2});
    for (int i = 0; i < 400; ++i) {
      s.notice();
      s.at(0).busy(1ms, 50, starved / 20, blocked / 20);
    }
    return s.at(0).present();
  };
  try_some([&] {
    check(workers_after(0ms, 0ms) == 2);
    check(workers_after(400us, 0ms) == 2, "it starves a little");
    check(workers_after(2ms, 0ms) == 1, "it starves");
    check(workers_after(0ms, 8ms) == 2, "it waits for room at times");
    check(workers_after(0ms, 12ms) == 1, "most of the time");
  });
}

TEST(simulated_scaler, who_waits_for_a_processor_would_compute) {
  try_some([] {
    street s(1, {1, 8});
    for (int i = 0; i < 2'000; ++i) {
      s.open(0, 250us);
      const auto there = static_cast<std::int64_t>(s.at(0).present());
      s.at(0).used(there * 250'000, there * 125'000, there * 125'000);
    }
    check(s.at(0).present() == 2, "as many as there are processors");
  });
}

TEST(simulated_scaler, only_the_latest_steps_are_kept) {
  try_some(
      [] {
        street s(1, {1, 64});
        for (int i = 0; i < 8; ++i) {
          s.open(0, 1s);
          check(s.at(0).present() == 64);
          s.at(0).rest();
          while (s.at(0).present() > 1) (void)sleep_for(100ms, {});
        }
        const auto steps = s.steps(0);
        check(steps.size() == 64 && steps.back().to == 1 && steps.front().at > 1s);
      },
      10'000'000);
}

}  // namespace
}  // namespace penstock
