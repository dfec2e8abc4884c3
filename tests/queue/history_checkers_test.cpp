// The judges are judged first: good histories pass, and for every kind of mistake there is a history that only this
// mistake makes bad, and it is refused.
#include <cstddef>
#include <sstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/queue/large_history.hpp"
#include "tests/queue/linearizable.hpp"

namespace penstock::testing {
namespace {

using verb = call::verb;
using answer = call::answer;

call pushed(number n, moment begun, moment ended) { return {verb::push, n, answer::success, begun, ended}; }
call refused(answer why, number n, moment begun, moment ended) { return {verb::push, n, why, begun, ended}; }
call popped(number n, moment begun, moment ended) { return {verb::pop, n, answer::success, begun, ended}; }
call nothing(answer why, moment begun, moment ended) { return {verb::pop, 0, why, begun, ended}; }
call closing(moment begun, moment ended) { return {verb::close, 0, answer::success, begun, ended}; }
call looked(answer what, moment begun, moment ended) { return {verb::look, 0, what, begun, ended}; }

struct example {
  std::string name;
  std::size_t capacity;
  history told;
};
class good : public ::testing::TestWithParam<example> {};

TEST_P(good, passes_both) {
  EXPECT_TRUE(is_linearizable(GetParam().told, GetParam().capacity)) << GetParam().told;
  const auto problems = problems_in(GetParam().told, GetParam().capacity);
  EXPECT_TRUE(problems.empty()) << problems.front() << '\n' << GetParam().told;
}

INSTANTIATE_TEST_SUITE_P(
    history, good,
    ::testing::Values(
        example{"empty", 1, {}},
        example{"one_after_the_other", 1, {{{pushed(1, 1, 2), popped(1, 3, 4), pushed(2, 5, 6), popped(2, 7, 8)}}}},
        example{"a_pop_that_began_before_the_push", 1, {{{pushed(1, 2, 4)}, {popped(1, 1, 3)}}}},
        example{"pushes_at_the_same_time_leave_in_either_order",
                2,
                {{{pushed(1, 1, 4)}, {pushed(2, 2, 3)}, {popped(2, 5, 6), popped(1, 7, 8)}}}},
        example{"full_while_a_push_is_under_way",
                1,
                {{{pushed(1, 1, 4), popped(1, 5, 6)}, {refused(answer::full, 2, 2, 3)}}}},
        example{"empty_while_a_pop_is_under_way",
                1,
                {{{pushed(1, 1, 2), popped(1, 3, 6)}, {nothing(answer::empty, 4, 5)}}}},
        example{"room_the_moment_a_pop_begins",
                1,
                {{{pushed(1, 1, 2), popped(1, 3, 6)}, {pushed(2, 4, 5), popped(2, 7, 8)}}}},
        example{"closed_while_close_is_under_way",
                1,
                {{{closing(1, 6)}, {refused(answer::closed, 1, 2, 3)}, {nothing(answer::closed, 4, 5)}}}},
        example{"what_waits_is_let_through",
                2,
                {{{pushed(1, 1, 2), closing(3, 4), refused(answer::closed, 2, 5, 6), popped(1, 7, 8),
                   nothing(answer::closed, 9, 10)}}}},
        example{"a_range_that_another_push_came_into",
                3,
                {{{pushed(1, 1, 6), pushed(2, 1, 6)},
                  {pushed(3, 2, 3)},
                  {popped(1, 7, 8), popped(3, 9, 10), popped(2, 11, 12)}}}},
        example{"refused_says_full_or_closed",
                1,
                {{{pushed(1, 1, 2), refused(answer::refused, 2, 3, 4), popped(1, 5, 6), closing(7, 8),
                   refused(answer::refused, 3, 9, 10)}}}},
        example{"looks",
                1,
                {{{looked(answer::open, 1, 2), closing(3, 6), looked(answer::closed, 7, 8)},
                  {looked(answer::closed, 4, 5)}}}}),
    [](const auto& each) { return each.param.name; });

// Who can tell: the search sees all that is wrong with the answers, but takes an item that never leaves for one that is
// still inside; the rules cannot see what depends on the order of calls that overlap.
enum class sees { both, search, rules };
struct mistake {
  std::string name;
  sees who;
  std::size_t capacity;
  history told;
  std::string complaint;  // part of what the rules say
};
class bad : public ::testing::TestWithParam<mistake> {};

TEST_P(bad, is_refused) {
  const mistake& m = GetParam();
  EXPECT_EQ(is_linearizable(m.told, m.capacity), m.who == sees::rules) << m.told;
  const auto problems = problems_in(m.told, m.capacity);
  EXPECT_EQ(problems.empty(), m.who == sees::search) << m.told;
  bool said = m.who == sees::search;
  for (const std::string& p : problems) said |= p.find(m.complaint) != std::string::npos;
  EXPECT_TRUE(said) << m.told << problems.front();
}

INSTANTIATE_TEST_SUITE_P(
    history, bad,
    ::testing::Values(
        mistake{"lost", sees::rules, 2, {{{pushed(1, 1, 2), pushed(2, 3, 4), popped(1, 5, 6)}}}, "lost"},
        mistake{
            "lost_and_overtaken", sees::both, 2, {{{pushed(1, 1, 2), pushed(2, 3, 4), popped(2, 5, 6)}}}, "overtook"},
        mistake{"doubled", sees::both, 2, {{{pushed(1, 1, 2), popped(1, 3, 4)}, {popped(1, 5, 6)}}}, "doubled"},
        mistake{"invented", sees::both, 2, {{{popped(7, 1, 2)}}}, "never taken in"},
        mistake{"popped_though_refused",
                sees::both,
                1,
                {{{pushed(1, 1, 2), refused(answer::full, 2, 3, 4), popped(1, 5, 6), popped(2, 7, 8)}}},
                "never taken in"},
        mistake{"popped_before_it_was_pushed",
                sees::both,
                1,
                {{{popped(1, 1, 2), pushed(1, 3, 4)}}},
                "before it was pushed"},
        mistake{"reordered_by_one_producer",
                sees::both,
                2,
                {{{pushed(1, 1, 2), pushed(2, 3, 4), popped(2, 5, 6), popped(1, 7, 8)}}},
                "overtook an item of its own producer"},
        mistake{"reordered_between_producers",
                sees::both,
                2,
                {{{pushed(1, 1, 2)}, {pushed(2, 3, 4)}, {popped(2, 5, 6)}, {popped(1, 7, 8)}}},
                "overtook an item that was pushed before it"},
        mistake{"reordered_within_a_range",
                sees::both,
                2,
                {{{pushed(1, 1, 4), pushed(2, 1, 4)}, {popped(2, 5, 6)}, {popped(1, 7, 8)}}},
                "overtook an item of its own producer"},
        mistake{"reordered_within_what_was_popped_at_once",
                sees::both,
                2,
                {{{pushed(1, 1, 2), pushed(2, 3, 4)}, {popped(2, 5, 6), popped(1, 5, 6)}}},
                "after a later item of its producer"},
        mistake{"reordered_between_producers_within_what_was_popped_at_once",
                sees::both,
                2,
                {{{pushed(1, 1, 2)}, {pushed(2, 3, 4)}, {popped(2, 5, 6), popped(1, 5, 6)}}},
                "after an item that was pushed later"},
        mistake{"over_capacity",
                sees::both,
                1,
                {{{pushed(1, 1, 2), pushed(2, 3, 4), popped(1, 5, 6), popped(2, 7, 8)}}},
                "over capacity"},
        mistake{"told_full_too_early",
                sees::both,
                2,
                {{{pushed(1, 1, 2), refused(answer::full, 2, 3, 4), popped(1, 5, 6)}}},
                "told full, but"},
        mistake{"told_full_after_the_end",
                sees::both,
                1,
                {{{pushed(1, 1, 2), closing(3, 4), refused(answer::full, 2, 5, 6), popped(1, 7, 8)}}},
                "told full after"},
        mistake{"told_empty_with_an_item_inside",
                sees::both,
                2,
                {{{pushed(1, 1, 2), nothing(answer::empty, 3, 4), popped(1, 5, 6)}}},
                "told empty, but"},
        mistake{"told_empty_after_the_end",
                sees::both,
                1,
                {{{closing(1, 2), nothing(answer::empty, 3, 4)}}},
                "told empty after"},
        mistake{"push_told_closed_too_early",
                sees::both,
                1,
                {{{refused(answer::closed, 1, 1, 2), closing(3, 4)}}},
                "closed too early"},
        mistake{"pop_told_closed_too_early",
                sees::both,
                1,
                {{{nothing(answer::closed, 1, 2), closing(3, 4)}}},
                "closed too early"},
        mistake{
            "told_closed_though_never_closed", sees::both, 1, {{{nothing(answer::closed, 1, 2)}}}, "closed too early"},
        mistake{"told_closed_with_an_item_inside",
                sees::both,
                1,
                {{{pushed(1, 1, 2), closing(3, 4), nothing(answer::closed, 5, 6), popped(1, 7, 8)}}},
                "an item was left"},
        mistake{"taken_in_after_the_end",
                sees::both,
                1,
                {{{closing(1, 2), pushed(1, 3, 4), popped(1, 5, 6)}}},
                "after the end"},
        mistake{
            "refused_with_room", sees::both, 1, {{{refused(answer::refused, 1, 1, 2), closing(3, 4)}}}, "refused, but"},
        mistake{"nothing_with_an_item_inside",
                sees::both,
                1,
                {{{pushed(1, 1, 2), nothing(answer::nothing, 3, 4), popped(1, 5, 6)}}},
                "nothing is there, but"},
        mistake{"looked_closed_too_early",
                sees::both,
                1,
                {{{looked(answer::closed, 1, 2), closing(3, 4)}}},
                "closed too early"},
        mistake{
            "looked_open_after_the_end", sees::both, 1, {{{closing(1, 2), looked(answer::open, 3, 4)}}}, "open after"},
        // Each answer is possible alone, both are not: told full, so 1 was inside, so the pop cannot have found nothing.
        mistake{
            "full_and_empty_at_once",
            sees::search,
            1,
            {{{pushed(1, 1, 10), popped(1, 11, 12)}, {refused(answer::full, 2, 2, 3), nothing(answer::empty, 4, 5)}}},
            ""},
        // By number the queue may have been empty, but it was not the item that was surely inside that left.
        mistake{"told_empty_while_the_other_one_left",
                sees::search,
                2,
                {{{pushed(1, 1, 10)},
                  {pushed(2, 2, 3)},
                  {popped(1, 4, 5), nothing(answer::empty, 6, 7), popped(2, 11, 12)}}},
                ""}),
    [](const auto& each) { return each.param.name; });

TEST(history, a_refused_history_is_told_call_by_call) {
  std::ostringstream out;
  out << history{{{pushed(1, 1, 2)}, {nothing(answer::empty, 3, 4)}}};
  EXPECT_EQ(out.str(), "  push 1 -> success [1, 2]\n" + std::string(36, ' ') + "pop -> empty [3, 4]\n");
}

}  // namespace
}  // namespace penstock::testing
