// The same random programs on the plain queue and on bounded_queue: the same transcripts, whatever the items are.
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/queue_kinds.hpp"
#include "tests/queue/queue_program.hpp"

namespace penstock::testing {
namespace {

#ifdef __SANITIZE_THREAD__
constexpr std::uint64_t programs = 60;
#else
constexpr std::uint64_t programs = 300;
#endif
constexpr std::size_t length = 150;
constexpr std::uint64_t seed = 4;

using transcript = std::vector<std::string>;

template <class Queue>
transcript alone(Queue& queue, const std::vector<step>& steps) {
  queue_program<Queue> program(queue);
  transcript lines;
  for (const step& s : steps) lines.push_back(program.run(s));
  return lines;
}

// Each step by the thread whose turn it is; what one thread did is visible to the next because the turn was handed over,
// so a difference is the queue's.
template <class Queue>
transcript in_turns(Queue& queue, const std::vector<step>& steps, team& members, std::size_t count) {
  queue_program<Queue> program(queue);
  transcript lines(steps.size());
  std::atomic<std::size_t> turn = 0;
  members.run([&](std::size_t self) {
    for (std::size_t mine = self; mine < steps.size(); mine += count) {
      while (turn.load(std::memory_order_acquire) != mine) std::this_thread::yield();
      lines[mine] = program.run(steps[mine]);
      turn.store(mine + 1, std::memory_order_release);
    }
  });
  return lines;
}

::testing::AssertionResult same(const transcript& plain, const transcript& bounded) {
  const auto [p, b] = std::mismatch(plain.begin(), plain.end(), bounded.begin(), bounded.end());
  if (p == plain.end()) return ::testing::AssertionSuccess();
  auto result = ::testing::AssertionFailure();
  result << "after\n";
  for (auto line = p - std::min<std::ptrdiff_t>(p - plain.begin(), 12); line != p; ++line)
    result << "    " << *line << '\n';
  return result << "plain_queue   " << *p << "\nbounded_queue " << *b;
}

template <class T>
class both_queues : public ::testing::Test {
 public:
  template <class... Limit>
  static void agree(std::size_t capacity, std::uint64_t round, team* members, Limit&&... limit) {
    dice d = dice_of(seed, round, capacity);
    const bool with_fuses = std::is_same_v<T, copies_throw> || std::is_same_v<T, moves_throw>;
    const auto steps = random_steps(d, length, with_fuses);
    plain_queue<T> plain(capacity, limit...);
    bounded_queue<T> bounded(capacity, limit...);
    ASSERT_TRUE(members ? same(in_turns(plain, steps, *members, 3), in_turns(bounded, steps, *members, 3))
                        : same(alone(plain, steps), alone(bounded, steps)))
        << "program " << round << " of seed " << seed << ", capacity " << capacity;
  }
};
using item_types = ::testing::Types<number, boxed, text, large, aligned, copies_throw, moves_throw>;
TYPED_TEST_SUITE(both_queues, item_types);

TYPED_TEST(both_queues, agree_on_one_thread) {
  for (std::uint64_t round = 0; round < programs; ++round)
    for (const std::size_t capacity : {1u, 2u, 3u, 8u, 17u}) this->agree(capacity, round, nullptr);
}

TYPED_TEST(both_queues, agree_when_threads_take_turns) {
  team members(3);
  for (std::uint64_t round = 0; round < programs / 10; ++round)
    for (const std::size_t capacity : {1u, 4u, 5u}) this->agree(capacity, round, &members);
}

TYPED_TEST(both_queues, agree_with_a_limit_in_bytes) {
  const byte_capacity<TypeParam> weigh{10, [](const TypeParam& item) -> std::size_t { return number_of(item) % 7; }};
  for (std::uint64_t round = 0; round < programs / 2; ++round)
    for (const std::size_t capacity : {1u, 3u, 16u}) this->agree(capacity, round, nullptr, weigh);
}

}  // namespace
}  // namespace penstock::testing
