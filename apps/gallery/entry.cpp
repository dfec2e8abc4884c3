#include "apps/gallery/entry.hpp"

#include <algorithm>
#include <optional>

#include <arpa/inet.h>

namespace penstock::gallery {
namespace {

char lower(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
  return std::ranges::equal(a, b, {}, lower, lower);
}

// What follows `scheme` and a space in an Authorization header.
std::optional<std::string_view> credentials(std::string_view header, std::string_view scheme) {
  if (header.size() <= scheme.size() || !equal_ignoring_case(header.substr(0, scheme.size()), scheme) ||
      header[scheme.size()] != ' ')
    return std::nullopt;
  header.remove_prefix(std::min(header.find_first_not_of(' ', scheme.size()), header.size()));
  return header;
}

std::optional<std::string> decode_base64(std::string_view text) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  while (text.ends_with('=')) text.remove_suffix(1);
  std::string bytes;
  unsigned bits = 0;
  int count = 0;
  for (const char c : text) {
    const auto digit = digits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    bits = bits << 6 | static_cast<unsigned>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xff);
  }
  return bytes;
}

bool is_address(std::string_view text, int family) {
  unsigned char ignored[sizeof(in6_addr)];
  return ::inet_pton(family, std::string(text).c_str(), ignored) == 1;
}

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

bool equal_in_constant_time(std::string_view given, std::string_view secret) noexcept {
  if (secret.empty()) return false;
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i)
    difference |= static_cast<unsigned char>(given[i]) ^ static_cast<unsigned char>(secret[i % secret.size()]);
  return difference == 0;
}

bool names_this_machine(std::string_view host) {
  if (host.starts_with('[')) {
    const auto end = host.find(']');
    if (end == std::string_view::npos) return false;
    const auto rest = host.substr(end + 1);
    return is_address(host.substr(1, end - 1), AF_INET6) &&
           (rest.empty() || (rest[0] == ':' && is_port(rest.substr(1))));
  }
  if (const auto colon = host.find(':'); colon != std::string_view::npos) {
    if (!is_port(host.substr(colon + 1))) return false;
    host = host.substr(0, colon);
  }
  if (is_address(host, AF_INET)) return true;
  constexpr std::string_view suffix = ".localhost";
  return equal_ignoring_case(host, "localhost") ||
         (host.size() > suffix.size() && equal_ignoring_case(host.substr(host.size() - suffix.size()), suffix));
}

bool entry_rules::has_token(const request_head& request) const {
  if (const auto bearer = credentials(request.authorization, "Bearer")) return equal_in_constant_time(*bearer, token_);
  const auto basic = credentials(request.authorization, "Basic");
  if (!basic) return false;
  const auto decoded = decode_base64(*basic);
  if (!decoded) return false;
  const auto colon = decoded->find(':');
  return colon != std::string::npos && equal_in_constant_time(std::string_view(*decoded).substr(colon + 1), token_);
}

verdict entry_rules::may_read(const request_head& request) const {
  if (public_read_ || has_token(request)) return verdict::allowed;
  if (on_loopback_ && names_this_machine(request.host)) return verdict::allowed;
  return token_.empty() ? verdict::wrong_host : verdict::token_needed;
}

verdict entry_rules::may_write(const request_head& request) const {
  if (has_token(request)) return verdict::allowed;
  if (!token_.empty()) return verdict::token_needed;
  return may_read(request) == verdict::allowed ? verdict::nobody_may_write : verdict::wrong_host;
}

}  // namespace penstock::gallery
