// The crew and its supervisor by themselves, with stages that are two numbers: work that is ready is seen at once, whichever
// thread goes to sleep, is dismissed or begins something long just then. In whole pipelines most of that is made good by
// the next thread that looks; here none does.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/sleep.hpp>
#include <penstock/pipeline/claimed_batch.hpp>
#include <penstock/pipeline/crew.hpp>
#include <penstock/pipeline/node.hpp>
#include <penstock/pipeline/pace.hpp>
#include <penstock/pipeline/supervisor.hpp>

#include "tests/simulation/bounds.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::choose;
using system::thread;
using testing::try_it;

// Items that lie ready, and those that are done.
class pile : public node {
 public:
  pile(std::chrono::nanoseconds each, supervisor& s) : node("pile", 4), each_(each), supervisor_(s) {}

  supervision look_after(crew& all, std::int64_t now) noexcept override {
    supervision found;
    for (turn_batch& b : turns_) {
      const std::int64_t due = b.due();
      if (due > now && (found.due == 0 || due < found.due)) found.due = due;
      if (due == 0 || now < due) continue;
      found.acted = true;
      b.look_after(
          now,
          [&](crew_member& owner) {
            if (overdue_after_ == 0ns) overdue_after_ = std::chrono::nanoseconds(now - began_);
            may_not_compute();
            all.overdue(owner);
          },
          [](std::size_t, std::size_t) {}, [](const batch_view<char>&, std::size_t, std::uint64_t) {});
    }
    return found;
  }
  bool turn(crew_member& me) override {
    int n = ready_.load();
    do
      if (n == 0) return false;
    while (!ready_.compare_exchange_weak(n, n - 1));
    ++under_way_;
    std::size_t at = 0;
    while (taken_[at]) ++at;
    taken_[at] = true;
    turn_batch& mine = turns_[at];
    began_ = now_ns();
    overdue_after_ = 0ns;
    me.turn_begins(*this, pace_, items_of_a_turn_);
    if (const std::int64_t due = due_of_a_turn(); due && supervisor_.is_there()) {
      mine.open({}, due, &me);
      supervisor_.watch(due);
    }
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
    --under_way_;
    (void)mine.close();
    taken_[at] = false;
    me.turn_ends();
    return true;
  }
  [[nodiscard]] readiness ready() const noexcept override { return ready_.load() ? ready_as_ : readiness::nothing; }
  [[nodiscard]] bool is_over() const noexcept override { return false; }
  void add_entrance_counts(stage_report&) const noexcept override {}

  void put(int count) { ready_.fetch_add(count); }
  // What is done here goes there.
  void feeds(pile& next) { next_ = &next; }
  // From now on a turn counts as one at several quick items, so others look after it from time to time.
  void works_in_batches(std::int64_t of_items_of_ns = 1'000) {
    pace_.took(of_items_of_ns, 1, false);
    items_of_a_turn_ = 5;
  }
  [[nodiscard]] int done() const { return done_; }
  [[nodiscard]] int under_way() const { return under_way_; }
  // In the middle of a turn it says that it takes long after all.
  void goes_on_long() { goes_on_long_ = true; }
  // Its turns are processor time, of a millisecond as a rule.
  void becomes_one_that_computes() {
    pace_.took(1'000'000, 1, false);
    for (int i = 0; i < 20; ++i) used(1'000'000, 1'000'000, 0);
  }
  // But not from now on.
  void waits_instead() { waits_instead_ = true; }
  // What lies here is a little work, not worth waking somebody for.
  void is_little() { ready_as_ = readiness::some; }
  // How long its last turn had been under way when the supervisor found it overdue; 0: it has not.
  [[nodiscard]] std::chrono::nanoseconds overdue_after() const { return overdue_after_; }

 private:
  using turn_batch = claimed_batch<char, char>;
  [[nodiscard]] std::int64_t due_of_a_turn() const {
    if (items_of_a_turn_ > 1)
      return began_ + pace::stuck_ns + pace_.each() * static_cast<std::int64_t>(items_of_a_turn_);
    return computes() ? began_ + std::max<std::int64_t>(20'000'000, 4 * pace_.each()) : 0;
  }

