#include "apps/gallery/sign_in.hpp"

#include <algorithm>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "apps/gallery/entry.hpp"
#include "apps/gallery/ranges.hpp"

namespace penstock::gallery {
namespace {

constexpr std::chrono::seconds session_length = std::chrono::hours(24 * 30);

std::int64_t seconds_of(std::chrono::system_clock::time_point time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

sign_in::sign_in(std::string_view token) : token_(token), name_("penstock-" + mac_of("name").substr(0, 8)) {}

std::string sign_in::mac_of(std::string_view text) const {
  const std::string purpose = "penstock gallery session: " + std::string(text);
  unsigned char mac[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (::HMAC(::EVP_sha256(), token_.data(), static_cast<int>(token_.size()),
             reinterpret_cast<const unsigned char*>(purpose.data()), purpose.size(), mac, &size) == nullptr)
    throw std::runtime_error("HMAC-SHA-256 is not available from OpenSSL on this machine");
  constexpr char digits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned int i = 0; i < size; ++i) {
    hex += digits[mac[i] >> 4];
    hex += digits[mac[i] & 15];
  }
  return hex;
}

std::string sign_in::cookie(std::chrono::system_clock::time_point now, bool secure) const {
  const std::string end = std::to_string(seconds_of(now + session_length));
  return name_ + '=' + end + '-' + mac_of(end) + "; Path=/; Max-Age=" + std::to_string(session_length.count()) +
         "; HttpOnly; SameSite=Strict" + (secure ? "; Secure" : "");
}

bool sign_in::accepts(std::string_view cookie_header, std::chrono::system_clock::time_point now) const {
  if (token_.empty()) return false;
  while (!cookie_header.empty()) {
    const auto length = std::min(cookie_header.find(';'), cookie_header.size());
    auto pair = cookie_header.substr(0, length);
    cookie_header.remove_prefix(std::min(length + 1, cookie_header.size()));
    pair.remove_prefix(std::min(pair.find_first_not_of(' '), pair.size()));
    if (!pair.starts_with(name_) || pair.substr(name_.size(), 1) != "=") continue;
    const auto value = pair.substr(name_.size() + 1);
    const auto dash = std::min(value.find('-'), value.size());
    const auto end = value.substr(0, dash);
    // The MAC first: nothing else of the cookie is believed before it.
    if (dash < value.size() && equal_in_constant_time(value.substr(dash + 1), mac_of(end)) &&
        parse_number(end) > seconds_of(now))
      return true;
  }
  return false;
}

}  // namespace penstock::gallery
