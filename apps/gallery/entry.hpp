// entry: which requests may read and which may write, decided from a request's head alone.
//
//                          no token (loopback only)     token                        token and public_read
//   reading                this machine (1)             the token, or a session (2)  every request
//   writing                no request                   the token (3)                the token (3)
//
//   (1) The Host header names this machine (localhost, *.localhost, 127.0.0.0/8 or ::1), and no header shows that a
//       proxy forwarded the request. A stranger's page can make its own name resolve to 127.0.0.1 and then read what a
//       browser on this machine can read, but it cannot change the Host header (DNS rebinding). Another IP address as
//       Host means that the client connected to another machine or interface and something there forwards to us. All
//       others are refused: 421 for the name, 403 for the proxy.
//   (2) A cookie that POST /api/session gives to a browser in exchange for the token, see sign_in.hpp. It only reads:
//       a browser sends it unasked, so that a stranger's page could otherwise write with it.
//   (3) Unless the browser says that another site's page sends the request (Sec-Fetch-Site, or Origin).
//
// With a token the peer's address and the Host header decide nothing: every request that a proxy on this machine
// forwards comes from 127.0.0.1, and a proxy need not add a header.
//
// The token comes as a bearer token, or as the password of HTTP Basic with any user name. A browser that opens the page
// without either gets a page to sign in with.
#pragma once

#include <string>
#include <string_view>

#include "apps/gallery/message.hpp"
#include "apps/gallery/sign_in.hpp"

namespace penstock::gallery {

enum class verdict { allowed, token_needed, nobody_may_write, wrong_host, forwarded, other_site };

class entry_rules {
 public:
  // REQUIRES: the server listens on loopback only when there is no token.
  entry_rules(std::string token, bool public_read)
      : token_(std::move(token)), public_read_(public_read), sessions_(token_) {}

  [[nodiscard]] verdict may_read(const request_head& request) const;
  [[nodiscard]] verdict may_write(const request_head& request) const;
  // Whether the request may have a session. No check for other sites: a page cannot send the token without knowing it.
  [[nodiscard]] verdict may_sign_in(const request_head& request) const;

  // The Set-Cookie header for a request that may sign in.
  [[nodiscard]] std::string session_cookie(const request_head& request) const;

  // True iff what is sent may be kept by caches that serve other people.
  [[nodiscard]] bool is_public() const noexcept { return public_read_; }

 private:
  [[nodiscard]] bool has_token(const request_head& request) const;

  const std::string token_;  // empty: none
  const bool public_read_;
  const sign_in sessions_;
};

// The time it takes depends on the length of `given` only.
[[nodiscard]] bool equal_in_constant_time(std::string_view given, std::string_view secret) noexcept;

// True iff the Host header names this machine: localhost, *.localhost, 127.0.0.0/8 or ::1, with or without a port.
[[nodiscard]] bool names_this_machine(std::string_view host);

// True iff proxies, tunnels and content networks add a header of this name, and browsers and other clients do not.
[[nodiscard]] bool is_forwarding_header(std::string_view name) noexcept;

}  // namespace penstock::gallery
