#include "apps/gallery/entry.hpp"

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

TEST(gallery_entry, this_machine_is_localhost_or_an_address) {
  for (const char* host : {"localhost", "LocalHost:8080", "gallery.localhost", "a.b.localhost:1", "127.0.0.1",
                           "127.0.0.1:80", "192.168.0.7:8080", "[::1]", "[::1]:8080", "[fe80::1]:80"})
    EXPECT_TRUE(names_this_machine(host)) << host;
  for (const char* host : {"", "example.org", "localhost.example.org", "evil-localhost", ".localhost",
                           "127.0.0.1.nip.io", "127.0.0.1:", "127.0.0.1:x", "[::1", "[::1]x", "[localhost]",
                           "localhost:80:80", "user@localhost", "127.1", "localhost:123456"})
    EXPECT_FALSE(names_this_machine(host)) << host;
}

TEST(gallery_entry, on_loopback_without_a_token_this_machine_reads_and_nobody_writes) {
  const entry_rules rules("", true, false);
  EXPECT_EQ(rules.may_read(request_with("localhost:8080")), verdict::allowed);
  EXPECT_EQ(rules.may_read(request_with("evil.example")), verdict::wrong_host);
  EXPECT_EQ(rules.may_write(request_with("localhost:8080")), verdict::nobody_may_write);
  EXPECT_EQ(rules.may_write(request_with("evil.example")), verdict::wrong_host);
  for (const char* nothing : {"Bearer ", "Bearer", "Basic Og==", "Basic "}) {
    EXPECT_EQ(rules.may_write(request_with("localhost", nothing)), verdict::nobody_may_write)
        << "an empty token is none";
  }
}

TEST(gallery_entry, on_loopback_with_a_token_this_machine_reads_and_the_token_writes) {
  const entry_rules rules(secret, true, false);
  EXPECT_EQ(rules.may_read(request_with("localhost")), verdict::allowed);
  EXPECT_EQ(rules.may_read(request_with("evil.example")), verdict::token_needed);
  EXPECT_EQ(rules.may_read(request_with("proxy.example", "Bearer a-token-for-tests-only")), verdict::allowed);
  EXPECT_EQ(rules.may_write(request_with("localhost")), verdict::token_needed);
  EXPECT_EQ(rules.may_write(request_with("localhost", "Bearer a-token-for-tests-only")), verdict::allowed);
}

TEST(gallery_entry, elsewhere_the_token_reads_and_writes) {
  const entry_rules rules(secret, false, false);
  EXPECT_EQ(rules.may_read(request_with("localhost")), verdict::token_needed);
  EXPECT_EQ(rules.may_read(request_with("photos.example", "Bearer a-token-for-tests-only")), verdict::allowed);
  EXPECT_EQ(rules.may_write(request_with("photos.example", "Bearer a-token-for-tests-only")), verdict::allowed);
  EXPECT_EQ(rules.may_write(request_with("photos.example")), verdict::token_needed);
  EXPECT_FALSE(rules.is_public());
}

TEST(gallery_entry, public_read_opens_reading_and_only_that) {
  const entry_rules rules(secret, false, true);
  EXPECT_EQ(rules.may_read(request_with("photos.example")), verdict::allowed);
  EXPECT_EQ(rules.may_write(request_with("photos.example")), verdict::token_needed);
  EXPECT_TRUE(rules.is_public());
}

TEST(gallery_entry, the_token_is_a_bearer_token_or_the_password_of_any_user) {
  const entry_rules rules(secret, false, false);
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
