// How many items a turn takes and what counts as long, as a function of what the turns before took.
#include <cstdint>

#include <gtest/gtest.h>

#include <penstock/pipeline/pace.hpp>

namespace penstock {
namespace {

TEST(pace, what_is_not_known_is_taken_one_by_one_and_may_be_long) {
  const pace p;
  EXPECT_EQ(p.each(), 0);
  EXPECT_EQ(p.batch(), 1u);
  EXPECT_TRUE(p.is_long(1));
  EXPECT_FALSE(p.is_surprise(1'000'000'000, 1));
}

TEST(pace, a_turn_is_worth_so_many_items_as_fit_in_it) {
  pace p;
  p.took(10'000, 10, false);
  EXPECT_EQ(p.each(), 1'000);
  EXPECT_EQ(p.batch(), 100u);
  EXPECT_EQ(p.batch(5'000), 5u);
  EXPECT_EQ(p.batch(500), 1u) << "one at least";
  EXPECT_FALSE(p.is_long(9));
  EXPECT_TRUE(p.is_long(10));
}

TEST(pace, there_is_an_end_to_what_is_taken_at_once) {
  pace p;
  p.took(0, 10, false);
  EXPECT_EQ(p.each(), 0);
  EXPECT_EQ(p.batch(), 256u);
  EXPECT_FALSE(p.is_long(1'000'000));
}

TEST(pace, it_follows_slowly) {
  pace p;
  p.took(1'000, 1, false);
  p.took(2 * 9'000, 2, false);
  EXPECT_EQ(p.each(), 2'000) << "by an eighth";
  p.took(0, 1, false);
  EXPECT_EQ(p.each(), 1'750);
}

TEST(pace, a_surprise_is_far_longer_than_usual_and_than_a_slice) {
  pace p;
  p.took(50'000, 1, false);
  EXPECT_FALSE(p.is_surprise(100'000, 1));
  EXPECT_FALSE(p.is_surprise(300'000, 1)) << "four times as long, and so much more";
  EXPECT_TRUE(p.is_surprise(300'001, 1));
  EXPECT_FALSE(p.is_surprise(500'000, 2));
  EXPECT_TRUE(p.is_surprise(500'001, 2));
  pace quick;
  quick.took(0, 1, false);
  EXPECT_FALSE(quick.is_surprise(100'000, 1));
  EXPECT_TRUE(quick.is_surprise(100'001, 1));
}

TEST(pace, after_a_surprise_the_next_ones_go_one_by_one) {
  pace p;
  p.took(1'000, 1, false);
  p.took(10'000'000, 100, true);
  EXPECT_EQ(p.each(), 1'000) << "it says nothing about the others";
  EXPECT_EQ(p.batch(), 1u);
  EXPECT_TRUE(p.is_long(1));
  p.took(4'095 * 1'000, 4'095, false);
  EXPECT_EQ(p.batch(), 1u);
  EXPECT_TRUE(p.is_long(1));
  p.took(2 * 1'000, 2, false);
  EXPECT_EQ(p.batch(), 100u);
  EXPECT_FALSE(p.is_long(1));
  p.took(1'000, 1, false);
  EXPECT_EQ(p.batch(), 100u) << "and that remains";
}

}  // namespace
}  // namespace penstock
