// Both engines of the queue under every schedule with a few preemptions. The items are watched values, so the memory
// orders around them are tested, too; a thread that is not woken is a deadlock, which the simulation reports by itself.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/queue/bounded_queue.hpp>
#include <penstock/queue/plain_queue.hpp>
#include <penstock/simulation/simulation.hpp>

#include "tests/queue/history.hpp"
#include "tests/queue/linearizable.hpp"
#include "tests/queue/queue_kinds.hpp"
#include "tests/simulation/bounds.hpp"
#include "tests/simulation/explored_queue.hpp"

namespace penstock::simulation {
inline testing::number number_of(const watched<testing::number>& item) { return item.get(); }
}  // namespace penstock::simulation

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::explore;
using system::thread;
using testing::bounds;
using testing::number;
using item = simulation::watched<number>;

template <class Kind>
class simulated_queue : public testing::explored_queue<Kind> {};
TYPED_TEST_SUITE(simulated_queue, testing::queue_kinds, testing::kind_names);

// Pops until the end; returns the sum.
template <class Queue>
number drain(Queue& q) {
  number sum = 0;
  while (auto got = q.pop()) sum += got->get();
  return sum;
}

TYPED_TEST(simulated_queue, one_to_one_in_order_to_the_end) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    const thread producer([&] {
      for (number i = 0; i < 3; ++i) check(q.push(i));
      q.close();
    });
    for (number i = 0; i < 3; ++i) check(q.pop()->get() == i, "in order");
    check(!q.pop(), "then the end");
  });
}

TYPED_TEST(simulated_queue, two_producers_one_consumer) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    const thread a([&] { check(q.push(10) && q.push(11)); }), b([&] { check(q.push(20)); });
    number next[] = {0, 10, 20};
    for (int i = 0; i < 3; ++i) {
      const number got = q.pop()->get();
      check(got == next[got / 10]++, "each producer's in order");
    }
  });
}

TYPED_TEST(simulated_queue, one_producer_two_consumers) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    number sums[2] = {};
    thread a([&] { sums[0] = drain(q); }), b([&] { sums[1] = drain(q); });
    for (const number n : {1, 2}) check(q.push(n));
    q.close();
    a.join();
    b.join();
    check(sums[0] + sums[1] == 3, "nothing lost or doubled");
  });
}

TYPED_TEST(simulated_queue, ranges_longer_than_the_queue) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    const thread producer([&] {
      std::vector<item> items;
      for (number n = 0; n < 3; ++n) items.emplace_back(n);
      check(q.push_range(items) == 3);
    });
    std::vector<item> out;
    while (out.size() < 3) check(q.pop_some(out, 3 - out.size()) > 0);
    for (number n = 0; n < 3; ++n) check(out[n].get() == n, "in order");
  });
}

// All wait on both sides; the third party comes in the middle of the handover between the other two.
TYPED_TEST(simulated_queue, two_to_two) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    const thread producers[] = {thread([&] { check(q.push(1)); }), thread([&] { check(q.push(2)); })};
    number first = 0;
    thread consumer([&] { first = q.pop()->get(); });
    const number second = q.pop()->get();
    consumer.join();
    check(first + second == 3);
  });
}

TYPED_TEST(simulated_queue, close_wakes_everyone) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    const thread a([&] { check(!q.pop()); }), b([&] { check(!q.pop()); });
    q.close();
  });
  TestFixture::explore_both(bounds(2), [](auto& q) {
    int in = 0;
    const auto produce = [&] {
      for (number i = 0; i < 2; ++i) in += q.push(i);
    };
    thread a(produce), b(produce);
    q.close();
    a.join();
    b.join();
    int out = 0;
    while (q.pop()) ++out;
    check(in == out, "what was pushed before the close is popped after it");
  });
}

TYPED_TEST(simulated_queue, cancel_hands_back_what_was_not_popped) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    int in = 0, out = 0;
    thread producer([&] {
      for (number i = 0; i < 3; ++i) in += q.push(i);
    });
    thread consumer([&] {
      while (q.pop()) ++out;
    });
    const auto back = q.cancel();
    producer.join();
    consumer.join();
    check(in == out + static_cast<int>(back.size()));
    check(!q.pop() && !q.push(9));
  });
}

