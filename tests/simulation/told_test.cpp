// Those who wait without a thread (wait_line::place::told) beside those who sleep, in one line, under every schedule with
// a few preemptions: nothing lost or doubled, no lost wake, no call that nobody knows of.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <optional>
#include <stop_token>

#include <gtest/gtest.h>

#include <penstock/pipeline/entrance.hpp>
#include <penstock/queue/bounded_queue.hpp>
#include <penstock/queue/plain_queue.hpp>
#include <penstock/simulation/simulation.hpp>

#include "tests/queue/history.hpp"
#include "tests/queue/queue_kinds.hpp"
#include "tests/simulation/bounds.hpp"
#include "tests/simulation/explored_queue.hpp"

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::explore;
using system::thread;
using testing::bounds;
using testing::number;
using item = simulation::watched<number>;

// The calls to one who waits without a thread, as a loop has them: one at a time, or a cancel, which comes from without.
class calls {
 public:
  void call() noexcept {
    twice_ = (posted_.fetch_or(a_call) & a_call) != 0 || twice_;
    system::futex_wake(posted_, 1);
  }
  void cancel() noexcept {
    posted_.fetch_or(a_cancel);
    system::futex_wake(posted_, 1);
  }
  // Until one comes. False: a cancel.
  bool wait() {
    while (posted_ == 0) system::futex_wait(posted_, 0, system::never);
    return (posted_.exchange(0) & a_cancel) == 0;
  }
  // It waits no more. expected: whether it believes that a call may be on its way, which has to be called back.
  void forget(bool expected) {
    check(!twice_, "one call at a time");
    if (!expected) check((posted_.load() & a_call) == 0, "no call that nobody knows of");
    posted_.fetch_and(~a_call);
  }

 private:
  static constexpr std::uint32_t a_call = 1, a_cancel = 2;
  system::atomic<std::uint32_t> posted_ = 0;
  bool twice_ = false;
};

// One who stands in line and does not sleep there, and the thread that his calls are delivered to: what a task is, and
// its loop. A cancel does what a task's destructor does.
class told_one : private wait_line::place {
 public:
  explicit told_one(bool is_patient = false) noexcept {
    told = [](wait_line::place& p) noexcept { static_cast<told_one&>(p).calls_.call(); };
    patient = is_patient;
  }
  template <class Queue>
  void lose_patience(Queue& q) noexcept {
    q.lose_patience(*this);
  }
  // From any thread.
  void cancel() noexcept { calls_.cancel(); }

  // try_it(place) until it says something else than `wait`; empty: it was cancelled, and has left by leave(place).
  template <class Status, class Try, class Leave>
  std::optional<Status> until_not(Status wait, Try try_it, Leave leave) {
    for (;;) {
      const Status now = try_it(mine());
      if (now != wait) {
        forget();
        return now;
      }
      if (calls_.wait()) continue;
      leave(mine());
      forget();
      return std::nullopt;
    }
  }
  // The item; empty: the end, or it was cancelled.
  template <class Queue>
  std::optional<number> pop(Queue& q) {
    std::optional<item> out;
    (void)until_not(
        conqueue_status::empty, [&](auto& self) { return q.pop_in_line(self, out); },
        [&](auto& self) { q.leave_pop(self); });
    return out ? std::optional(out->get()) : std::nullopt;
  }
  // Whether the item went in.
  template <class Queue>
  bool push(Queue& q, number n) {
    item in(n);
    return until_not(
               conqueue_status::full, [&](auto& self) { return q.push_in_line(self, in); },
               [&](auto& self) { q.leave_push(self); }) == conqueue_status::success;
  }

 private:
  wait_line::place& mine() noexcept { return *this; }
  void forget() {
    check(!is_linked(), "out of the line");
    calls_.forget(awake.load() != 0);
  }
  calls calls_;
};

template <class Kind>
class simulated_told : public testing::explored_queue<Kind> {
 protected:
  template <class Queue>
  static int fill(Queue& q) {
    int in = 0;
    while (q.try_push(0) == conqueue_status::success) ++in;
    return in;
  }
  template <class Queue>
  static int empty(Queue& q) {
    int out = 0;
    while (q.try_pop()) ++out;
    return out;
  }
};
TYPED_TEST_SUITE(simulated_told, testing::queue_kinds, testing::kind_names);

TYPED_TEST(simulated_told, one_to_one_in_order_to_the_end) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    const thread producer([&] {
      told_one self;
      for (number i = 0; i < 3; ++i) check(self.push(q, i));
      q.close();
    });
    told_one self;
    for (number i = 0; i < 3; ++i) check(self.pop(q) == i, "in order");
    check(!self.pop(q), "then the end");
  });
}

