// The simulation itself: it finds the mistakes of the textbooks, and only mistakes.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include <penstock/base/mutex.hpp>
#include <penstock/base/sleep.hpp>
#include <penstock/base/system.hpp>
#include <penstock/base/wait_limit.hpp>
#include <penstock/simulation/simulation.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;
using simulation::check;
using simulation::explore;
using simulation::search;
using simulation::unlimited;
using system::atomic;
using system::thread;

constexpr simulation::options everything{.preemptions = unlimited, .delayed_stores = unlimited};

// --- what it finds ---

void two_increments(bool atomically) {
  atomic<int> n = 0;
  const auto increment = [&] {
    if (atomically) {
      n.fetch_add(1);
    } else {
      n.store(n.load() + 1);
    }
  };
  { const thread a(increment), b(increment); }
  check(n == 2, "both counted");
}

TEST(simulation, finds_a_lost_update) {
  const auto found = search({}, [] { two_increments(false); });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("both counted"), std::string::npos);
  EXPECT_TRUE(explore(everything, [] { two_increments(true); }).complete);
}

TEST(simulation, finds_it_at_random_too) {
  EXPECT_TRUE(simulation::search_random(1, 1000, [] { two_increments(false); }));
  EXPECT_EQ(simulation::simulate_many(1, 1000, [] { two_increments(true); }).runs, 1000u);
}

// The store-buffer test: with both stores still on their way, each thread sees the other's old value.
void dekker(bool heavy, std::memory_order order) {
  atomic<int> a = 0, b = 0;
  int saw_a = 0, saw_b = 0;
  {
    const thread one([&] {
      a.store(1, order);
      system::light_fence();
      saw_b = b.load(std::memory_order_acquire);
    });
    const thread other([&] {
      b.store(1, order);
      if (heavy) system::heavy_fence();
      saw_a = a.load(std::memory_order_acquire);
    });
  }
  check(saw_a || saw_b, "one sees the other");
}

TEST(simulation, finds_what_store_buffers_do_where_a_fence_is_missing) {
  EXPECT_TRUE(search({}, [] { dekker(false, std::memory_order_release); }));
  EXPECT_TRUE(simulation::search_random(1, 1000, [] { dekker(false, std::memory_order_release); }));
  EXPECT_TRUE(explore(everything, [] { dekker(true, std::memory_order_release); }).complete);
  EXPECT_TRUE(explore(everything, [] { dekker(false, std::memory_order_seq_cst); }).complete);
  EXPECT_TRUE(explore({.delayed_stores = 0}, [] { dekker(false, std::memory_order_release); }).complete)
      << "no stores are delayed: sequentially consistent";
}

TEST(simulation, stores_of_a_thread_arrive_in_order) {
  explore(everything, [] {
    atomic<int> first = 0, second = 0;
    const thread writer([&] {
      first.store(1, std::memory_order_relaxed);
      first.store(2, std::memory_order_relaxed);
      second.store(1, std::memory_order_release);
    });
    const int s = second.load(std::memory_order_acquire);
    const int f = first.load(std::memory_order_relaxed);
    check(!s || f == 2);
  });
}

