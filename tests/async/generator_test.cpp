// Generators that ask: questions in order, answers to whoever asked, results, errors, nesting without a growing stack.
#include <memory>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include <penstock/async/generator.hpp>

namespace penstock {
namespace {

struct place {
  int y = 0, x = 0;
};

generator<int, int, int> sums(int count) {
  int sum = 0;
  for (int i = 0; i < count; ++i) {
    const int answer = co_yield i;
    sum += answer;
  }
  co_return sum;
}
generator<int> counts(int to) {
  for (int i = 0; i < to; ++i) co_yield i;
}
generator<int, int, int> sums_within(int depth) {
  if (depth == 0) {
    const int answer = co_yield 1;
    co_return answer;
  }
  const int inner = co_await sums_within(depth - 1);
  co_return inner + 1;
}
generator<int, int, int> asks_much_inside(int depth) {
  if (depth > 0) {
    const int inner = co_await asks_much_inside(depth - 1);
    co_return inner;
  }
  int last = 0;
  for (int i = 0; i < 1000; ++i) last = co_yield i;
  co_return last;
}
generator<std::string, std::unique_ptr<int>, int> asks_with_strings() {
  const std::string first = "a question that is too long for the small string", second = "second";
  const auto a = co_yield first;
  const auto b = co_yield second;
  co_return *a + *b;
}
generator<place, bool, int> neighbours(int y, int x) {
  int n = 0;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx) {
      if (dy == 0 && dx == 0) continue;
      const bool alive = co_yield place{y + dy, x + dx};
      n += alive ? 1 : 0;
    }
  co_return n;
}
generator<int, int, int> throws_at(int when) {
  for (int i = 0;; ++i) {
    if (i == when) throw std::runtime_error("broken");
    co_yield i;
  }
}
generator<int, int, int> catches_inside() {
  std::string what;
  try {
    (void)co_await throws_at(1);
  } catch (const std::runtime_error& e) {
    what = e.what();
  }
  const int answer = co_yield static_cast<int>(what.size());
  co_return answer;
}
generator<int, int, int> holds(std::shared_ptr<int> p) {
  const int answer = co_yield *p;
  co_return answer;
}
generator<int, int, int> holds_inside(std::shared_ptr<int> p) {
  const int answer = co_await holds(p);
  co_return answer;
}

TEST(generator, asks_and_is_answered_in_order) {
  auto g = sums(10);
  int expected = 0;
  while (const int* asked = g.question()) {
    EXPECT_EQ(*asked, expected++);
    g.send(*asked * 2);
  }
  EXPECT_EQ(expected, 10);
  EXPECT_EQ(g.result(), 90);
}

TEST(generator, may_ask_nothing) {
  auto g = sums(0);
  EXPECT_EQ(g.question(), nullptr);
  EXPECT_EQ(g.result(), 0);
}

TEST(generator, without_answers_it_only_yields) {
  std::vector<int> got;
  auto g = counts(5);
  for (; const int* i = g.question(); g.next()) got.push_back(*i);
  g.result();
  EXPECT_EQ(got, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(generator, may_have_no_question_and_only_take) {
  std::string got;
  const auto takes = [](std::string& into) -> generator<std::monostate, std::string> {
    while (true) {
      const std::string answer = co_yield {};
      into += answer;
    }
  };
  auto g = takes(got);
  ASSERT_NE(g.question(), nullptr);
  g.send("an answer that is too long for the small string, ");
  g.send("another");
  EXPECT_EQ(got, "an answer that is too long for the small string, another");
}

TEST(generator, questions_from_within_reach_the_caller_at_any_depth) {
  auto g = sums_within(50'000);
  ASSERT_NE(g.question(), nullptr);
  EXPECT_EQ(*g.question(), 1);
  g.send(7);
  EXPECT_EQ(g.question(), nullptr);
  EXPECT_EQ(g.result(), 50'007);

  auto deep = asks_much_inside(100);
  int asked = 0;
  for (; deep.question(); ++asked) deep.send(asked);
  EXPECT_EQ(asked, 1000);
  EXPECT_EQ(deep.result(), 999);
}

TEST(generator, questions_and_answers_may_own_things) {
  auto g = asks_with_strings();
  EXPECT_EQ(*g.question(), "a question that is too long for the small string");
  g.send(std::make_unique<int>(3));
  EXPECT_EQ(*g.question(), "second");
  g.send(std::make_unique<int>(4));
  EXPECT_EQ(g.question(), nullptr);
  EXPECT_EQ(g.result(), 7);
}

TEST(generator, keeps_logic_apart_from_its_environment) {
  const std::vector<std::string> board{"...", "##.", ".#."};
  auto g = neighbours(1, 1);
  while (const place* p = g.question())
    g.send(board[static_cast<std::size_t>(p->y)][static_cast<std::size_t>(p->x)] == '#');
  EXPECT_EQ(g.result(), 2);
}

TEST(generator, an_exception_reaches_who_runs_it_or_the_one_outside) {
  auto g = throws_at(1);
  ASSERT_NE(g.question(), nullptr);
  EXPECT_THROW(g.send(0), std::runtime_error);
  EXPECT_EQ(g.question(), nullptr);
  EXPECT_THROW(g.result(), std::runtime_error);

  auto outer = catches_inside();
  EXPECT_EQ(*outer.question(), 0);
  outer.send(0);
  EXPECT_EQ(*outer.question(), 6);
  outer.send(5);
  EXPECT_EQ(outer.question(), nullptr);
  EXPECT_EQ(outer.result(), 5);
}

TEST(generator, destroyed_at_a_question_it_leaves_nothing) {
  auto held = std::make_shared<int>(1);
  {
    auto g = holds_inside(held);
    EXPECT_EQ(*g.question(), 1);
    EXPECT_GT(held.use_count(), 1);
    const auto never_begun = holds(held);
  }
  EXPECT_EQ(held.use_count(), 1);
}

TEST(generator, one_of_any_depth_is_destroyed_at_a_question_without_a_growing_stack) {
  auto g = sums_within(200'000);
  EXPECT_EQ(*g.question(), 1);
}

}  // namespace
}  // namespace penstock