  const std::chrono::nanoseconds each_;
  supervisor& supervisor_;
  turn_batch turns_[8];
  bool taken_[8] = {};  // threads take turns under simulation
  pile* next_ = nullptr;
  pace pace_;
  std::size_t items_of_a_turn_ = 1;
  readiness ready_as_ = readiness::plenty;
  bool goes_on_long_ = false, waits_instead_ = false;
  system::atomic<int> ready_ = 0;
  std::int64_t began_ = 0;
  std::chrono::nanoseconds overdue_after_{0};
  int done_ = 0, under_way_ = 0;  // threads take turns under simulation
};

// A crew at its piles, from the start to the end.
class workplace {
 public:
  workplace() = default;
  // Before it opens.
  pile& add(std::chrono::nanoseconds each = 0ns) {
    return static_cast<pile&>(*piles_.emplace_back(std::make_unique<pile>(each, watch)));
  }
  void open(int members) {
    all.expect(static_cast<std::size_t>(members));
    for (int i = 0; i < members; ++i) start_one(true);
  }
  void start_one(bool expected = false) {
    threads_.emplace_back([this, expected] {
      if (!expected) all.one_more();
      crew_member me(all, true);
      all.serve(me);
      ++gone_home_;
    });
  }
  // Work, and somebody hears of it.
  void bring(pile& p, int count = 1) {
    p.put(count);
    all.notice();
  }
  [[nodiscard]] int gone_home() const { return gone_home_; }
  ~workplace() {
    all.end();
    watch.end();
    for (thread& t : threads_) t.join();
    if (supervisor_.joinable()) supervisor_.join();
  }

 private:
  std::vector<std::unique_ptr<node>> piles_;
  int gone_home_ = 0;

 public:
  supervisor watch{piles_, [this] { supervisor_ = thread([this] { watch.run(all); }); }};
  crew all{piles_, watch};

 private:
  std::vector<thread> threads_;
  thread supervisor_;
};

// Exhaustive is too much here.
simulation::options within(unsigned preemptions, unsigned delayed_stores = 0) {
  return testing::at_most(100'000, testing::without_haste(preemptions, delayed_stores));
}

// Nothing but what is to be seen at once happens in this time.
void some_time() { (void)sleep_for(100us, {}); }

TEST(simulated_crew, what_is_put_down_is_seen_by_somebody) {
  try_it(within(2, 1), 5'000, [] {
    workplace w;
    pile& p = w.add();
    w.open(2);
    for (int i = 1; i <= 2; ++i) {
      w.bring(p);
      some_time();
      check(p.done() == i, "at once");
    }
  });
}

TEST(simulated_crew, whoever_is_sent_home_leaves_nothing_behind) {
  try_it(within(2), 5'000, [] {
    workplace w;
    pile& p = w.add();
    w.open(2);
    w.all.dismiss_one();
    w.bring(p);
    some_time();
    check(p.done() == 1, "by the other one");
    w.bring(p);
    some_time();
    check(p.done() == 2, "who is still there");
  });
}

TEST(simulated_crew, a_thread_is_dismissed_while_a_batch_is_under_way) {
  try_it(within(2), 5'000, [] {
    workplace w;
    pile& p = w.add(5us);
    p.works_in_batches();
    w.open(2);
    w.bring(p);
    w.all.dismiss_one();
    (void)sleep_for(5us, {});
    w.bring(p);
    some_time();
    check(p.done() == 2);
  });
}

TEST(simulated_crew, one_is_sent_home_and_one_comes) {
  try_it(within(1), 5'000, [] {
    workplace w;
    pile& p = w.add();
    w.open(1);
    w.start_one();
    w.all.dismiss_one();
    w.bring(p);
    some_time();
    check(p.done() == 1);
  });
}

// What takes long does not keep what comes meanwhile, nor what it makes.
TEST(simulated_crew, whoever_begins_something_long_is_followed_by_another) {
  try_it(within(1), 5'000, [] {
    workplace w;
    pile& first = w.add(1ms);
    pile& last = w.add();
    first.feeds(last);
    w.open(3);
    w.bring(first, 2);
    w.bring(last);
    some_time();
    check(last.done() == 1, "though another is at something long");
    (void)sleep_for(1ms, {});
    check(first.done() == 2 && last.done() == 3, "two at a time, and what they made");
  });
}

