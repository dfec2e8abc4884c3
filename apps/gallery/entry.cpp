#include "apps/gallery/entry.hpp"

#include <algorithm>
#include <chrono>
#include <optional>

#include <arpa/inet.h>
#include <netinet/in.h>

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

bool is_port(std::string_view text) {
  return !text.empty() && text.size() <= 5 && std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

// False iff a browser says that another site's page sends the request. Programs send neither header. Sec-Fetch-Site is
// believed first: no page can set it, and it stays true when a proxy changes the Host header.
bool is_of_this_site(const request_head& request) {
  if (!request.sec_fetch_site.empty())
    return request.sec_fetch_site == "same-origin" || request.sec_fetch_site == "none";
  if (request.origin.empty()) return true;
  const auto scheme = request.origin.find("://");
  return scheme != std::string_view::npos && equal_ignoring_case(request.origin.substr(scheme + 3), request.host);
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
    in6_addr address = {};
    return ::inet_pton(AF_INET6, std::string(host.substr(1, end - 1)).c_str(), &address) == 1 &&
           IN6_IS_ADDR_LOOPBACK(&address) && (rest.empty() || (rest[0] == ':' && is_port(rest.substr(1))));
  }
  if (const auto colon = host.find(':'); colon != std::string_view::npos) {
    if (!is_port(host.substr(colon + 1))) return false;
    host = host.substr(0, colon);
  }
  if (in_addr address = {}; ::inet_pton(AF_INET, std::string(host).c_str(), &address) == 1)
    return ntohl(address.s_addr) >> 24 == IN_LOOPBACKNET;
  constexpr std::string_view suffix = ".localhost";
  return equal_ignoring_case(host, "localhost") ||
         (host.size() > suffix.size() && equal_ignoring_case(host.substr(host.size() - suffix.size()), suffix));
}

bool is_forwarding_header(std::string_view name) noexcept {
  constexpr std::string_view names[] = {"forwarded",
                                        "via",
                                        "x-real-ip",
                                        "true-client-ip",
                                        "x-client-ip",
                                        "client-ip",
                                        "x-cluster-client-ip",
                                        "fastly-client-ip",
                                        "fly-client-ip",
                                        "x-remote-ip",
                                        "x-remote-addr",
                                        "x-originating-ip",
                                        "x-proxyuser-ip",
                                        "x-host",
                                        "x-scheme",
                                        "cdn-loop",
                                        "x-remote-user",
                                        "remote-user",
                                        "x-appengine-user-ip",
                                        "forwarded-for",
                                        "x-proxy-user",
                                        "x-client-host",
                                        "x-request-start",
                                        "x-real-port",
                                        "proxy-connection",
                                        "x-url-scheme",
                                        "front-end-https"};
  constexpr std::string_view prefixes[] = {"x-forwarded", "x-original-", "x-envoy-",   "x-azure-", "x-amzn-",
                                           "x-amz-cf-",   "cf-",         "tailscale-", "x-goog-",  "x-arr-",
                                           "x-nginx-",    "x-proxy-",    "x-real-"};
  return std::ranges::any_of(names, [&](auto one) { return equal_ignoring_case(name, one); }) ||
         std::ranges::any_of(prefixes, [&](auto one) { return equal_ignoring_case(name.substr(0, one.size()), one); });
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
  if (public_read_) return verdict::allowed;
  if (!token_.empty())
    return has_token(request) || sessions_.accepts(request.cookie, std::chrono::system_clock::now())
               ? verdict::allowed
               : verdict::token_needed;
  if (!names_this_machine(request.host)) return verdict::wrong_host;
  return request.forwarded ? verdict::forwarded : verdict::allowed;
}

verdict entry_rules::may_sign_in(const request_head& request) const {
  if (token_.empty()) {
    const verdict reading = may_read(request);
    return reading == verdict::allowed ? verdict::nobody_may_write : reading;
  }
  return has_token(request) ? verdict::allowed : verdict::token_needed;
}

verdict entry_rules::may_write(const request_head& request) const {
  const verdict with_token = may_sign_in(request);
  if (with_token != verdict::allowed) return with_token;
  return is_of_this_site(request) ? verdict::allowed : verdict::other_site;
}

std::string entry_rules::session_cookie(const request_head& request) const {
  // A browser sends Origin with every POST, and only it knows whether TLS ends at a proxy in front of us.
  return sessions_.cookie(std::chrono::system_clock::now(), request.origin.starts_with("https://"));
}

}  // namespace penstock::gallery
