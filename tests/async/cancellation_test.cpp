// Nothing of a cancelled group is resumed: whatever two tasks wait for, and however the first one cancels the second, what
// the second would have taken stays where it was. And what the first has taken reaches the caller.
#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <penstock/async/channel.hpp>
#include <penstock/async/descriptor.hpp>
#include <penstock/async/group.hpp>
#include <penstock/async/queue_ends.hpp>
#include <penstock/async/run.hpp>
#include <penstock/async/sleep.hpp>
#include <penstock/async/when.hpp>

namespace penstock {
namespace {

using namespace std::chrono_literals;

// Something that one task can take, or a place that one task can fill.
class thing {
 public:
  thing() = default;
  thing(const thing&) = delete;
  thing& operator=(const thing&) = delete;
  virtual ~thing() = default;
  virtual task<int> wait() = 0;  // 1 if it was had
  virtual void satisfy() = 0;    // makes it to be had: the loop is told, and what waits has not gone on yet
  virtual bool was_taken() = 0;  // asked once, at the end
};

class queue_item : public thing {
 public:
  task<int> wait() override {
    const auto item = co_await async_pop(queue_);
    co_return item.has_value();
  }
  void satisfy() override { queue_.push(1); }
  bool was_taken() override { return !queue_.try_pop().has_value(); }

 protected:
  bounded_queue<int> queue_{2};
};
class queue_item_with_deadline final : public queue_item {
  task<int> wait() override {
    const auto item = co_await async_pop(queue_, 1h);
    co_return item.has_value();
  }
};
class queue_item_with_stop final : public queue_item {
  task<int> wait() override {
    const auto item = co_await async_pop(queue_, wait_limit(stop_.get_token(), 1h));
    co_return item.has_value();
  }
  std::stop_source stop_;
};
class queue_items final : public queue_item {
  task<int> wait() override {
    std::vector<int> some;
    const std::size_t count = co_await async_pop_some(queue_, some, 5);
    co_return static_cast<int>(count);
  }
};
// Of a queue with a mutex.
class weighed_item final : public thing {
  task<int> wait() override {
    const auto item = co_await async_pop(queue_);
    co_return item.has_value();
  }
  void satisfy() override { queue_.push("x"); }
  bool was_taken() override { return !queue_.try_pop().has_value(); }
  bounded_queue<std::string> queue_{2, {.limit = 9, .bytes = [](const std::string& s) { return s.size(); }}};
};
class queue_room : public thing {
 public:
  queue_room() { queue_.push(0); }
  task<int> wait() override {
    const bool pushed = co_await async_push(queue_, 1);
    co_return pushed;
  }
  void satisfy() override { (void)queue_.try_pop(); }
  bool was_taken() override { return queue_.try_pop().has_value(); }

 protected:
  bounded_queue<int> queue_{1};
};
class queue_room_with_deadline final : public queue_room {
  task<int> wait() override {
    const conqueue_status status = co_await async_push(queue_, 1, 1h);
    co_return status == conqueue_status::success;
  }
};
class queue_room_for_many final : public queue_room {
  task<int> wait() override {
    std::vector<int> one(1);
    const std::size_t count = co_await async_push_range(queue_, one);
    co_return static_cast<int>(count);
  }
};
class channel_item final : public thing {
  task<int> wait() override {
    const auto item = co_await channel_.pop();
    co_return item.has_value();
  }
  void satisfy() override { EXPECT_EQ(channel_.try_push(1), conqueue_status::success); }
  bool was_taken() override { return !channel_.try_pop().has_value(); }
  channel<int> channel_{2};
};
class channel_room final : public thing {
 public:
  channel_room() { (void)channel_.try_push(0); }

 private:
  task<int> wait() override {
    const bool pushed = co_await channel_.push(1);
    co_return pushed;
  }
  void satisfy() override { EXPECT_TRUE(channel_.try_pop().has_value()); }
  bool was_taken() override { return channel_.try_pop().has_value(); }
  channel<int> channel_{1};
};
class byte_of_a_socket final : public thing {
 public:
  byte_of_a_socket() {
    int both[2];
    EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, both), 0);
    here_ = descriptor(unique_fd(both[0]));
    there_ = unique_fd(both[1]);
  }

