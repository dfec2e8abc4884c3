// The crew by itself, with stages that are two numbers: whatever lies ready is seen by somebody at once, whoever lies down,
// is sent home or begins something long just then. In whole pipelines most of that is made good by whoever looks next;
// here nobody does.
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using system::thread;
using testing::try_it;

// Items that lie ready, and those that are done.
class pile : public node {
 public:
  explicit pile(std::chrono::nanoseconds each = 0ns, pile* next = nullptr)
      : node("pile", 4), each_(each), next_(next) {}

  void relieve(crew_member&) override { relieved_after_ = system::clock::now() - began_; }
  bool turn(crew_member& me) override {
    int n = ready_.load();
    do
      if (n == 0) return false;
    while (!ready_.compare_exchange_weak(n, n - 1));
    began_ = system::clock::now();
    relieved_after_ = 0ns;
    me.turn_begins(*this, pace_, items_of_a_turn_, now_ns());
    if (goes_on_long_) me.goes_on_long();
    if (computes() && !waits_instead_)
      simulation::compute(each_);
    else if (each_ > 0ns)
      (void)sleep_for(each_, {});
    if (next_) {
      next_->ready_.fetch_add(1);
      me.changed_something();
    }
    ++done_;
    me.turn_ends();
    return true;
  }
  [[nodiscard]] readiness ready() const noexcept override {
    return ready_.load() ? readiness::plenty : readiness::nothing;
  }
  [[nodiscard]] bool is_over() const noexcept override { return false; }
  void add_entrance_counts(stage_report&) const noexcept override {}

  void put(int count = 1) { ready_.fetch_add(count); }
  // From now on a turn counts as one at several quick items, so others look after it from time to time.
  void works_in_batches(std::int64_t of_items_of_ns = 1'000) {
    pace_.took(of_items_of_ns, 1, false);
    items_of_a_turn_ = 5;
  }
  [[nodiscard]] int done() const { return done_; }
  // In the middle of a turn it says that it takes long after all.
  void goes_on_long() { goes_on_long_ = true; }
  // Its turns are processor time, of a millisecond as a rule.
  void becomes_one_that_computes() {
    pace_.took(1'000'000, 1, false);
    for (int i = 0; i < 20; ++i) used(1'000'000, 1'000'000, 0);
  }
  // But not from now on.
  void waits_instead() { waits_instead_ = true; }
  // How long its last turn had been under way when somebody came to take over.
  [[nodiscard]] std::chrono::nanoseconds relieved_after() const { return relieved_after_; }

 private:
  const std::chrono::nanoseconds each_;
  pile* const next_;
  pace pace_;
  std::size_t items_of_a_turn_ = 1;
  bool goes_on_long_ = false, waits_instead_ = false;
  system::atomic<int> ready_ = 0;
  system::clock::time_point began_;
  std::chrono::nanoseconds relieved_after_{0};
  int done_ = 0;  // threads take turns under simulation
};

// A crew at its piles, from the start to the end.
class workplace {
 public:
  explicit workplace(std::vector<std::unique_ptr<node>> piles, int members) : piles_(std::move(piles)), all(piles_) {
    all.expect(static_cast<std::size_t>(members));
    for (int i = 0; i < members; ++i)
      threads_.emplace_back([this] {
        crew_member me(all, true);
        all.serve(me);
      });
  }
  ~workplace() {
    all.end();
    for (thread& t : threads_) t.join();
  }

 private:
  std::vector<std::unique_ptr<node>> piles_;

 public:
  crew all;

 private:
  std::vector<thread> threads_;
};

// Exhaustive is too much here.
simulation::options within(unsigned preemptions, unsigned delayed_stores = 0) {
  return testing::at_most(100'000, testing::without_haste(preemptions, delayed_stores));
}

// Nothing but what is to be seen at once happens in this time.
void some_time() { (void)sleep_for(100us, {}); }

TEST(simulated_crew, what_is_put_down_is_seen_by_somebody) {
  try_it(within(2, 1), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>()).get());
    workplace w(std::move(piles), 2);
    for (int i = 1; i <= 2; ++i) {
      p->put();
      w.all.notice();
      some_time();
      check(p->done() == i, "at once");
    }
  });
}

TEST(simulated_crew, whoever_is_sent_home_leaves_nothing_behind) {
  try_it(within(2), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>()).get());
    workplace w(std::move(piles), 2);
    w.all.dismiss_one();
    p->put();
    w.all.notice();
    some_time();
    check(p->done() == 1, "by the other one");
    p->put();
    w.all.notice();
    some_time();
    check(p->done() == 2, "who is still there");
  });
}

// Who was called to look after a batch lies down again, though somebody is to go home: then it is the next.
TEST(simulated_crew, somebody_goes_home_while_another_looks_after_a_batch) {
  try_it(within(2), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(5us)).get());
    p->works_in_batches();
    workplace w(std::move(piles), 2);
    p->put();
    w.all.notice();
    w.all.dismiss_one();
    (void)sleep_for(5us, {});
    p->put();
    w.all.notice();
    some_time();
    check(p->done() == 2);
  });
}

TEST(simulated_crew, one_is_sent_home_and_one_comes) {
  try_it(within(1), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>()).get());
    workplace w(std::move(piles), 1);
    w.all.expect_one_more();
    thread late([&] {
      crew_member me(w.all, true);
      w.all.serve(me);
    });
    w.all.dismiss_one();
    p->put();
    w.all.notice();
    some_time();
    check(p->done() == 1);
    w.all.expect_one_more();  // who could not be started after all
    p->put();
    w.all.expect_one_less();
    some_time();
    check(p->done() == 2);
    w.all.end();
    late.join();
  });
}

