// What is linked is in one list, in its order, until it leaves.
#include <vector>

#include <gtest/gtest.h>

#include <penstock/base/links.hpp>

namespace penstock {
namespace {

struct bead : link {
  explicit bead(int n) : number(n) {}
  int number;
};
using thread_of = links<bead>;

// Both ways.
std::vector<int> numbers_on(const thread_of& all) {
  std::vector<int> found, backwards;
  for (const bead* b = all.front(); b; b = all.after(*b)) found.push_back(b->number);
  for (const bead* b = all.back(); b; b = all.before(*b)) backwards.insert(backwards.begin(), b->number);
  EXPECT_EQ(found, backwards);
  EXPECT_EQ(all.empty(), found.empty());
  return found;
}

TEST(links, keep_their_order_whichever_end_they_come_to) {
  bead one(1), two(2), three(3);
  thread_of all;
  EXPECT_EQ(numbers_on(all), (std::vector<int>{}));
  all.push_front(two);
  all.push_front(one);
  all.push_back(three);
  EXPECT_EQ(numbers_on(all), (std::vector{1, 2, 3}));
  two.unlink();
  two.unlink();
  EXPECT_FALSE(two.is_linked());
  EXPECT_EQ(numbers_on(all), (std::vector{1, 3}));
  EXPECT_EQ(all.pop_front(), &one);
  EXPECT_EQ(all.pop_front(), &three);
  EXPECT_EQ(all.pop_front(), nullptr);
}

TEST(links, all_of_another_list_come_behind_the_own) {
  for (const bool own : {false, true}) {
    bead one(1), two(2), three(3), four(4);
    thread_of all, other;
    if (own) all.push_back(one);
    all.take_all(other);
    EXPECT_EQ(numbers_on(all), own ? std::vector{1} : std::vector<int>{});
    other.push_back(two);
    other.push_back(three);
    all.take_all(other);
    EXPECT_EQ(numbers_on(other), (std::vector<int>{}));
    EXPECT_EQ(numbers_on(all), own ? (std::vector{1, 2, 3}) : (std::vector{2, 3}));
    other.push_back(four);
    all.take_all(other);
    all.take_all(other);
    EXPECT_EQ(numbers_on(all), own ? (std::vector{1, 2, 3, 4}) : (std::vector{2, 3, 4}));
  }
}

TEST(links, whoever_goes_first_lets_the_others_go) {
  bead one(1), two(2);
  {
    thread_of all;
    all.push_back(one);
    all.push_back(two);
    {
      bead gone(3);
      all.push_back(gone);
    }
    EXPECT_EQ(numbers_on(all), (std::vector{1, 2}));
  }
  EXPECT_FALSE(one.is_linked() || two.is_linked());
}

}  // namespace
}  // namespace penstock
