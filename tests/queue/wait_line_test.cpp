// The line of those who wait: who is called, how often, and in which order they may leave.
#include <vector>

#include <gtest/gtest.h>

#include <penstock/queue/wait_line.hpp>

namespace penstock {
namespace {

struct one final : wait_line::place {
  one() {
    told = [](wait_line::place& self) noexcept { ++static_cast<one&>(self).calls; };
  }
  int calls = 0;
};

TEST(wait_line, calls_the_first_and_each_once) {
  wait_line line;
  pending_wakes wakes;
  EXPECT_EQ(line.call_head(wakes), 0u) << "nobody is there";
  one first, second;
  line.join(first);
  line.join(second);
  line.join(first);  // where it stands
  EXPECT_EQ(line.head(), &first);
  EXPECT_EQ(line.call_head(wakes), 1u);
  EXPECT_EQ(line.call_head(wakes), 0u) << "it has been called and has not looked yet";
  EXPECT_EQ(first.calls, 1);
  first.get_ready();
  EXPECT_EQ(line.call_head(wakes), 1u);
  EXPECT_EQ(first.calls, 2);
  line.leave(first);
  EXPECT_EQ(line.call_head(wakes), 1u);
  EXPECT_EQ(first.calls, 2);
  EXPECT_EQ(second.calls, 1);
  line.leave(second);
  EXPECT_TRUE(line.empty());
}

TEST(wait_line, calls_all_at_the_end) {
  wait_line line;
  one all[3];
  for (one& o : all) line.join(o);
  EXPECT_EQ(line.call_all(), 3u);
  for (one& o : all) {
    EXPECT_EQ(o.calls, 1);
    EXPECT_TRUE(o.called);
  }
  pending_wakes wakes;
  EXPECT_EQ(line.call_head(wakes), 0u) << "they have all been called";
  for (one& o : all) line.leave(o);
  EXPECT_EQ(line.call_all(), 0u);
}

TEST(wait_line, is_left_from_anywhere) {
  for (const std::vector<int>& order : {std::vector{0, 1, 2}, {2, 1, 0}, {1, 0, 2}, {1, 2, 0}, {0, 2, 1}, {2, 0, 1}}) {
    wait_line line;
    one all[3];
    for (one& o : all) line.join(o);
    std::vector<one*> left{&all[0], &all[1], &all[2]};
    for (const int i : order) {
      line.leave(all[i]);
      line.leave(all[i]);  // it is not there any more
      std::erase(left, &all[i]);
      EXPECT_EQ(line.head(), left.empty() ? nullptr : left.front());
      EXPECT_EQ(line.call_all(), left.size());
    }
    EXPECT_TRUE(line.empty());
  }
}

}  // namespace
}  // namespace penstock
