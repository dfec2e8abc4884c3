// entry: who may read and who may write, decided from a request's head alone.
//
//                          listening on loopback           listening elsewhere (needs a token to start)
//   reading                everybody (1)                   the token, or everybody with public_read
//   writing, token set     the token                       the token
//   writing, no token      nobody                          -
//
//   (1) whose Host header is this machine: localhost, *.localhost or an IP address. A page of a stranger can make its
//       own name resolve to 127.0.0.1 and then read what a browser on this machine can read, but it cannot change the
//       Host header. Another name needs the token (a proxy in front may have it), or public_read; with neither, 421.
//
// The token comes as a bearer token, or as the password of HTTP Basic with any user name, which browsers can ask for.
#pragma once

#include <string>

#include "apps/gallery/message.hpp"

namespace penstock::gallery {

enum class verdict { allowed, token_needed, nobody_may_write, wrong_host };

class entry_rules {
 public:
  entry_rules(std::string token, bool on_loopback, bool public_read)
      : token_(std::move(token)), on_loopback_(on_loopback), public_read_(public_read) {}

  [[nodiscard]] verdict may_read(const request_head& request) const;
  [[nodiscard]] verdict may_write(const request_head& request) const;

  // True iff what is sent may be kept by caches that serve other people.
  [[nodiscard]] bool is_public() const noexcept { return on_loopback_ || public_read_; }

 private:
  [[nodiscard]] bool has_token(const request_head& request) const;

  const std::string token_;  // empty: none
  const bool on_loopback_;
  const bool public_read_;
};

// The time it takes depends on the length of `given` only.
[[nodiscard]] bool equal_in_constant_time(std::string_view given, std::string_view secret) noexcept;

// True iff the Host header names this machine: localhost, *.localhost or an IP address, with or without a port.
[[nodiscard]] bool names_this_machine(std::string_view host);

}  // namespace penstock::gallery
