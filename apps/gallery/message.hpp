// message: a request and its reply, as the routes see them: nothing of sockets, nothing of Boost.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <penstock/base/unique_fd.hpp>

namespace penstock::gallery {

// Views into the connection's buffer; a header that is not there is empty.
struct request_head {
  std::string_view method;
  std::string_view target;
  std::string_view host;
  std::string_view authorization;
  std::string_view cookie;
  std::string_view accept;
  std::string_view origin;
  std::string_view sec_fetch_site;
  std::string_view content_type;
  std::string_view if_none_match;
  std::string_view if_range;
  std::string_view range;
  std::string_view last_event_id;
  std::optional<std::uint64_t> content_length;
  bool chunked = false;
  bool forwarded = false;  // has a header that proxies add, see is_forwarding_header()
};

// Part of a file. What needs the disk is done where it may block, before the reply is sent and between its parts.
struct file_slice {
  unique_fd file;  // not open when `begin` is all of the slice
  std::uint64_t offset = 0;
  std::uint64_t bytes = 0;
  std::string begin;  // the first of these bytes, already read
};

struct reply {
  int status = 200;
  std::vector<std::pair<std::string_view, std::string>> headers;
  std::variant<std::string, std::string_view, file_slice> body;  // string_view: into static storage

  [[nodiscard]] std::uint64_t body_bytes() const noexcept;
  void add(std::string_view name, std::string value) { headers.emplace_back(name, std::move(value)); }
};

// {"error": message}, not to be cached.
[[nodiscard]] reply error_reply(int status, std::string_view message);

enum class after_reply { keep_open, close };

// Status line and headers up to the empty line, the ones that every reply has included. `body_bytes`: what
// Content-Length says; none for a body that ends with the connection.
[[nodiscard]] std::string head_of(const reply& answer, std::optional<std::uint64_t> body_bytes, after_reply then);

}  // namespace penstock::gallery