 private:
  task<int> wait() override {
    std::array<char, 4> bytes;
    const std::size_t count = co_await async_read(here_, bytes);
    co_return static_cast<int>(count);
  }
  void satisfy() override { EXPECT_EQ(::send(there_.get(), "x", 1, MSG_NOSIGNAL), 1); }
  bool was_taken() override {
    char c;
    return ::recv(here_.get(), &c, 1, MSG_DONTWAIT) != 1;
  }
  descriptor here_;
  unique_fd there_;
};

struct kind {
  const char* name;
  std::unique_ptr<thing> (*make)();
};
template <class T>
std::unique_ptr<thing> make() {
  return std::make_unique<T>();
}
const std::vector<kind> kinds{{"queue_item", make<queue_item>},
                              {"queue_item_with_deadline", make<queue_item_with_deadline>},
                              {"queue_item_with_stop", make<queue_item_with_stop>},
                              {"queue_items", make<queue_items>},
                              {"weighed_item", make<weighed_item>},
                              {"queue_room", make<queue_room>},
                              {"queue_room_with_deadline", make<queue_room_with_deadline>},
                              {"queue_room_for_many", make<queue_room_for_many>},
                              {"channel_item", make<channel_item>},
                              {"channel_room", make<channel_room>},
                              {"byte_of_a_socket", make<byte_of_a_socket>}};

void for_each_pair(const std::function<void(thing&, thing&)>& check) {
  for (const kind& first : kinds)
    for (const kind& second : kinds) {
      SCOPED_TRACE(std::string(first.name) + ", " + second.name);
      check(*first.make(), *second.make());
    }
}

task<> satisfies(thing& a, thing& b) {
  for (int i = 0; i < 3; ++i) co_await yield_to_others();  // both wait
  a.satisfy();
  b.satisfy();
}
// Ends when `a` was had.
task<> takes(thing& a) { (void)co_await a.wait(); }
task<> takes_and_throws(thing& a) {
  (void)co_await a.wait();
  throw std::runtime_error("first");
}
task<> takes_and_cancels(thing& a, group& all) {
  (void)co_await a.wait();
  all.cancel();
}

task<std::size_t> first_of(thing& a, thing& b) {
  group g;
  g.add(satisfies(a, b));
  const auto result = co_await when_any(a.wait(), b.wait());
  (void)co_await g.wait();
  EXPECT_EQ(result.index() == 0 ? std::get<0>(result) : std::get<1>(result), 1);
  co_return result.index();
}
void expect_only_one(thing& a, thing& b, std::size_t winner) {
  const bool of_a = a.was_taken(), of_b = b.was_taken();
  EXPECT_EQ(of_a, winner == 0);
  EXPECT_EQ(of_b, winner == 1);
}

TEST(cancellation, of_two_waits_of_any_kind_when_any_takes_one) {
  for_each_pair([](thing& a, thing& b) { expect_only_one(a, b, run(first_of(a, b))); });
}

// The result is in the frame of a when_any, or a within, that has not gone on yet when the other one is satisfied, too.
task<int> in_time(thing& a) {
  const auto result = co_await within(1h, a.wait());
  co_return result ? *result : 0;
}
task<int> never() {
  co_await sleep_for(1h);
  co_return 0;
}
task<int> nested(thing& a, int depth) {
  if (depth == 0) {
    const int had = co_await in_time(a);
    co_return had;
  }
  const auto result = co_await when_any(never(), nested(a, depth - 1));
  co_return std::get<1>(result);
}
task<std::size_t> first_of_nested(thing& a, thing& b, int depth) {
  group g;
  g.add(satisfies(a, b));
  const auto result = co_await when_any(nested(a, depth), nested(b, depth));
  (void)co_await g.wait();
  EXPECT_EQ(result.index() == 0 ? std::get<0>(result) : std::get<1>(result), 1);
  co_return result.index();
}

TEST(cancellation, what_was_taken_inside_of_several_when_any_reaches_the_caller) {
  for (const int depth : {0, 1, 5, 50})
    for_each_pair([&](thing& a, thing& b) { expect_only_one(a, b, run(first_of_nested(a, b, depth))); });
}