// Who gives up must not take a wake with him that another one needs.
TYPED_TEST(simulated_queue, a_consumer_that_gives_up_loses_no_wake) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    int out = 0;
    thread impatient([&] { out += q.pop(1ms).has_value(); });
    thread patient([&] { out += q.pop().has_value(); });
    check(q.push(1) && q.push(2));
    patient.join();
    impatient.join();
    check(out + static_cast<int>(q.size_approx()) == 2);
  });
}

TYPED_TEST(simulated_queue, a_producer_that_gives_up_loses_no_wake) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    while (q.try_push(0) == conqueue_status::success) {
    }
    int in = static_cast<int>(q.capacity());
    thread impatient([&] { in += q.push(1, 1ms) == conqueue_status::success; });
    thread patient([&] { in += q.push(2); });
    check(q.pop().has_value() && q.pop().has_value());
    patient.join();
    impatient.join();
    check(in - 2 == static_cast<int>(q.size_approx()));
  });
}

TYPED_TEST(simulated_queue, a_stop_ends_waits_and_nothing_else) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    std::stop_source stop;
    int out = 0;
    thread stopped([&] { out += q.pop(stop.get_token()).has_value(); });
    thread stops([&] { stop.request_stop(); });
    check(q.push(1));
    stopped.join();
    stops.join();
    check(out + static_cast<int>(q.size_approx()) == 1);
  });
  TestFixture::explore_both(bounds(2), [](auto& q) {
    std::stop_source stop;
    int out = 0;
    thread stopped([&] { out += q.pop({stop.get_token(), 1ms}).has_value(); });
    thread patient([&] { out += q.pop().has_value(); });
    thread stops([&] { stop.request_stop(); });
    check(q.push(1) && q.push(2));
    patient.join();
    stopped.join();
    check(out + static_cast<int>(q.size_approx()) == 2);
  });
}

// Called for an item that another one takes, and then stopped: the next in line must be announced in its place before
// the next item comes, or be found by who brings it.
TYPED_TEST(simulated_queue, one_who_gives_up_hands_on_its_place) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    std::stop_source stop;
    bool came = false;
    thread stopped([&] { came = q.pop(stop.get_token()).has_value(); });
    const thread patient([&] { check(q.pop().has_value()); });
    check(q.push(1));
    const bool took = q.try_pop().has_value();
    stop.request_stop();
    check(q.push(2));
    stopped.join();
    if (took && came) check(q.push(3));
  });
  TestFixture::explore_both(bounds(2), [](auto& q) {
    while (q.try_push(0) == conqueue_status::success) {
    }
    std::stop_source stop;
    thread stopped([&] { (void)q.push(1, stop.get_token()); });
    thread patient([&] { check(q.push(2)); });
    check(q.pop().has_value());
    (void)q.try_push(3);
    stop.request_stop();
    check(q.pop().has_value());
    stopped.join();
    while (q.try_pop()) {
    }
  });
}

// In a queue so large that a producer waits until half of it is free: but not longer than it takes a consumer to need it.
TYPED_TEST(simulated_queue, a_patient_producer_is_not_too_patient) {
  explore(bounds(1), [] {
    testing::queue_of<TypeParam, item> q(16);
    while (q.try_push(0) == conqueue_status::success) {
    }
    system::atomic<std::uint32_t> pushed = 0;
    const thread producer([&] {
      check(q.push(1));
      pushed = 1;
      system::futex_wake(pushed, 1);
    });
    check(q.pop().has_value());
    while (pushed == 0) system::futex_wait(pushed, 0, system::never);
  });
}

// Time passes only while nobody can run: whoever looked again and again instead of sleeping would never see it pass.
TYPED_TEST(simulated_queue, waits_without_looking_again_and_again) {
  simulation::options within = bounds(1);
  within.early_timeouts = false;
  explore(within, [] {
    testing::queue_of<TypeParam, item> q(16);
    while (q.try_push(0) == conqueue_status::success) {
    }
    const thread producer([&] { check(q.push(1)); });
    check(q.join(20ms).error() == conqueue_status::busy, "and the producer is past its patience");
    check(q.pop().has_value());
  });
}

