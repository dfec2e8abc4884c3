#include "apps/gallery/framing.hpp"

#include <algorithm>
#include <cassert>

namespace penstock::gallery {
namespace {

constexpr std::string_view line_end = "\r\n";

bool is_control(char c) noexcept { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f; }

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// RFC 9110, section 5.6.2.
bool is_token(std::string_view text) noexcept {
  constexpr std::string_view marks = "!#$%&'*+-.^_`|~";
  return !text.empty() && std::ranges::all_of(text, [&](char c) {
    return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') || marks.find(c) != std::string_view::npos;
  });
}

bool is_named(std::string_view name, std::string_view in_lower_case) noexcept {
  return std::ranges::equal(name, in_lower_case, {}, lower);
}

std::string_view trimmed(std::string_view text) noexcept {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t") + 1);
}

}  // namespace

std::optional<std::string_view> framing_fault(std::string_view head) {
  assert(head.ends_with("\r\n\r\n"));
  int lengths = 0, encodings = 0;
  bool in_request_line = true, before_1_1 = false;
  for (; head != line_end; in_request_line = false) {
    const auto length = head.find(line_end);
    if (length == std::string_view::npos) break;  // the head begins with the empty line: there is no request line
    const auto line = head.substr(0, length);
    head.remove_prefix(length + line_end.size());
    if (std::ranges::any_of(line, is_control)) return "the head of the request has a control character";
    if (in_request_line) {
      before_1_1 = !line.ends_with(" HTTP/1.1");
      continue;
    }
    if (line.starts_with(' ') || line.starts_with('\t')) return "a header is folded over several lines";
    const auto colon = line.find(':');
    if (colon == std::string_view::npos || !is_token(line.substr(0, colon))) return "a header's name is malformed";
    const auto name = line.substr(0, colon);
    const auto value = line.substr(colon + 1);
    if (is_named(name, "content-length")) {
      ++lengths;
      const auto digits = trimmed(value);
      if (digits.empty() || !std::ranges::all_of(digits, is_digit)) return "Content-Length is not a number";
    }
    if (is_named(name, "transfer-encoding")) {
      ++encodings;
      if (value != " chunked" && value != "chunked")
        return "the only Transfer-Encoding that is understood is \"chunked\"";
    }
  }
  if (lengths > 1) return "a request has at most one Content-Length";
  if (encodings > 1) return "a request has at most one Transfer-Encoding";
  if (encodings == 1 && lengths == 1) return "a request has Content-Length or Transfer-Encoding, not both";
  if (encodings == 1 && before_1_1) return "Transfer-Encoding needs HTTP/1.1";
  return std::nullopt;
}

}  // namespace penstock::gallery
