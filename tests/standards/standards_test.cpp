// Translation units compiled as C++20 and as C++23, with assertions and without, in one program: the linker keeps one body
// of each inline function, so every unit must mean the same by it.
#include <array>
#include <string>

#include <gtest/gtest.h>

#include "unit.hpp"

namespace {

const std::array<standards::unit, 3> units{standards::as_cxx20(), standards::as_cxx23(),
                                           standards::as_cxx23_without_assertions()};

TEST(standards, every_unit_sees_the_same_public_types) {
  const auto first = units[0].types();
  for (const auto& u : units) {
    const auto here = u.types();
    ASSERT_EQ(here.size(), first.size());
    for (std::size_t i = 0; i < first.size(); ++i)
      EXPECT_TRUE(here[i] == first[i]) << first[i].what << ": " << here[i].name << ", " << here[i].size << " bytes, in "
                                       << u.compiled_as << "; " << first[i].name << ", " << first[i].size
                                       << " bytes, in " << units[0].compiled_as;
  }
}

// Longer than what a string keeps within itself: a wrong layout is read as a wrong pointer.
TEST(standards, every_unit_uses_one_queue) {
  const std::string text = "a string that is longer than sixteen characters";
  penstock::bounded_queue<std::string> queue(4);
  for (const auto& u : units) EXPECT_EQ(u.through(queue, text), text + " then empty") << u.compiled_as;
}

TEST(standards, every_unit_runs_a_pipeline) {
  for (const auto& u : units) {
    const std::string out = u.pipeline();
    EXPECT_TRUE(out == "13, all accounted for" || out == "31, all accounted for") << u.compiled_as << ": " << out;
  }
}

}  // namespace