// What takes long does not keep what comes meanwhile, nor what it makes.
TEST(simulated_crew, whoever_begins_something_long_is_followed_by_another) {
  try_it(within(1), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto end = std::make_unique<pile>();
    pile* const last = end.get();
    auto* const first = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(1ms, last)).get());
    piles.push_back(std::move(end));
    workplace w(std::move(piles), 3);
    first->put(2);
    w.all.notice();
    last->put();
    w.all.notice();
    some_time();
    check(last->done() == 1, "though another is at something long");
    (void)sleep_for(1ms, {});
    check(first->done() == 2 && last->done() == 3, "two at a time, and what they made");
  });
}

// The same for a batch that is known to be long, and for a turn that says so when it has begun.
TEST(simulated_crew, whoever_goes_off_duty_is_followed_by_another) {
  for (const bool says_so_later : {false, true})
    try_it(within(1), 5'000, [&] {
      std::vector<std::unique_ptr<node>> piles;
      auto* const first = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(1ms)).get());
      first->works_in_batches(says_so_later ? 1'000 : 3'000);
      if (says_so_later) first->goes_on_long();
      auto* const last = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>()).get());
      workplace w(std::move(piles), 2);
      first->put();
      w.all.notice();
      (void)sleep_for(10us, {});
      last->put();
      w.all.notice();
      some_time();
      check(last->done() == 1 && first->done() == 0);
    });
}

// Who computes counts as one who keeps a processor at work, but not for ever: most likely he waits for something.
TEST(simulated_crew, one_that_computes_for_far_too_long_does_not_keep_others_from_it) {
  try_it(within(0), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto* const far_too_long = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(200ms)).get());
    auto* const as_ever = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(1ms)).get());
    far_too_long->becomes_one_that_computes();
    far_too_long->waits_instead();
    as_ever->becomes_one_that_computes();
    workplace w(std::move(piles), 4);
    far_too_long->put(2);
    w.all.notice();
    (void)sleep_for(1ms, {});
    as_ever->put();
    w.all.notice();
    (void)sleep_for(10ms, {});
    check(as_ever->done() == 0, "two processors have enough to do");
    (void)sleep_for(40ms, {});
    check(as_ever->done() == 1 && far_too_long->done() == 0);
  });
}

// The sentinel comes too early for a batch that has begun while it slept; it comes again.
TEST(simulated_crew, a_batch_that_is_stuck_is_taken_over_whenever_it_began) {
  try_it(within(1), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto second = std::make_unique<pile>(5ms);
    pile* const stuck = second.get();
    stuck->works_in_batches(3'000);
    auto* const quick = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(100us, stuck)).get());
    quick->works_in_batches();
    piles.push_back(std::move(second));
    workplace w(std::move(piles), 2);
    quick->put();
    w.all.notice();
    (void)sleep_for(4ms, {});
    check(stuck->done() == 0 && stuck->relieved_after() >= 200us && stuck->relieved_after() <= 2ms);
  });
}

// Also by one who was asleep before anything began, and if the one who was to look after it is sent home.
TEST(simulated_crew, somebody_looks_after_a_batch_that_begins_while_all_others_sleep) {
  for (const bool one_goes_home : {false, true})
    try_it(within(1), 5'000, [&] {
      std::vector<std::unique_ptr<node>> piles;
      auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(5ms)).get());
      p->works_in_batches();
      workplace w(std::move(piles), 3);
      (void)sleep_for(100ms, {});
      p->put();
      w.all.notice();
      (void)sleep_for(50us, {});
      if (one_goes_home) w.all.dismiss_one();
      (void)sleep_for(4ms, {});
      check(p->done() == 0 && p->relieved_after() >= 200us && p->relieved_after() <= 2ms);
    });
}

TEST(simulated_crew, nobody_looks_up_while_nothing_is_under_way) {
  simulation::options within{.early_timeouts = false};
  within.steps = 2'000;
  simulation::simulate_many(
      1, 200,
      [] {
        std::vector<std::unique_ptr<node>> piles;
        auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(1ms)).get());
        p->works_in_batches();
        workplace w(std::move(piles), 3);
        p->put();
        w.all.notice();
        (void)sleep_for(10s, {});
      },
      within);
}

TEST(simulated_crew, what_took_no_time_says_nothing_of_what_it_took) {
  simulation::simulate(1, [] {
    pile p;
    for (int i = 0; i < 20; ++i) p.used(0, 0, 0);
    check(!p.computes());
    for (int i = 0; i < 20; ++i) p.used(100, 90, 0);
    check(p.computes());
    for (int i = 0; i < 20; ++i) p.used(100, 10, 60);
    check(!p.computes(), "seven tenths are not enough");
    for (int i = 0; i < 20; ++i) p.used(100, 30, 60);
    check(p.computes(), "it would have, had there been a processor");
  });
}

TEST(simulated_crew, the_end_finds_everybody) {
  try_it(within(2), 5'000, [] {
    std::vector<std::unique_ptr<node>> piles;
    auto* const p = static_cast<pile*>(piles.emplace_back(std::make_unique<pile>(10us)).get());
    workplace w(std::move(piles), 2);
    p->put();
    w.all.notice();
  });
}

}  // namespace
}  // namespace penstock
