// ranges: the byte range that a request asks for (RFC 9110, section 14).
#pragma once

#include <cstdint>
#include <string_view>
#include <variant>

namespace penstock::gallery {

struct whole_file {};     // no range, or one that is to be ignored: malformed, of another unit, or several
struct unsatisfiable {};  // nothing of it is in the file
struct byte_range {
  std::uint64_t first = 0;
  std::uint64_t bytes = 0;  // at least 1
};

[[nodiscard]] std::variant<whole_file, unsatisfiable, byte_range> parse_range(std::string_view header,
                                                                              std::uint64_t file_bytes);

// True iff an If-None-Match header names this (strong, quoted) tag.
[[nodiscard]] bool any_tag_matches(std::string_view if_none_match, std::string_view etag);

// All digits, no more than fits; -1 otherwise.
[[nodiscard]] std::int64_t parse_number(std::string_view text) noexcept;

}  // namespace penstock::gallery