// All that may come out of a race comes out: x86's answers to litmus tests (Sewell et al., x86-TSO, 2010).
TEST(simulation, gives_every_answer_that_total_store_order_allows_and_no_other) {
  std::set<std::pair<int, int>> store_buffer, with_own_first;
  explore(everything, [&] {
    atomic<int> x = 0, y = 0;
    int a = 0, b = 0, own = 0;
    {
      const thread one([&] {
        x.store(1, std::memory_order_relaxed);
        own = x.load(std::memory_order_relaxed);
        a = y.load(std::memory_order_relaxed);
      });
      const thread other([&] {
        y.store(1, std::memory_order_relaxed);
        b = x.load(std::memory_order_relaxed);
      });
    }
    check(own == 1, "a thread sees its own stores");
    store_buffer.emplace(a, b);
  });
  EXPECT_EQ(store_buffer, (std::set<std::pair<int, int>>{{0, 0}, {0, 1}, {1, 0}, {1, 1}}));

  // Two writers of one word: either may be the last.
  std::set<int> last;
  explore(everything, [&] {
    atomic<int> x = 0;
    {
      const thread one([&] { x.store(1, std::memory_order_relaxed); });
      const thread other([&] { x.store(2, std::memory_order_relaxed); });
    }
    last.insert(x.load());
  });
  EXPECT_EQ(last, (std::set<int>{1, 2}));

  // Independent reads of independent writes: all threads agree on an order.
  explore({.preemptions = 3, .delayed_stores = 2, .runs = 200'000}, [] {
    atomic<int> x = 0, y = 0;
    int r[4] = {};
    {
      const thread a([&] { x.store(1, std::memory_order_relaxed); });
      const thread b([&] { y.store(1, std::memory_order_relaxed); });
      const thread c([&] { r[0] = x.load(std::memory_order_relaxed), r[1] = y.load(std::memory_order_relaxed); });
      const thread d([&] { r[2] = y.load(std::memory_order_relaxed), r[3] = x.load(std::memory_order_relaxed); });
    }
    check(!(r[0] && !r[1] && r[2] && !r[3]));
  });
}

void sleeper_and_waker(bool sets_before_it_wakes) {
  atomic<std::uint32_t> word = 0;
  const thread waker([&] {
    if (sets_before_it_wakes) word.store(1);
    system::futex_wake(word, 1);
    if (!sets_before_it_wakes) word.store(1);
  });
  while (word.load() == 0) system::futex_wait(word, 0, system::never);
}

TEST(simulation, finds_a_lost_wake) {
  const auto found = search({}, [] { sleeper_and_waker(false); });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("deadlock"), std::string::npos);
  EXPECT_TRUE(explore(everything, [] { sleeper_and_waker(true); }).complete);
}

void two_mutexes(bool in_one_order) {
  mutex a, b;
  const thread other([&] {
    const mutex_lock first(in_one_order ? a : b);
    const mutex_lock second(in_one_order ? b : a);
  });
  const mutex_lock first(a);
  const mutex_lock second(b);
}

TEST(simulation, finds_the_deadlock_of_two_mutexes) {
  const auto found = search({}, [] { two_mutexes(false); });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("deadlock"), std::string::npos);
  EXPECT_TRUE(explore(everything, [] { two_mutexes(true); }).complete);
}

void two_consumers_of_one(bool looks_again) {
  mutex m;
  condition filled;
  int items = 0;
  const auto consume = [&] {
    mutex_lock lock(m);
    if (looks_again) {
      while (items == 0) filled.wait(lock);
    } else if (items == 0) {
      filled.wait(lock);
    }
    check(items-- > 0, "there was an item");
  };
  const thread a(consume), b(consume);
  for (int i = 0; i < 2; ++i) {
    const mutex_lock lock(m);
    ++items;
    filled.notify_one();
  }
}

TEST(simulation, finds_an_if_in_place_of_a_while) {
  EXPECT_TRUE(search({}, [] { two_consumers_of_one(false); }));
  explore({.preemptions = 3}, [] { two_consumers_of_one(true); });
}

TEST(simulation, finds_it_by_a_spurious_wake) {
  const auto once = [](bool looks_again) {
    mutex m;
    condition filled;
    bool is_filled = false;
    const thread producer([&] {
      const mutex_lock lock(m);
      is_filled = true;
      filled.notify_one();
    });
    mutex_lock lock(m);
    while (!is_filled) {
      filled.wait(lock);
      if (!looks_again) break;
    }
    check(is_filled);
  };
  EXPECT_FALSE(search({}, [&] { once(false); }));
  EXPECT_TRUE(search({.spurious_wakes = true}, [&] { once(false); }));
  EXPECT_FALSE(search({.spurious_wakes = true}, [&] { once(true); }));
}

