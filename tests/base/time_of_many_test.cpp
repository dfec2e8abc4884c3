// How long any number of things have been under way, added up.
#include <gtest/gtest.h>

#include <penstock/base/time_of_many.hpp>

namespace penstock {
namespace {

TEST(time_of_many, is_added_up_as_far_as_it_has_come) {
  time_of_many calls;
  EXPECT_EQ(calls.total(1000), 0);
  calls.one_more(1000);
  EXPECT_EQ(calls.total(1000), 0);
  EXPECT_EQ(calls.total(1010), 10);
  calls.one_more(1020);
  EXPECT_EQ(calls.total(1030), 40);
  EXPECT_EQ(calls.total(1015), 20) << "asked just before: nothing is taken back";
  calls.one_less(1030);
  EXPECT_EQ(calls.total(1035), 45);
  calls.one_less(1040);
  EXPECT_EQ(calls.total(9000), 50);
}

}  // namespace
}  // namespace penstock
