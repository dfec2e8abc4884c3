#include "apps/gallery/ranges.hpp"

#include <algorithm>
#include <charconv>

namespace penstock::gallery {

std::int64_t parse_number(std::string_view text) noexcept {
  // from_chars takes a sign; a number in an address or a header has none.
  if (text.empty() || text.front() < '0' || text.front() > '9') return -1;
  std::int64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() ? value : -1;
}

std::variant<whole_file, unsatisfiable, byte_range> parse_range(std::string_view header, std::uint64_t file_bytes) {
  constexpr std::string_view unit = "bytes=";
  if (!header.starts_with(unit)) return whole_file{};
  header.remove_prefix(unit.size());
  const auto dash = header.find('-');
  if (dash == std::string_view::npos) return whole_file{};
  const auto first_text = header.substr(0, dash);
  const auto last_text = header.substr(dash + 1);
  const std::int64_t first = parse_number(first_text);
  const std::int64_t last = parse_number(last_text);
  if ((!first_text.empty() && first < 0) || (!last_text.empty() && last < 0)) return whole_file{};
  if (first_text.empty() && last_text.empty()) return whole_file{};
  if (first_text.empty()) {  // the last `last` bytes
    const std::uint64_t bytes = std::min(static_cast<std::uint64_t>(last), file_bytes);
    if (bytes == 0) return unsatisfiable{};
    return byte_range{file_bytes - bytes, bytes};
  }
  const auto begin = static_cast<std::uint64_t>(first);
  if (!last_text.empty() && last < first) return whole_file{};
  if (begin >= file_bytes) return unsatisfiable{};
  const std::uint64_t end = last_text.empty() ? file_bytes : std::min(static_cast<std::uint64_t>(last) + 1, file_bytes);
  return byte_range{begin, end - begin};
}

bool any_tag_matches(std::string_view if_none_match, std::string_view etag) {
  while (!if_none_match.empty()) {
    const auto comma = std::min(if_none_match.find(','), if_none_match.size());
    auto tag = if_none_match.substr(0, comma);
    if_none_match.remove_prefix(std::min(comma + 1, if_none_match.size()));
    while (tag.starts_with(' ') || tag.starts_with('\t')) tag.remove_prefix(1);
    while (tag.ends_with(' ') || tag.ends_with('\t')) tag.remove_suffix(1);
    if (tag == "*") return true;
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == etag) return true;
  }
  return false;
}

}  // namespace penstock::gallery