TEST(simulation, finds_a_missed_stop) {
  const auto wait_for_stop = [](bool looks_under_the_lock) {
    mutex m;
    condition changed;
    std::stop_source stop;
    const thread other([&] { stop.request_stop(); });
    const system::stop_callback on_stop(stop.get_token(), [&] {
      if (looks_under_the_lock) {
        const mutex_lock lock(m);
        changed.notify_one();
      } else {
        changed.notify_one();
      }
    });
    mutex_lock lock(m);
    while (!system::stop_requested(stop.get_token())) changed.wait(lock);
  };
  EXPECT_TRUE(search({}, [&] { wait_for_stop(false); }));
  EXPECT_TRUE(explore(everything, [&] { wait_for_stop(true); }).complete);
}

TEST(simulation, finds_a_livelock) {
  const auto found = search({.steps = 500}, [] {
    atomic<bool> never_set = false;
    while (!never_set) system::pause();
  });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("livelock"), std::string::npos);
}

TEST(simulation, finds_a_thread_that_outlives_the_body) {
  const auto found = search({}, [] {
    alignas(thread) static std::byte never_destroyed[sizeof(thread)];
    ::new (never_destroyed) thread([] { system::yield(); });
  });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("has returned"), std::string::npos);
}

TEST(simulation, finds_a_body_that_depends_on_more_than_its_schedule) {
  int runs = 0;
  EXPECT_TRUE(search({}, [&] {
    atomic<int> n = 0;
    const thread other([&] { n = 1; });
    if (++runs > 1) return;
    n = 2;
    n = 3;
  }));
}

// --- spin loops ---

TEST(simulation, a_spinning_thread_lets_the_others_come) {
  const auto done = explore({.preemptions = 3}, [] {
    atomic<int> turn = 0;
    const thread other([&] {
      while (turn.load(std::memory_order_acquire) != 1) system::yield();
      turn.store(2, std::memory_order_release);
    });
    turn.store(1, std::memory_order_release);
    while (turn.load(std::memory_order_acquire) != 2) system::pause();
  });
  EXPECT_TRUE(done.complete);
}

TEST(simulation, a_thread_that_looks_a_few_times_can_still_come_to_sleep) {
  // The other one is stopped between its store and its wake, and this one's looks must not always bring it back.
  EXPECT_TRUE(search({}, [] {
    atomic<std::uint32_t> asleep = 0, set = 0;
    const thread other([&] {
      const bool wakes = asleep.load() != 0;
      set.store(1);
      if (wakes) system::futex_wake(asleep, 1);
    });
    for (int looks = system::spins(30); looks > 0; --looks) {
      if (set.load()) return;
      system::yield();
    }
    asleep.store(1);
    if (!set.load()) system::futex_wait(asleep, 1, system::never);
  }));
}

// --- time ---

TEST(simulation, time_stands_still_while_anyone_can_run) {
  explore({.early_timeouts = false}, [] {
    const auto began = system::clock::now();
    check(sleep_for(10h, {}));
    check(system::clock::now() - began == 10h);
    const thread other([&] { check(sleep_for(1h, {})); });
    check(sleep_for(2h, {}));
    check(system::clock::now() - began == 12h);
  });
}

TEST(simulation, a_deadline_passes_at_the_worst_moment_or_not) {
  const auto body = [](std::set<std::string>& seen) {
    return [&seen] {
      mutex m;
      condition changed;
      bool is_set = false;
      const thread other([&] {
        const mutex_lock lock(m);
        is_set = true;
        changed.notify_one();
      });
      mutex_lock lock(m);
      const auto deadline = system::clock::now() + 1s;
      bool in_time = true;
      while (!is_set && in_time) in_time = changed.wait_until(lock, deadline);
      seen.insert(!in_time ? (is_set ? "both" : "too late") : "in time");
    };
  };
  std::set<std::string> early, punctual;
  explore({}, body(early));
  explore({.early_timeouts = false}, body(punctual));
  EXPECT_EQ(early, (std::set<std::string>{"in time", "too late", "both"}));
  EXPECT_EQ(punctual, (std::set<std::string>{"in time"}));
}