TYPED_TEST(simulated_told, shares_a_line_with_a_thread_that_pops) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    number sums[2] = {};
    thread tasks([&] {
      told_one self;
      while (const auto got = self.pop(q)) sums[0] += *got;
    });
    thread sleeps([&] {
      while (const auto got = q.pop()) sums[1] += got->get();
    });
    for (const number n : {1, 2}) check(q.push(n));
    q.close();
    tasks.join();
    sleeps.join();
    check(sums[0] + sums[1] == 3, "nothing lost or doubled");
  });
}

TYPED_TEST(simulated_told, shares_a_line_with_a_thread_that_pushes) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    (void)TestFixture::fill(q);
    const thread tasks([&] {
      told_one self;
      check(self.push(q, 1));
    });
    const thread sleeps([&] { check(q.push(2)); });
    number sum = 0;
    for (std::size_t left = q.capacity() + 2; left > 0; --left) sum += q.pop()->get();
    check(sum == 3, "nothing lost or doubled");
  });
}

// Each waits for an item, and for no more than it: no other comes, so a wake that is lost is never made up for.
TYPED_TEST(simulated_told, nobody_is_left_waiting) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    const thread tasks([&] {
      told_one self;
      check(self.pop(q).has_value());
    });
    const thread sleeps([&] { check(q.pop().has_value()); });
    check(q.push(1) && q.push(2));
  });
}

TYPED_TEST(simulated_told, close_tells_everyone) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    const thread tasks([&] {
      told_one self;
      check(!self.pop(q));
    });
    const thread sleeps([&] { check(!q.pop()); });
    q.close();
  });
  TestFixture::explore_both(bounds(2), [](auto& q) {
    int in = TestFixture::fill(q);
    bool pushed = false, other = false;
    thread tasks([&] {
      told_one self;
      pushed = self.push(q, 1);
    });
    thread sleeps([&] { other = q.push(2); });
    q.close();
    tasks.join();
    sleeps.join();
    in += pushed + other;
    check(TestFixture::empty(q) == in, "what was taken before the close is popped after it");
  });
}

TYPED_TEST(simulated_told, cancelling_the_queue_hands_back_what_was_not_popped) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    int in = 0, out = 0;
    thread producer([&] {
      told_one self;
      for (number i = 0; i < 2; ++i) in += self.push(q, i);
    });
    thread consumer([&] {
      told_one self;
      while (self.pop(q)) ++out;
    });
    const auto back = q.cancel();
    producer.join();
    consumer.join();
    check(in == out + static_cast<int>(back.size()));
  });
}

// A task that is destroyed where it waits: its call is the next one's.
TYPED_TEST(simulated_told, one_that_is_cancelled_passes_its_call_on) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    told_one task;
    int out = 0;
    thread tasks([&] { out = task.pop(q).has_value(); });
    thread sleeps([&] { check(q.pop().has_value()); });
    const thread cancels([&] { task.cancel(); });
    check(q.push(1) && q.push(2));
    sleeps.join();
    tasks.join();
    check(out + static_cast<int>(q.size_approx()) == 1, "no item went with it");
  });
  TestFixture::explore_both(bounds(2), [](auto& q) {
    const int in = TestFixture::fill(q);
    told_one task;
    bool pushed = false;
    thread tasks([&] { pushed = task.push(q, 1); });
    thread sleeps([&] { check(q.push(2)); });
    task.cancel();
    check(q.pop().has_value() && q.pop().has_value());
    sleeps.join();
    tasks.join();
    check(in + pushed + 1 - 2 == static_cast<int>(q.size_approx()), "no place went with it");
  });
}

// Behind a task that was told and does not come to it; its loop is busy. A thread that gives up there takes nothing along.
TYPED_TEST(simulated_told, a_stop_ends_the_wait_of_a_thread_behind_it) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    std::stop_source stop;
    int out = 0;
    thread stopped([&] { out += q.pop(stop.get_token()).has_value(); });
    thread tasks([&] {
      told_one self;
      check(self.pop(q).has_value());
    });
    const thread stops([&] { stop.request_stop(); });
    check(q.push(1) && q.push(2));
    stopped.join();
    tasks.join();
    check(out + static_cast<int>(q.size_approx()) == 1);
  });
}

// What it was called for is taken by somebody who stood in no line: it waits on, and is called for the next. (Who read
// "there is nothing" as "it is the end" would hang, or end too early, once in millions of items.)
TYPED_TEST(simulated_told, a_call_that_comes_too_late_is_not_the_end) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    const thread tasks([&] {
      told_one self;
      check(self.pop(q).has_value(), "no end before the close");
    });
    check(q.push(1));
    if (q.try_pop()) check(q.push(2));
  });
  TestFixture::explore_both(bounds(3), [](auto& q) {
    (void)TestFixture::fill(q);
    thread tasks([&] {
      told_one self;
      check(self.push(q, 1));
    });
    check(q.try_pop().has_value());
    if (q.try_push(2) == conqueue_status::success) check(q.pop().has_value());
    tasks.join();
  });
}

