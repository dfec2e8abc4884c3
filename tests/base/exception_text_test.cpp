#include <stdexcept>

#include <gtest/gtest.h>

#include <penstock/base/exception_text.hpp>

namespace penstock {
namespace {

template <class Throw>
std::string text_of(Throw action) {
  try {
    action();
  } catch (...) {
    return exception_text(std::current_exception());
  }
  return "nothing was thrown";
}

TEST(exception_text, tells_the_causes_from_the_outside_in) {
  EXPECT_EQ(text_of([] {
              try {
                throw std::runtime_error("disk full");
              } catch (...) {
                std::throw_with_nested(std::runtime_error("cannot publish"));
              }
            }),
            "cannot publish: disk full");
}

TEST(exception_text, a_cause_that_is_quoted_already_is_not_told_twice) {
  EXPECT_EQ(text_of([] {
              try {
                throw std::runtime_error("disk full");
              } catch (...) {
                std::throw_with_nested(std::runtime_error("cannot publish: disk full"));
              }
            }),
            "cannot publish: disk full");
}

TEST(exception_text, has_words_for_what_is_no_exception) {
  EXPECT_EQ(text_of([] { throw 42; }), "an exception that is not a std::exception");
  EXPECT_EQ(exception_text(nullptr), "");
}

}  // namespace
}  // namespace penstock