TEST(simulation, a_spin_loop_with_a_deadline_ends) {
  explore({}, [] {
    const wait_limit limit(10ms);
    while (!limit.reached()) system::pause();
  });
}

TEST(simulation, a_manual_clock_moves_by_hand_only) {
  explore({}, [] {
    simulation::manual_clock clock;
    const auto deadline = system::clock::now() + 10s;
    atomic<std::uint32_t> woken = 0;
    thread sleeper([&] {
      while (system::clock::now() < deadline) system::futex_wait(woken, 0, deadline);
      woken = 1;
    });
    clock.advance(9s);
    check(woken == 0, "not yet");
    clock.advance(1s);
    sleeper.join();
  });
  const auto found = search({}, [] {
    const simulation::manual_clock clock;
    (void)sleep_for(1s, {});
  });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("deadlock"), std::string::npos);
}

// --- stop callbacks ---

TEST(simulation, the_end_of_a_stop_callback_waits_for_a_running_one) {
  explore({.preemptions = 4}, [] {
    std::stop_source stop;
    atomic<int> inside = 0;
    const thread other([&] { stop.request_stop(); });
    {
      const system::stop_callback on_stop(stop.get_token(), [&] {
        inside = 1;
        inside = 0;
      });
    }
    check(inside == 0, "nothing runs any more");
  });
}

TEST(simulation, a_stop_callback_may_end_itself) {
  explore({}, [] {
    std::stop_source stop;
    struct itself;
    std::optional<system::stop_callback<std::function<void()>>> on_stop;
    atomic<int> called = 0;
    on_stop.emplace(stop.get_token(), [&] {
      ++called;
      on_stop.reset();
    });
    {
      const thread a([&] { stop.request_stop(); }), b([&] { stop.request_stop(); });
    }
    check(called == 1 && !on_stop);
  });
}

TEST(simulation, a_stop_that_was_requested_before_calls_at_once) {
  explore({}, [] {
    std::stop_source stop;
    stop.request_stop();
    int called = 0;
    const system::stop_callback on_stop(stop.get_token(), [&] { ++called; });
    check(called == 1);
  });
}

// --- exceptions ---

TEST(simulation, exceptions_belong_to_the_thread_that_throws) {
  struct slow_to_go {
    ~slow_to_go() {
      check(std::uncaught_exceptions() == 1);
      system::yield();
      check(std::uncaught_exceptions() == 1);
    }
  };
  explore({.preemptions = 4}, [] {
    const auto throws_and_catches = [](const char* what) {
      check(std::uncaught_exceptions() == 0);
      try {
        const slow_to_go other_thread_comes_here;
        throw std::runtime_error(what);
      } catch (const std::exception&) {
        system::yield();
        try {
          throw;
        } catch (const std::exception& again) {
          check(again.what() == std::string(what), "the own exception");
        }
      }
    };
    const thread a([&] { throws_and_catches("a"); }), b([&] { throws_and_catches("b"); });
    throws_and_catches("main");
  });
}

TEST(simulation, an_exception_out_of_a_thread_fails_the_run) {
  const auto found = search({}, [] { const thread t([] { throw std::runtime_error("out of order"); }); });
  ASSERT_TRUE(found);
  EXPECT_NE(found->reason().find("out of order"), std::string::npos);
}

// --- again ---