// The item whose place the stopped one may be waiting for goes to another: the stop must still be heard.
TYPED_TEST(simulated_queue, a_stop_is_heard_while_the_next_place_is_being_filled) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    std::stop_source stop;
    bool came = false;
    thread stopped([&] { came = q.pop(stop.get_token()).has_value(); });
    const thread patient([&] { check(q.pop().has_value()); });
    const thread stops([&] { stop.request_stop(); });
    check(q.push(1));
    stopped.join();
    if (came) check(q.push(2));
  });
}

TYPED_TEST(simulated_queue, join_comes_when_all_leases_have_ended) {
  TestFixture::explore_both(bounds(3), [](auto& q) {
    system::atomic<int> worked_on = 0;
    thread consumer([&] {
      while (auto lease = q.take()) {
        ++worked_on;
        (void)(*lease)->get();
        --worked_on;
      }
    });
    check(q.push(1) && q.push(2));
    const auto result = q.join();
    check(worked_on == 0, "nobody works on an item");
    check(result.done == 2 && result.failed == 0, "both are done");
    q.close();
  });
}

TYPED_TEST(simulated_queue, join_comes_when_all_items_were_popped) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    check(q.push(1));
    const thread consumer([&] { check(q.pop().has_value()); });
    check(q.join().done == 1);
  });
}

TYPED_TEST(simulated_queue, who_joins_does_not_miss_a_moment_that_is_over_at_once) {
  simulation::options within = bounds(1);
  within.early_timeouts = false;
  TestFixture::explore_both(within, [](auto& q) {
    bool joined = false;
    check(q.push(1));
    const thread joiner([&] {
      (void)q.join();
      joined = true;
    });
    (void)sleep_for(1ms, {});
    check(!joined && q.pop().has_value() && q.push(2));
    (void)sleep_for(1ms, {});
    check(joined);
    q.close();
  });
}

TYPED_TEST(simulated_queue, two_that_join_see_the_same_end) {
  TestFixture::explore_both(bounds(2), [](auto& q) {
    check(q.push(1));
    thread joins([&] { check(q.join().failed == 1); });
    thread consumer([&] {
      auto lease = q.take();
      lease->fail(nullptr);
    });
    consumer.join();
    check(q.join(1ms).has_value());
  });
}

// --- programs drawn at random, judged by the history ---

// What one thread asks of the queue, a letter for each call:
//   p push  P push, 1 ms  t try_push  g pop  G pop, 1 ms  u try_pop  r push_range of 2  s pop_some of 2  x close  X cancel
// `first` numbers its items.
template <class Witness>
void do_all(Witness& w, const std::string& calls, number first) {
  for (const char c : calls) {
    switch (c) {
      case 'p':
        (void)w.push(first++);
        break;
      case 'P':
        (void)w.push(first++, 1ms);
        break;
      case 't':
        (void)w.try_push(first++);
        break;
      case 'g':
        (void)w.pop();
        break;
      case 'G':
        (void)w.pop(1ms);
        break;
      case 'u':
        (void)w.try_pop();
        break;
      case 'r':
        (void)w.push_range(first, 2), first += 2;
        break;
      case 's':
        (void)w.pop_some(2);
        break;
      case 'x':
        (void)w.close();
        break;
      case 'X':
        (void)w.cancel();
        break;
    }
  }
}

