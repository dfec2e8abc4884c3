// sign_in: how a browser stays signed in to a gallery that has a token.
//
//   const sign_in sessions(token);
//   answer.add("Set-Cookie", sessions.cookie(now, false));
//   if (sessions.accepts(request.cookie, now)) ...
//
// The cookie holds the time at which it ends and a MAC of that time under the token: nothing is stored, a restart ends
// no session, and another token ends them all. It does not hold the token, because browsers send cookies to every
// port of a host. For the same reason its name depends on the token: two galleries on one host do not overwrite each
// other's.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace penstock::gallery {

class sign_in {
 public:
  // With an empty token nothing is accepted.
  explicit sign_in(std::string_view token);

  // The value of Set-Cookie for a session that begins now. HttpOnly: no script can read it; SameSite=Strict: no other
  // site's page makes the browser send it. `secure`: the browser must send it over TLS only.
  [[nodiscard]] std::string cookie(std::chrono::system_clock::time_point now, bool secure) const;

  // True iff a Cookie header has a session that has not ended.
  [[nodiscard]] bool accepts(std::string_view cookie_header, std::chrono::system_clock::time_point now) const;

 private:
  [[nodiscard]] std::string mac_of(std::string_view text) const;

  const std::string token_;
  const std::string name_;
};

}  // namespace penstock::gallery