TEST(simulation, a_counterexample_can_be_replayed) {
  for (const bool at_random : {false, true}) {
    const auto body = [] { two_increments(false); };
    const auto found = at_random ? simulation::search_random(7, 1000, body) : search({}, body);
    ASSERT_TRUE(found);
    EXPECT_NE(std::string(found->what()).find("replay(\"" + found->choices()), std::string::npos);
    try {
      simulation::replay(found->choices(), body);
      ADD_FAILURE() << "nothing was found this time";
    } catch (const simulation::counterexample& again) {
      EXPECT_EQ(again.trace(), found->trace());
    }
    simulation::replay(found->choices(), [] { two_increments(true); });
  }
  EXPECT_THROW(simulation::replay("nonsense", [] {}), std::invalid_argument);
}

TEST(simulation, the_trace_has_names) {
  const auto found = search({}, [] {
    atomic<int> level = 3;
    simulation::name(&level, "level");
    const thread t([&] {
      simulation::name_this_thread("plumber");
      simulation::fail("burst at " + std::to_string(level.load()));
    });
  });
  ASSERT_TRUE(found);
  EXPECT_NE(found->trace().find("plumber"), std::string::npos) << found->trace();
  EXPECT_NE(found->trace().find("load level = 3"), std::string::npos) << found->trace();
  EXPECT_EQ(found->reason().find("plumber: burst at 3"), 0u) << found->reason();
}

TEST(simulation, the_same_seed_does_the_same) {
  const auto body = [] { two_consumers_of_one(true); };
  const auto once = simulation::simulate_many(1, 200, body);
  EXPECT_EQ(once.hash, simulation::simulate_many(1, 200, body).hash);
  EXPECT_NE(once.hash, simulation::simulate_many(2, 200, body).hash);
  EXPECT_EQ(explore({}, body).hash, explore({}, body).hash);
}

TEST(simulation, a_search_can_be_cut_short) {
  const auto done = explore({.runs = 3}, [] { two_increments(true); });
  EXPECT_EQ(done.runs, 3u);
  EXPECT_FALSE(done.complete);
}

// --- faults and steps ---

TEST(simulation, something_happens_at_a_step) {
  std::set<int> seen;
  for (std::uint64_t n = 1; n < 20; ++n)
    explore({}, [&] {
      std::stop_source stop;
      simulation::at_step(n, [&] { stop.request_stop(); });
      atomic<int> i = 0;
      while (i < 5 && !stop.stop_requested()) ++i;
      seen.insert(i);
    });
  EXPECT_EQ(seen, (std::set<int>{0, 1, 2, 3, 4, 5}));
}

TEST(simulation, faults_come_when_they_are_asked_for) {
  explore({}, [] {
    auto f = simulation::failing([](int i) { return 2 * i; }, {.at = 2, .times = 2});
    std::string said;
    for (int i = 0; i < 6; ++i) {
      try {
        said += std::to_string(f(i)) + " ";
      } catch (const simulation::injected_fault&) {
        said += "fault ";
      }
    }
    check(said == "0 2 fault fault 8 10 ", "two in the middle");
    const auto began = system::clock::now();
    auto slow = simulation::delayed([] { return 1; }, 10ms, {.at = 1});
    check(slow() + slow() + slow() == 3);
    check(system::clock::now() - began == 10ms);
  });
}

TEST(simulation, faults_come_to_the_items_that_are_named) {
  explore({}, [] {
    const auto is_even = [](int i) { return i % 2 == 0; };
    auto f = simulation::failing([](int i) { return 2 * i; }, is_even, {.at = 1, .times = 2});
    std::string said;
    for (int i = 1; i <= 9; ++i) {
      try {
        said += std::to_string(f(i)) + " ";
      } catch (const simulation::injected_fault&) {
        said += "fault ";
      }
    }
    check(said == "2 4 6 fault 10 fault 14 16 18 ", "the second and third of the even ones");
    const auto began = system::clock::now();
    const auto slow = simulation::delayed([](int i) { return i; }, 10ms, is_even);
    check(slow(1) + slow(2) + slow(3) + slow(4) == 10);
    check(system::clock::now() - began == 20ms);
    // Behind the item may come a stop token, which is not what is asked about.
    const auto stoppable = simulation::failing([](int i, const std::stop_token&) { return i; }, is_even);
    check(stoppable(1, std::stop_token()) == 1);
    int before = 0;
    const auto counted = simulation::preceded([&] { return before; }, [&] { ++before; }, {.at = 1});
    check(counted() == 0 && counted() == 1 && counted() == 1);
  });
}

