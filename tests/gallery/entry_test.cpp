#include "apps/gallery/entry.hpp"

#include <chrono>
#include <ostream>

#include <gtest/gtest.h>

namespace penstock::gallery {

std::ostream& operator<<(std::ostream& out, verdict v) {
  switch (v) {
    case verdict::allowed:
      return out << "allowed";
    case verdict::token_needed:
      return out << "token needed";
    case verdict::nobody_may_write:
      return out << "nobody may write";
    case verdict::wrong_host:
      return out << "wrong host";
    case verdict::forwarded:
      return out << "forwarded";
    case verdict::other_site:
      return out << "other site";
  }
  return out;
}

namespace {

constexpr const char* secret = "a-token-for-tests-only";

request_head request_with(std::string_view host, std::string_view authorization = "") {
  request_head request;
  request.host = host;
  request.authorization = authorization;
  return request;
}

TEST(gallery_entry, this_machine_is_localhost_or_a_loopback_address) {
  for (const char* host : {"localhost", "LocalHost:8080", "gallery.localhost", "a.b.localhost:1", "127.0.0.1",
                           "127.0.0.1:80", "127.8.9.10", "[::1]", "[::1]:8080", "[0:0:0:0:0:0:0:1]"})
    EXPECT_TRUE(names_this_machine(host)) << host;
  for (const char* host : {"",
                           "example.org",
                           "localhost.example.org",
                           "evil-localhost",
                           ".localhost",
                           "127.0.0.1.nip.io",
                           "127.0.0.1:",
                           "127.0.0.1:x",
                           "[::1",
                           "[::1]x",
                           "[localhost]",
                           "localhost:80:80",
                           "user@localhost",
                           "127.1",
                           "localhost:123456",
                           "192.168.0.7:8080",
                           "10.0.0.1",
                           "0.0.0.0",
                           "0.0.0.0:8080",
                           "203.0.113.9",
                           "128.0.0.1",
                           "[fe80::1]:80",
                           "[::]",
                           "[::2]",
                           "[2001:db8::1]",
                           "[::ffff:192.168.0.7]",
                           "2130706433",
                           "0x7f.0.0.1",
                           "::1"})
    EXPECT_FALSE(names_this_machine(host)) << host;
}

TEST(gallery_entry, without_a_token_this_machine_reads_and_no_request_writes) {
  const entry_rules rules("", false);
  EXPECT_EQ(rules.may_read(request_with("localhost:8080")), verdict::allowed);
  EXPECT_EQ(rules.may_read(request_with("evil.example")), verdict::wrong_host);
  EXPECT_EQ(rules.may_read(request_with("192.168.0.7")), verdict::wrong_host);
  EXPECT_EQ(rules.may_write(request_with("localhost:8080")), verdict::nobody_may_write);
  EXPECT_EQ(rules.may_write(request_with("evil.example")), verdict::wrong_host);
  for (const char* nothing : {"Bearer ", "Bearer", "Basic Og==", "Basic "}) {
    EXPECT_EQ(rules.may_write(request_with("localhost", nothing)), verdict::nobody_may_write)
        << "an empty token is none";
    EXPECT_EQ(rules.may_sign_in(request_with("localhost", nothing)), verdict::nobody_may_write);
  }
  auto forwarded = request_with("localhost");
  forwarded.forwarded = true;
  EXPECT_EQ(rules.may_read(forwarded), verdict::forwarded);
  EXPECT_EQ(rules.may_write(forwarded), verdict::forwarded);
}

TEST(gallery_entry, a_header_that_proxies_add_is_known_in_any_case) {
  for (const char* name : {"Forwarded", "X-Forwarded-For", "x-forwarded-host", "X-FORWARDED-PROTO", "X-Forwarded",
                           "X-Real-IP", "Via", "CF-Connecting-IP", "CF-Ray", "True-Client-IP", "X-Client-IP",
                           "X-Cluster-Client-IP", "Fastly-Client-IP", "Fly-Client-IP", "X-Original-Forwarded-For",
                           "X-Envoy-External-Address", "CDN-Loop", "Tailscale-User-Login", "X-Amzn-Trace-Id"})
    EXPECT_TRUE(is_forwarding_header(name)) << name;
  for (const char* name : {"Host", "Accept", "Cookie", "Origin", "Referer", "User-Agent", "Connection", "Range",
                           "Viable", "X-Requested-With", "Sec-Fetch-Site", "Authorization", "X", "", "Cache-Control"})
    EXPECT_FALSE(is_forwarding_header(name)) << name;
}

TEST(gallery_entry, with_a_token_neither_host_nor_loopback_is_enough) {
  const entry_rules rules(secret, false);
  for (const char* host : {"localhost", "127.0.0.1:8080", "[::1]", "evil.example", ""}) {
    EXPECT_EQ(rules.may_read(request_with(host)), verdict::token_needed) << host;
    EXPECT_EQ(rules.may_write(request_with(host)), verdict::token_needed) << host;
    EXPECT_EQ(rules.may_read(request_with(host, "Bearer a-token-for-tests-only")), verdict::allowed) << host;
    EXPECT_EQ(rules.may_write(request_with(host, "Bearer a-token-for-tests-only")), verdict::allowed) << host;
  }
  EXPECT_FALSE(rules.is_public());
}

TEST(gallery_entry, public_read_opens_reading_and_only_that) {
  const entry_rules rules(secret, true);
  EXPECT_EQ(rules.may_read(request_with("photos.example")), verdict::allowed);
  EXPECT_EQ(rules.may_write(request_with("photos.example")), verdict::token_needed);
  EXPECT_TRUE(rules.is_public());
}

TEST(gallery_entry, a_page_of_another_site_does_not_write) {
  const entry_rules rules(secret, false);
  const auto write = [&](const char* host, const char* origin, const char* site) {
    auto request = request_with(host, "Bearer a-token-for-tests-only");
    request.origin = origin;
    request.sec_fetch_site = site;
    return rules.may_write(request);
  };
  EXPECT_EQ(write("photos.example", "", ""), verdict::allowed) << "a program";
  EXPECT_EQ(write("photos.example", "http://photos.example", ""), verdict::allowed);
  EXPECT_EQ(write("photos.example:8080", "http://Photos.example:8080", ""), verdict::allowed);
  EXPECT_EQ(write("127.0.0.1:8080", "https://photos.example", "same-origin"), verdict::allowed)
      << "a proxy has changed the Host header";
  EXPECT_EQ(write("photos.example", "https://photos.example", "none"), verdict::allowed);
  for (const char* origin : {"http://evil.example", "null", "http://photos.example:81", "photos.example", "http://"})
    EXPECT_EQ(write("photos.example", origin, ""), verdict::other_site) << origin;
  for (const char* site : {"cross-site", "same-site", "x"})
    EXPECT_EQ(write("photos.example", "", site), verdict::other_site) << site;
}

TEST(gallery_entry, a_session_reads_until_it_ends_or_the_token_changes) {
  const sign_in sessions(secret), others("another-token-for-tests");
  const auto now = std::chrono::system_clock::now();
  const auto pair_of = [](const std::string& cookie) { return cookie.substr(0, cookie.find(';')); };
  const std::string good = pair_of(sessions.cookie(now, false));
  EXPECT_TRUE(sessions.accepts(good, now));
  EXPECT_TRUE(sessions.accepts("a=b; " + good + "; c=d", now));
  EXPECT_TRUE(sessions.accepts(good, now + std::chrono::hours(24 * 29)));
  EXPECT_FALSE(sessions.accepts(good, now + std::chrono::hours(24 * 31)));
  EXPECT_FALSE(others.accepts(good, now));
  EXPECT_FALSE(sign_in("").accepts(pair_of(sign_in("").cookie(now, false)), now)) << "no token, no session";
  std::string later = good;
  ++later[later.find('=') + 1];
  for (const std::string& bad : {std::string(), std::string("="), later, good.substr(0, good.size() - 1), good + "0",
                                 good.substr(0, good.find('=') + 1), good.substr(0, good.find('-', good.find('='))),
                                 "x" + good, good.substr(good.find('=') + 1)})
    EXPECT_FALSE(sessions.accepts(bad, now)) << bad;
  const entry_rules rules(secret, false);
  auto request = request_with("localhost");
  request.cookie = good;
  EXPECT_EQ(rules.may_read(request), verdict::allowed);
  EXPECT_EQ(rules.may_write(request), verdict::token_needed) << "a browser sends a cookie unasked";
  EXPECT_EQ(rules.may_sign_in(request), verdict::token_needed) << "a session cannot make itself longer";
}

TEST(gallery_entry, the_token_is_a_bearer_token_or_the_password_of_any_user) {
  const entry_rules rules(secret, false);
  // printf 'anna:a-token-for-tests-only' | base64; ':a-token-for-tests-only'; and with another password
  for (const char* good : {"Bearer a-token-for-tests-only", "bearer a-token-for-tests-only",
                           "BEARER  a-token-for-tests-only", "Basic YW5uYTphLXRva2VuLWZvci10ZXN0cy1vbmx5",
                           "basic OmEtdG9rZW4tZm9yLXRlc3RzLW9ubHk=", "Basic OmEtdG9rZW4tZm9yLXRlc3RzLW9ubHk"})
    EXPECT_EQ(rules.may_write(request_with("h", good)), verdict::allowed) << good;
  for (const char* bad : {"", "Bearer", "Bearer ", "Bearer a-token-for-tests-onl", "Bearer a-token-for-tests-onlyy",
                          "Bearer A-token-for-tests-only", "Bearera-token-for-tests-only", "a-token-for-tests-only",
                          "Basic a-token-for-tests-only", "Basic YW5uYTp4", "Basic !!!!", "Basic",
                          "Digest a-token-for-tests-only", "Bearer a-token-for-tests-onlya-token-for-tests-only"})
    EXPECT_EQ(rules.may_write(request_with("h", bad)), verdict::token_needed) << bad;
}

}  // namespace
}  // namespace penstock::gallery