task<> fails_or_cancels(thing& a, thing& b, bool throws) {
  group helper;
  helper.add(satisfies(a, b));
  group g;
  for (thing* const one : {&a, &b}) {
    if (throws)
      g.add(takes_and_throws(*one));
    else
      g.add(takes_and_cancels(*one, g));
  }
  try {
    const bool whole = co_await g.wait();
    EXPECT_FALSE(whole || throws);
  } catch (const task_error&) {
    EXPECT_TRUE(throws);
  }
  (void)co_await helper.wait();
}

TEST(cancellation, the_first_that_fails_or_cancels_is_the_last_that_takes) {
  for (const bool throws : {true, false})
    for_each_pair([&](thing& a, thing& b) {
      run(fails_or_cancels(a, b, throws));
      const int taken = a.was_taken() + b.was_taken();
      EXPECT_EQ(taken, 1);
    });
}

task<> stops_and_satisfies(std::stop_source& stop, thing& a, thing& b) {
  for (int i = 0; i < 3; ++i) co_await yield_to_others();
  stop.request_stop();
  a.satisfy();
  b.satisfy();
}
task<> stopped_group(std::stop_source& stop, thing& a, thing& b) {
  group helper;
  helper.add(stops_and_satisfies(stop, a, b));
  group g({.stop = stop.get_token()});
  g.add(takes(a));
  g.add(takes(b));
  (void)co_await g.wait();
  (void)co_await helper.wait();
}
task<> stopped_run(std::stop_source& stop, thing& a, thing& b) {
  group g;
  g.add(stops_and_satisfies(stop, a, b));
  g.add(takes(a));
  g.add(takes(b));
  (void)co_await g.wait();
}

// A channel tells its tasks directly, others by way of the loop, which hears of the stop first.
TEST(cancellation, after_a_stop_was_heard_nothing_is_taken) {
  for (const bool of_run : {false, true})
    for (const kind& first : kinds) {
      SCOPED_TRACE(first.name);
      if (std::string(first.name).starts_with("channel")) continue;
      const auto a = first.make(), b = first.make();
      std::stop_source stop;
      if (of_run)
        EXPECT_FALSE(run(stopped_run(stop, *a, *b), stop.get_token()));
      else
        run(stopped_group(stop, *a, *b));
      EXPECT_FALSE(a->was_taken());
      EXPECT_FALSE(b->was_taken());
    }
}

// --- who is not resumed any more ---

task<> child_cancels(group& all) {
  all.cancel();
  co_return;
}
task<> awaits_a_child_that_cancels(group& all, bool& went_on) {
  co_await child_cancels(all);
  went_on = true;
}
task<> child(bool& begun) {
  begun = true;
  co_return;
}
task<> cancels_and_awaits_a_child(group& all, bool& begun) {
  all.cancel();
  co_await child(begun);
}
task<> cancels_and_adds(group& all, group& other, bool& begun) {
  all.cancel();
  other.add(child(begun));
  co_return;
}

TEST(cancellation, neither_a_parent_nor_a_child_nor_a_new_task_of_a_cancelled_group_goes_on) {
  bool parent = false, its_child = false, added = false;
  const auto all = [&]() -> task<> {
    group outer;
    group inner({.in_flight = 1});
    outer.add(awaits_a_child_that_cancels(outer, parent));
    (void)co_await outer.wait();
    group second;
    second.add(cancels_and_awaits_a_child(second, its_child));
    (void)co_await second.wait();
  };
  run(all());
  EXPECT_FALSE(parent);
  EXPECT_FALSE(its_child);
  // A group inside of a task of the cancelled one starts nothing that stands in its line.
  const auto has_inner = [](group& g, bool& begun) -> task<> {
    group inner({.in_flight = 1});
    inner.add(child_cancels(g));
    inner.add(child(begun));
    (void)co_await inner.wait();
  };
  const auto lines = [&]() -> task<> {
    group g;
    g.add(has_inner(g, added));
    (void)co_await g.wait();
  };
  run(lines());
  EXPECT_FALSE(added);
  // One that was added elsewhere meanwhile is started later.
  const auto elsewhere = [&]() -> task<> {
    group g, other;
    g.add(cancels_and_adds(g, other, added));
    (void)co_await other.wait();
  };
  run(elsewhere());
  EXPECT_TRUE(added);
}