// One that is content to be told when half of a large queue is free: whenever it loses its patience, before, meanwhile or
// after, one place is enough for it.
TYPED_TEST(simulated_told, one_that_loses_its_patience_is_told_of_the_first_place) {
  const auto done = explore(bounds(2), [] {
    testing::queue_of<TypeParam, item> q(16);
    while (q.try_push(0) == conqueue_status::success) {
    }
    told_one task(true);
    const thread tasks([&] { check(task.push(q, 1)); });
    const thread takes([&] { check(q.try_pop().has_value()); });
    task.lose_patience(q);
  });
  if (!done.complete) std::cout << "cut short after " << done.runs << " runs\n";
}

// With weights nobody overtakes, whoever waits how: heavy ones would wait for ever.
TEST(simulated_told_plain, a_heavy_one_is_not_overtaken) {
  const auto weight = [](const item& i) { return static_cast<std::size_t>(i.get()); };
  const auto until_one_waits = [](auto& q) {
    while (q.statistics().push_waits == 0) system::yield();
  };
  for (const bool heavy_is_told : {false, true}) {
    const auto done = explore(bounds(2), [&] {
      plain_queue<item> q(4, byte_capacity<item>{3, weight});
      check(q.push(2));
      const thread tasks([&] {
        told_one self;
        if (!heavy_is_told) until_one_waits(q);
        check(self.push(q, heavy_is_told ? 3 : 1));
      });
      const thread sleeps([&] {
        if (heavy_is_told) until_one_waits(q);
        check(q.push(heavy_is_told ? 1 : 3));
      });
      until_one_waits(q);
      for (const number expected : {2, 3, 1}) check(q.pop()->get() == expected);
    });
    if (!done.complete) std::cout << "cut short after " << done.runs << " runs\n";
  }
}

// --- parts of a budget ---

class told_borrower : private budget::place {
 public:
  told_borrower() noexcept {
    told = [](budget::place& p) noexcept { static_cast<told_borrower&>(p).calls_.call(); };
  }
  void cancel() noexcept { calls_.cancel(); }
  // Nothing: it was cancelled.
  std::optional<budget::reservation> acquire(budget& all, std::uint64_t amount_wanted) {
    for (;;) {
      auto part = all.acquire_in_line(amount_wanted, *this);
      if (!part && calls_.wait()) continue;
      all.leave(*this);
      calls_.forget(called);
      return part;
    }
  }

 private:
  calls calls_;
};

// Each of them holds its part until the other one has one, too: nobody is called but by who came before.
TEST(simulated_told_budget, one_that_comes_to_its_turn_calls_the_next) {
  const auto done = explore(bounds(2), [] {
    budget all(2);
    auto one = all.acquire(1), other = all.acquire(1);
    system::atomic<std::uint32_t> holding = 0;
    const auto hold = [&](const std::optional<budget::reservation>& part) {
      check(part.has_value());
      ++holding;
      system::futex_wake(holding, 2);
      for (std::uint32_t now = holding; now < 2; now = holding) system::futex_wait(holding, now, system::never);
    };
    {
      const thread tasks([&] {
        told_borrower self;
        hold(self.acquire(all, 1));
      });
      const thread sleeps([&] { hold(all.acquire(1)); });
      one->shrink_to(0);
      other->shrink_to(0);
    }
    check(all.in_use() == 0);
  });
  if (!done.complete) std::cout << "cut short after " << done.runs << " runs\n";
}

TEST(simulated_told_budget, one_that_is_cancelled_lets_the_next_one_come) {
  explore(bounds(2), [] {
    budget all(2);
    auto mine = all.acquire(1);
    told_borrower task;
    {
      const thread tasks([&] { (void)task.acquire(all, 2); });
      const thread sleeps([&] { check(all.acquire(1).has_value()); });
      task.cancel();
    }
  });
}

TEST(simulated_told_budget, a_large_one_is_not_overtaken) {
  explore(bounds(0), [] {
    budget all(2);
    auto mine = all.acquire(1);
    budget::place large, small;
    large.told = small.told = [](budget::place&) noexcept {};
    check(!all.acquire_in_line(2, large) && !all.acquire_in_line(1, small));
    mine.reset();
    check(!all.acquire_in_line(1, small) && all.acquire_in_line(2, large));
    check(all.acquire_in_line(1, small).has_value());
  });
}

// --- places in an entrance, and the items behind it ---

envelope<item> enveloped(number n) { return {box<item>(item(n)), n, 0, n}; }  // as many bytes as its number

