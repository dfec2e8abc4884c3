#include "apps/gallery/ranges.hpp"

#include <string>

#include <gtest/gtest.h>

namespace penstock::gallery {
namespace {

std::string parsed(std::string_view header, std::uint64_t file_bytes) {
  const auto range = parse_range(header, file_bytes);
  if (std::holds_alternative<whole_file>(range)) return "whole";
  if (std::holds_alternative<unsatisfiable>(range)) return "none";
  const auto& part = std::get<byte_range>(range);
  return std::to_string(part.first) + "+" + std::to_string(part.bytes);
}

TEST(gallery_ranges, one_range_is_understood) {
  EXPECT_EQ(parsed("bytes=0-0", 10), "0+1");
  EXPECT_EQ(parsed("bytes=0-9", 10), "0+10");
  EXPECT_EQ(parsed("bytes=2-5", 10), "2+4");
  EXPECT_EQ(parsed("bytes=2-", 10), "2+8");
  EXPECT_EQ(parsed("bytes=9-", 10), "9+1");
  EXPECT_EQ(parsed("bytes=5-1000", 10), "5+5");
  EXPECT_EQ(parsed("bytes=0-9223372036854775807", 10), "0+10");
  EXPECT_EQ(parsed("bytes=-3", 10), "7+3");
  EXPECT_EQ(parsed("bytes=-1000", 10), "0+10");
}

TEST(gallery_ranges, a_range_outside_of_the_file_cannot_be_satisfied) {
  for (const char* header : {"bytes=10-", "bytes=10-20", "bytes=-0"}) EXPECT_EQ(parsed(header, 10), "none") << header;
  EXPECT_EQ(parsed("bytes=0-", 0), "none");
}

TEST(gallery_ranges, what_is_malformed_or_not_one_range_of_bytes_is_ignored) {
  for (const char* header : {"", "bytes", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1-2,4-5", "bytes=+1-2",
                             "bytes=1--2", "bytes= 1-2", "items=1-2", "bytes=99999999999999999999-", "bytes=--3"})
    EXPECT_EQ(parsed(header, 10), "whole") << header;
}

TEST(gallery_ranges, tags_match_by_name_list_and_star) {
  EXPECT_TRUE(any_tag_matches("\"a\"", "\"a\""));
  EXPECT_TRUE(any_tag_matches("\"b\", \"a\"", "\"a\""));
  EXPECT_TRUE(any_tag_matches("W/\"a\"", "\"a\""));
  EXPECT_TRUE(any_tag_matches("*", "\"a\""));
  EXPECT_FALSE(any_tag_matches("", "\"a\""));
  EXPECT_FALSE(any_tag_matches("a", "\"a\""));
  EXPECT_FALSE(any_tag_matches("\"ab\"", "\"a\""));
}

}  // namespace
}  // namespace penstock::gallery