TYPED_TEST(simulated_queue, answers_like_a_queue_that_does_one_thing_at_a_time) {
  using queue = testing::queue_of<TypeParam, item>;
  const std::uint64_t seed = 1;  // of the programs; the schedules are all
  std::cout << "seed " << seed << "\n";
  std::mt19937_64 random(seed);
  // Sequentially consistent: the moments of a history are drawn from a counter that the buffers know nothing of.
  const simulation::options within{
      .preemptions = 2, .delayed_stores = 0, .runs = testing::few_schedules ? 200U : 10'000U};
  for (int program = 0; program < 60; ++program) {
    const std::size_t capacity = 1 + random() % 2;
    std::vector<std::string> threads(2 + random() % 2);
    for (std::string& calls : threads)
      for (std::size_t left = 1 + random() % 3; left > 0; --left) calls += "ppPtggGursxX"[random() % 12];
    threads.push_back("x");  // so that no wait is for ever
    std::string text = "capacity " + std::to_string(capacity);
    for (const std::string& calls : threads) text += " " + calls;
    SCOPED_TRACE(text);
    const auto check_all = [&] {
      queue q(capacity);
      testing::history_clock clock;
      std::vector<testing::witness<queue>> witnesses(threads.size(), {q, clock});
      {
        std::vector<thread> others;
        for (std::size_t t = 0; t + 1 < threads.size(); ++t)
          others.emplace_back([&, t] { do_all(witnesses[t], threads[t], 1 + 10 * t); });
        do_all(witnesses.back(), threads.back(), 100);
      }
      testing::history all;
      for (const auto& w : witnesses) all.threads.push_back(w.calls());
      if (testing::is_linearizable(all, capacity)) return;
      std::ostringstream told;
      told << "no order of these calls gives these answers:\n" << all;
      simulation::fail(told.str());
    };
    explore(within, check_all);
    if (this->HasFailure()) return;
  }
}

// --- items whose moves throw: the plain engine. Whoever is thrown out gives its turn to the next one. ---

struct fragile {
  // 1: the next one breaks. One for each run, so none of them is shared between threads at the same time.
  struct fuses {
    int making = 0, moving = 0;
  };
  explicit fragile(fuses& f) : left(&f) { burn(f.making); }
  fragile(fragile&& other) : left(other.left) { burn(left->moving); }
  fragile& operator=(fragile&&) = delete;
  static void burn(int& fuse) {
    if (fuse > 0 && --fuse == 0) throw std::runtime_error("burnt");
  }
  fuses* left;
};

template <class Call>
bool goes_well(Call call) {
  try {
    return call();
  } catch (const std::runtime_error&) {
    return false;
  }
}

TEST(simulated_plain_queue, a_pop_that_throws_leaves_its_item_to_the_next_consumer) {
  explore(bounds(3), [] {
    plain_queue<fragile> q(1);
    fragile::fuses fuses{.moving = 1};
    int out = 0;
    const auto consume = [&] { out += goes_well([&] { return q.pop().has_value(); }); };
    {
      const thread a(consume), b(consume);
      check(q.emplace(fuses));
    }
    check(out == 1);
  });
}

TEST(simulated_plain_queue, a_push_that_throws_leaves_its_room_to_the_next_producer) {
  explore(bounds(3), [] {
    plain_queue<fragile> q(1);
    fragile::fuses fuses;
    check(q.emplace(fuses));
    fuses.making = 1;
    int in = 0;
    const auto produce = [&] { in += goes_well([&] { return q.emplace(fuses); }); };
    {
      const thread a(produce), b(produce);
      check(q.pop().has_value());
    }
    check(in == 1 && q.size_approx() == 1);
  });
}

TEST(simulated_plain_queue, a_push_range_that_throws_in_the_middle_calls_for_what_is_in) {
  explore(bounds(3), [] {
    plain_queue<fragile> q(2);
    fragile::fuses fuses;
    std::vector<fragile> items;
    items.reserve(2);
    items.emplace_back(fuses);
    items.emplace_back(fuses);
    const thread consumer([&] { check(q.pop().has_value()); });
    fragile::fuses breaks{.moving = 1};
    items[1].left = &breaks;
    check(!goes_well([&] { return q.push_range(items) == 2; }));
  });
}

TEST(simulated_plain_queue, a_pop_some_that_throws_in_the_middle_calls_for_the_room_it_made) {
  explore(bounds(3), [] {
    plain_queue<fragile> q(2);
    fragile::fuses fuses, breaks;
    check(q.emplace(fuses) && q.emplace(breaks));
    breaks.moving = 1;
    const thread producer([&] { check(q.emplace(fuses)); });
    std::vector<fragile> out;
    check(!goes_well([&] { return q.pop_some(out, 2) == 2; }) && out.size() == 1);
  });
}

}  // namespace
}  // namespace penstock