// One who puts items in, without a thread.
class told_producer final : private outside_place {
 public:
  void cancel() noexcept { calls_.cancel(); }
  // success, closed; full: it was cancelled, and the item has stayed here.
  conqueue_status put(entrance<item>& e, number n) {
    auto one = enveloped(n);
    for (;;) {
      const conqueue_status now = e.put_in_line(one, *this);
      if (now == conqueue_status::full) {
        if (calls_.wait()) continue;
        e.leave_line(*this);
      }
      check(!for_room.is_linked() && !for_bytes.is_linked() && bytes == 0, "it stands in no line any more");
      calls_.forget(was_told());
      return now;
    }
  }

 private:
  void told() noexcept override { calls_.call(); }
  calls calls_;
};
// Takes one item and frees its place. False: the end, or it was cancelled.
bool take(told_one& self, entrance<item>& e) {
  for (;;) {
    const auto some = self.until_not(
        false, [&](auto& place) { return e.items_in_line(place); }, [&](auto& place) { e.leave_items_line(place); });
    if (!some || (e.is_closed() && e.waiting() == 0)) return false;
    if (e.take(1, [](envelope<item>&& taken) { (void)(*taken.item).get(); }).count == 0) {
      system::yield();  // somebody is in the middle of putting it in
      continue;
    }
    e.freed(1);
    return true;
  }
}

// Without a limit in bytes, with one that is narrower than the capacity, and with one that is wider.
template <class Body>
void explore_entrances(unsigned preemptions, Body body) {
  for (const std::size_t bytes : {0, 3, 9}) {
    const auto done = explore(bounds(preemptions), [&] {
      entrance<item> e(bytes == 3 ? 4 : 1, bytes);
      body(e);
      e.close();
      for (const envelope<item>& rest : e.hand_over()) (void)rest;  // gives their bytes back
    });
    if (!done.complete) std::cout << "cut short after " << done.runs << " runs\n";
  }
}
void put(entrance<item>& e, number n) {
  auto one = enveloped(n);
  const wait_limit for_ever;
  check(e.put(one, &for_ever) == conqueue_status::success);
}

TEST(simulated_told_entrance, places_go_to_tasks_and_threads_and_none_is_lost) {
  explore_entrances(2, [](auto& e) {
    put(e, 2);
    const thread tasks([&] {
      told_producer self;
      check(self.put(e, 2) == conqueue_status::success);
    });
    const thread sleeps([&] { put(e, 3); });
    told_one self;
    for (int left = 3; left > 0; --left) check(take(self, e));
  });
}

TEST(simulated_told_entrance, one_that_is_cancelled_leaves_its_place_to_the_next) {
  explore_entrances(2, [](auto& e) {
    put(e, 2);
    told_producer task;
    bool entered = false;
    thread tasks([&] { entered = task.put(e, 2) == conqueue_status::success; });
    thread sleeps([&] { put(e, 3); });
    const thread cancels([&] { task.cancel(); });
    told_one self;
    check(take(self, e) && take(self, e));
    tasks.join();
    sleeps.join();
    check(e.waiting() == (entered ? 1 : 0));
  });
}

TEST(simulated_told_entrance, room_for_two_is_passed_on_by_the_first) {
  const auto body = [] {
    entrance<item> e(2, 0);
    put(e, 1);
    put(e, 1);
    int in = 0;
    const auto produce = [&] {
      told_producer self;
      check(self.put(e, 1) == conqueue_status::success);
      ++in;
    };
    const thread first(produce), second(produce);
    (void)sleep_for(std::chrono::milliseconds(1), {});
    check(in == 0);
    check(e.take(2, [](envelope<item>&& taken) { (void)(*taken.item).get(); }).count == 2);
    e.freed(2);
    (void)sleep_for(std::chrono::milliseconds(1), {});
    check(in == 2);
    e.close();
    for (const envelope<item>& rest : e.hand_over()) (void)rest;
  };
  testing::try_it(testing::without_haste(2), 1'000, body);
}

TEST(simulated_told_entrance, close_tells_those_who_wait_for_room_and_for_items) {
  explore_entrances(2, [](auto& e) {
    put(e, 2);
    const thread producer([&] {
      told_producer self;
      check(self.put(e, 2) == conqueue_status::closed);
    });
    e.close();
  });
  explore_entrances(3, [](auto& e) {
    const thread consumer([&] {
      told_one self;
      check(!take(self, e));
    });
    e.close();
  });
}

TEST(simulated_told_entrance, items_come_to_the_task_that_waits_for_them) {
  explore_entrances(2, [](auto& e) {
    const thread producer([&] {
      told_producer self;
      for (number n = 1; n < 4; ++n) check(self.put(e, n) == conqueue_status::success);
      e.close();
    });
    told_one self;
    int taken = 0;
    while (take(self, e)) ++taken;
    check(taken == 3);
  });
}

}  // namespace
}  // namespace penstock