// The same for a batch that is known to be long, and for a turn that says so when it has begun.
TEST(simulated_crew, whoever_goes_off_duty_is_followed_by_another) {
  for (const bool says_so_later : {false, true})
    try_it(within(1), 5'000, [&] {
      workplace w;
      pile& first = w.add(1ms);
      first.works_in_batches(says_so_later ? 1'000 : 3'000);
      if (says_so_later) first.goes_on_long();
      pile& last = w.add();
      w.open(2);
      w.bring(first);
      (void)sleep_for(10us, {});
      w.bring(last);
      some_time();
      check(last.done() == 1 && first.done() == 0);
    });
}

// Who computes counts as one who keeps a processor at work, but not for ever: most likely he waits for something.
TEST(simulated_crew, one_that_computes_for_far_too_long_does_not_keep_others_from_it) {
  try_it(within(0), 5'000, [] {
    workplace w;
    pile& far_too_long = w.add(200ms);
    pile& as_ever = w.add(1ms);
    far_too_long.becomes_one_that_computes();
    far_too_long.waits_instead();
    as_ever.becomes_one_that_computes();
    w.open(4);
    w.bring(far_too_long, 2);
    (void)sleep_for(1ms, {});
    w.bring(as_ever);
    (void)sleep_for(10ms, {});
    check(as_ever.done() == 0, "two processors have enough to do");
    (void)sleep_for(40ms, {});
    check(as_ever.done() == 1 && far_too_long.done() == 0);
  });
}

// The supervisor was woken for another batch, and comes too early for this one; it comes again.
TEST(simulated_crew, a_batch_is_found_overdue_whenever_it_began) {
  try_it(within(1), 5'000, [] {
    workplace w;
    pile& quick = w.add(100us);
    pile& stuck = w.add(5ms);
    quick.works_in_batches();
    quick.feeds(stuck);
    stuck.works_in_batches(3'000);
    w.open(2);
    w.bring(quick);
    (void)sleep_for(4ms, {});
    check(stuck.done() == 0 && stuck.overdue_after() >= 200us && stuck.overdue_after() <= 2ms);
  });
}

TEST(simulated_crew, a_batch_is_found_overdue_though_everything_slept_when_it_began) {
  for (const bool one_goes_home : {false, true})
    try_it(within(1), 5'000, [&] {
      workplace w;
      pile& p = w.add(5ms);
      p.works_in_batches(one_goes_home ? 1'000 : 3'000);
      w.open(3);
      (void)sleep_for(100ms, {});
      w.bring(p);
      (void)sleep_for(50us, {});
      if (one_goes_home) w.all.dismiss_one();
      (void)sleep_for(4ms, {});
      check(p.done() == 0 && p.overdue_after() >= 200us && p.overdue_after() <= 2ms);
    });
}

// No thread was woken for this work, because all processors had some. The supervisor finds that the others only wait.
TEST(simulated_crew, threads_that_are_taken_for_computing_do_not_keep_others_asleep_for_ever) {
  try_it(within(0), 5'000, [] {
    workplace w;
    pile& stuck = w.add(1h);
    pile& p = w.add(1s);
    stuck.works_in_batches(3'000);
    p.becomes_one_that_computes();
    p.waits_instead();
    w.open(5);
    if (choose(2)) w.bring(stuck);
    (void)sleep_for(10s, {});  // all others sleep, and nobody looks up, or not soon
    for (int i = 0; i < 3; ++i) {
      w.bring(p);
    }
    (void)sleep_for(100ms, {});
    check(p.under_way() == 3);
  });
}