TEST(simulation, a_choice_is_made_in_every_way) {
  std::set<std::pair<unsigned, unsigned>> all, some;
  const auto into = [](auto& set) {
    return [&set] {
      const unsigned a = simulation::choose(3);
      set.emplace(a, a == 1 ? simulation::choose(2) : 7);
    };
  };
  EXPECT_EQ(explore({}, into(all)).runs, 4u);
  EXPECT_EQ(all, (std::set<std::pair<unsigned, unsigned>>{{0, 7}, {1, 0}, {1, 1}, {2, 7}}));
  simulation::simulate_many(1, 100, into(some));
  EXPECT_EQ(some, all);
  const auto found = search({}, [] { check(simulation::choose(5) != 3); });
  ASSERT_TRUE(found);
  EXPECT_THROW(simulation::replay(found->choices(), [] { check(simulation::choose(5) != 3); }),
               simulation::counterexample);
  EXPECT_TRUE(search({}, [] { (void)simulation::choose(0); }));
}

TEST(simulation, random_numbers_come_from_the_seed) {
  const auto drawn = [](std::uint64_t seed) {
    double sum = 0;
    explore({.seed = seed}, [&] {
      sum = 0;
      for (int i = 0; i < 100; ++i) {
        const double share = system::random_share();
        check(share >= 0 && share < 1);
        sum += share;
      }
    });
    return sum;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
  EXPECT_GT(drawn(1), 30);
  EXPECT_LT(drawn(1), 70);
}

// --- processors ---

TEST(simulation, computing_takes_turns_on_the_processors) {
  explore({.preemptions = 1, .early_timeouts = false, .processors = 2}, [] {
    const auto began = system::clock::now();
    int at_once = 0, waited = 0;
    const auto work = [&] {
      check(++at_once <= 3);
      system::thread_clock mine;
      simulation::compute(10ms);
      const auto used = mine.read();
      check(used.ran == 10'000'000, "its own time");
      check(used.crowded == 0 || used.crowded == 10'000'000, "none, or that of one turn before its own");
      waited += used.crowded != 0;
    };
    {
      const thread a(work), b(work);
      work();
    }
    check(waited == 1 && system::clock::now() - began == 20ms, "two at a time");
    check(system::process_ran() == 30'000'000);
  });
}

// --- watched values ---

void hand_over(std::memory_order store, std::memory_order load) {
  simulation::watched<int> value(0);
  atomic<bool> ready = false;
  thread other([&] {
    value.change() = 1;
    ready.store(true, store);
  });
  if (ready.load(load)) check(value.get() == 1);
  other.join();
  check(value.get() == 1);
}

TEST(simulation, an_order_too_weak_for_the_language_is_found) {
  EXPECT_TRUE(search({}, [] { hand_over(std::memory_order_relaxed, std::memory_order_acquire); }));
  EXPECT_TRUE(search({}, [] { hand_over(std::memory_order_release, std::memory_order_relaxed); }));
  EXPECT_TRUE(explore(everything, [] { hand_over(std::memory_order_release, std::memory_order_acquire); }).complete);
}

TEST(simulation, a_mutex_and_a_heavy_fence_order_watched_values) {
  explore({}, [] {
    mutex m;
    simulation::watched<int> value(0);
    const auto add = [&] {
      const mutex_lock lock(m);
      ++value.change();
    };
    { const thread a(add), b(add); }
    check(value.get() == 2);
  });
  EXPECT_TRUE(search({}, [] {
    simulation::watched<int> value(0);
    const auto add = [&] {
      ++value.change();
      system::yield();
    };
    const thread a(add), b(add);
  }));
}

}  // namespace
}  // namespace penstock