// A loop of waits that end at once does not keep others from going on.
TEST(cancellation, a_task_that_gives_up_again_and_again_lets_others_go_on) {
  bool over = false;
  const auto restless = [](bool& o) -> task<> {
    while (!o) (void)co_await within(0ns, never());
  };
  const auto ends = [](bool& o) -> task<> {
    co_await sleep_for(1ms);
    o = true;
  };
  const auto all = [&]() -> task<> {
    group g;
    g.add(restless(over));
    g.add(ends(over));
    (void)co_await g.wait();
  };
  run(all());
  EXPECT_TRUE(over);
}
// --- with threads ---

task<std::optional<int>> pop_of(bounded_queue<int>& q) {
  auto item = co_await async_pop(q);
  co_return item;
}
task<> takes_from_both(bounded_queue<int>& a, bounded_queue<int>& b, std::vector<int>& got) {
  for (;;) {
    auto r = co_await when_any(pop_of(a), pop_of(b));
    const std::optional<int> item = r.index() == 0 ? std::get<0>(r) : std::get<1>(r);
    if (!item) break;
    got.push_back(*item);
  }
  for (bounded_queue<int>* const rest : {&a, &b})
    while (auto item = co_await async_pop(*rest)) got.push_back(*item);
}

TEST(cancellation, everything_that_threads_push_comes_out_of_when_any_once) {
  constexpr int each = 5000;
  for (const std::size_t capacity : {1u, 4u}) {
    bounded_queue<int> a(capacity), b(capacity);
    std::vector<int> got;
    {
      const std::jthread first([&] {
        for (int i = 0; i < each; ++i) EXPECT_TRUE(a.push(i));
        a.close();
      });
      const std::jthread second([&] {
        for (int i = 0; i < each; ++i) EXPECT_TRUE(b.push(each + i));
        b.close();
      });
      run(takes_from_both(a, b, got));
    }
    std::sort(got.begin(), got.end());
    ASSERT_EQ(got.size(), 2u * each);
    for (int i = 0; i < 2 * each; ++i) ASSERT_EQ(got[static_cast<std::size_t>(i)], i);
  }
}

task<long> takes_within(bounded_queue<int>& q) {
  for (long n = 0;;) {
    const auto in_time = co_await within(20us, pop_of(q));
    if (!in_time) continue;
    if (!*in_time) co_return n;
    ++n;
  }
}

TEST(cancellation, everything_that_a_thread_pushes_comes_out_of_within_once) {
  bounded_queue<int> q(2);
  const std::jthread producer([&] {
    for (int i = 0; i < 5000; ++i) EXPECT_TRUE(q.push(i));
    q.close();
  });
  EXPECT_EQ(run(takes_within(q)), 5000);
}

task<bool> push_to(bounded_queue<int>& q, int item) {
  const bool pushed = co_await async_push(q, std::move(item));
  co_return pushed;
}
task<> gives_to_either(bounded_queue<int>& a, bounded_queue<int>& b, int count) {
  for (int i = 0; i < count; ++i) {
    const auto r = co_await when_any(push_to(a, i), push_to(b, i));
    EXPECT_TRUE(r.index() == 0 ? std::get<0>(r) : std::get<1>(r));
  }
}

TEST(cancellation, everything_that_when_any_pushes_comes_to_one_thread_once) {
  bounded_queue<int> a(1), b(1);
  std::vector<int> got[2];
  {
    const auto takes_all = [](bounded_queue<int>& q, std::vector<int>& out) {
      while (auto item = q.pop()) out.push_back(*item);
    };
    const std::jthread first([&] { takes_all(a, got[0]); });
    const std::jthread second([&] { takes_all(b, got[1]); });
    run(gives_to_either(a, b, 5000));
    a.close();
    b.close();
  }
  got[0].insert(got[0].end(), got[1].begin(), got[1].end());
  std::sort(got[0].begin(), got[0].end());
  ASSERT_EQ(got[0].size(), 5000u);
  for (int i = 0; i < 5000; ++i) ASSERT_EQ(got[0][static_cast<std::size_t>(i)], i);
}

}  // namespace
}  // namespace penstock