TEST(simulated_crew, what_others_compute_does_not_keep_anybody_from_other_work) {
  try_it(within(1), 5'000, [] {
    workplace w;
    pile& busy = w.add(5ms);
    pile& other = w.add();
    busy.becomes_one_that_computes();
    busy.waits_instead();
    w.open(4);
    (void)sleep_for(100ms, {});
    for (int i = 0; i < 2; ++i) {
      w.bring(busy);
    }
    some_time();
    check(busy.under_way() == 2);
    w.bring(other);
    some_time();
    check(other.done() == 1);
  });
}

// A little work lies ready when the last thread begins something long: none is woken at once, but one comes.
TEST(simulated_crew, a_little_work_is_found_by_the_supervisor) {
  try_it(within(1), 5'000, [] {
    workplace w;
    pile& little = w.add();
    pile& lengthy = w.add(50ms);
    little.is_little();
    w.open(2);
    (void)sleep_for(100ms, {});
    little.put(1);  // not worth a word either
    w.bring(lengthy);
    (void)sleep_for(10ms, {});
    check(lengthy.under_way() == 1 && little.done() == 1);
  });
}

// Not only where a turn is overdue: as long as a processor is free. However many threads are still there.
TEST(simulated_crew, the_supervisor_calls_a_thread_where_a_processor_is_free) {
  enum class members { stay, go_home, come_later };
  for (const members they : {members::stay, members::go_home, members::come_later})
    try_it(within(0), 1'000, [&] {
      workplace w;
      pile& p = w.add(150us);
      p.works_in_batches();
      w.open(they == members::go_home ? 3 : they == members::come_later ? 1 : 2);
      if (they == members::go_home) w.all.dismiss_one();
      if (they == members::come_later) w.start_one();
      (void)sleep_for(100ms, {});
      check(w.gone_home() == (they == members::go_home ? 1 : 0));
      w.bring(p, 3);
      (void)sleep_for(400us, {});
      check(p.done() == 3, "one after the other would take 450 microseconds");
    });
}

TEST(simulated_crew, no_thread_is_called_where_no_processor_is_free) {
  for (const bool comes_later : {false, true})
    try_it(within(0), 1'000, [&] {
      workplace w;
      pile& p = w.add(150us);
      p.works_in_batches();
      w.open(comes_later ? 2 : 3);
      if (comes_later) w.start_one();
      (void)sleep_for(100ms, {});
      w.bring(p, 20);
      (void)sleep_for(690us, {});
      check(p.done() == 7, "one from the beginning, and another after 200 microseconds");
    });
}

TEST(simulated_crew, who_is_at_work_when_one_is_sent_home_goes_after_it) {
  try_it(within(1), 5'000, [] {
    workplace w;
    pile& p = w.add(1ms);
    w.open(2);
    w.bring(p, 2);
    some_time();
    check(p.under_way() == 2);
    w.all.dismiss_one();
    some_time();
    check(w.gone_home() == 0);
    (void)sleep_for(2ms, {});
    check(p.done() == 2 && w.gone_home() == 1, "one only");
    w.bring(p);
    (void)sleep_for(2ms, {});
    check(p.done() == 3);
  });
}

TEST(simulated_crew, nobody_looks_up_while_nothing_is_under_way) {
  simulation::options within{.early_timeouts = false};
  within.steps = 2'000;
  simulation::simulate_many(
      1, 200,
      [] {
        workplace w;
        pile& p = w.add(1ms);
        p.works_in_batches();
        w.open(3);
        w.bring(p);
        (void)sleep_for(10s, {});
      },
      within);
}

// Once, and no more.
TEST(simulated_crew, a_turn_that_is_stuck_for_days_costs_nothing) {
  simulation::options within{.early_timeouts = false};
  within.steps = 1'000;
  simulation::simulate_many(
      1, 200,
      [] {
        workplace w;
        pile& p = w.add(1000 * 24h);
        p.works_in_batches();
        w.open(3);
        w.bring(p);
      },
      within);
}

TEST(simulated_crew, what_took_no_time_says_nothing_of_what_it_took) {
  simulation::simulate(1, [] {
    const std::vector<std::unique_ptr<node>> none;
    supervisor idle(none);
    pile p(0ns, idle);
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
    workplace w;
    pile& p = w.add(10us);
    w.open(2);
    w.bring(p);
  });
}

}  // namespace
}  // namespace penstock
