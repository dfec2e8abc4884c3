// The words of `penstock run` as a plan.
#include "apps/run/command_line.hpp"

#include <set>

#include <gtest/gtest.h>

namespace penstock::runner {
namespace {

using namespace std::chrono_literals;
using words = std::vector<std::string>;
run_plan plan(const words& w) { return plan_from(w); }

TEST(command_line, options_stand_before_their_stages_command) {
  const run_plan p = plan(
      {"-0", "-j3", "--name", "one", "a", "-j4", "--", "::", "--jobs=2..9", "--capacity", "5", "b", ":::", "x", "-y"});
  ASSERT_EQ(p.stages.size(), 2u);
  EXPECT_EQ(p.stages[0].words, (words{"a", "-j4", "--"}));
  EXPECT_EQ(p.stages[0].workers, worker_count(3));
  EXPECT_EQ(p.stages[0].capacity, 6u);
  EXPECT_EQ(p.stages[1].workers, worker_count(2, 9));
  EXPECT_EQ(p.stages[1].capacity, 5u);
  EXPECT_EQ(p.items.end, '\0');
  EXPECT_EQ(p.items.arguments, (std::vector<words>{{"x", "-y"}}));
}

TEST(command_line, some_options_before_the_first_command_are_meant_for_all) {
  const run_plan p = plan(
      {"--timeout", "5s", "--retries", "2", "-j7", "a", "::", "--timeout", "1m", "b", "::", "--on-fail", "retry", "c"});
  EXPECT_EQ(p.stages[0].timeout, 5s);
  EXPECT_EQ(p.stages[1].timeout, 60s);
  EXPECT_EQ(p.stages[1].retries, 2u);
  EXPECT_EQ(p.stages[2].retries, 2u);
  EXPECT_EQ(p.stages[1].workers, worker_count(processors()));  // -j is each stage's own
}

TEST(command_line, stages_are_named_after_their_programs) {
  const run_plan p = plan({"/usr/bin/gzip {}", "::", "gzip", "x", "::", "'x y' {}", "::", "--name", "last", "cat"});
  EXPECT_EQ(p.stages[0].name, "gzip");
  EXPECT_EQ(p.stages[1].name, "gzip-2");
  EXPECT_EQ(p.stages[2].name, "stage");
  EXPECT_EQ(p.stages[3].name, "last");
}

TEST(command_line, letters_may_be_written_together) {
  const run_plan p = plan({"-0kj2", "a"});
  EXPECT_EQ(p.items.end, '\0');
  EXPECT_TRUE(p.keep_order);
  EXPECT_EQ(p.stages[0].workers, worker_count(2));
}

TEST(command_line, times) {
  EXPECT_EQ(duration_from("500ms"), 500ms);
  EXPECT_EQ(duration_from("1.5m"), 90s);
  EXPECT_EQ(duration_from("2"), 2s);
  EXPECT_EQ(duration_from("1d"), 24h);
  for (const char* no : {"", "x", "-1s", "1 s", "1w", "1e99h"})
    EXPECT_THROW((void)duration_from(no), usage_error) << no;
}

TEST(vocabulary, each_word_is_there_once) {
  std::set<std::string_view> names;
  std::set<char> letters;
  for (const word& w : vocabulary()) {
    EXPECT_TRUE(names.insert(w.name).second) << w.name;
    EXPECT_TRUE(!w.letter || letters.insert(w.letter).second) << w.letter;
    EXPECT_EQ(find_word(w.name), &w);
    EXPECT_FALSE(w.meaning.empty());
  }
  EXPECT_EQ(nearest_word("keeporder"), "keep-order");
  EXPECT_EQ(nearest_word("completely-else"), "");
}

}  // namespace
}  // namespace penstock::runner
