// routes: what is asked for, and the answer.
//
// THREADS  Every member may be called at the same time.
#pragma once

#include <cstdint>
#include <exception>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "apps/gallery/entry.hpp"
#include "apps/gallery/message.hpp"
#include "apps/gallery/store.hpp"

namespace penstock::gallery {

// The request is allowed and well-formed; its body is to be read and published.
struct upload_order {
  std::string id;
  std::uint64_t bytes = 0;
};

// The request asks for events, from the first photo after this sequence on.
struct stream_order {
  std::int64_t after = 0;
};

// The reply needs the disk: it is what answer() returns, which may block.
struct disk_order {};

class routes {
 public:
  // Both outlive the routes.
  routes(store& gallery, const entry_rules& entry, std::uint64_t body_limit)
      : gallery_(gallery), entry_(entry), body_limit_(body_limit) {}

  // The part that never blocks: access, and the page from memory.
  // Neither function throws: what goes wrong inside is a reply too. For HEAD the reply is that of GET: its body is not
  // to be sent.
  [[nodiscard]] std::variant<reply, upload_order, disk_order> decide(const request_head& request) const noexcept;

  // The rest. REQUIRES: decide() returned disk_order for this request.
  [[nodiscard]] std::variant<reply, stream_order> answer(const request_head& request) const noexcept;

  // The reply to an upload that ended well. May block.
  [[nodiscard]] reply published(publish_result result, std::string_view id) const;

  // With what every reply of a gallery that is not public says to caches. answer(), decide() and published() have it.
  [[nodiscard]] reply finished(reply answer) const;

 private:
  [[nodiscard]] std::variant<reply, upload_order, disk_order> route(const request_head& request) const;
  [[nodiscard]] std::variant<reply, stream_order> look_up(const request_head& request) const;
  [[nodiscard]] reply refusal(verdict why, const request_head& request) const;
  [[nodiscard]] reply session(const request_head& request) const;
  [[nodiscard]] std::variant<reply, upload_order, disk_order> upload(const request_head& request,
                                                                     std::string_view id) const;
  [[nodiscard]] std::variant<reply, stream_order> events(const request_head& request, std::string_view query) const;
  [[nodiscard]] std::string forever() const;  // Cache-Control for bytes that never change
  [[nodiscard]] reply page_part(const request_head& request, std::string_view path) const;
  [[nodiscard]] reply photos(std::string_view query) const;
  [[nodiscard]] reply one_photo(std::string_view id) const;
  [[nodiscard]] reply rendition_file_reply(const request_head& request, std::string_view rest) const;

  store& gallery_;
  const entry_rules& entry_;
  const std::uint64_t body_limit_;
};

// How much of a file is read at a time.
inline constexpr std::size_t file_part_bytes = std::size_t{128} * 1024;

// The events for these photos, as text/event-stream.
[[nodiscard]] std::string events_of(const std::vector<published_photo>& photos);

// The reply for a failure to publish.
[[nodiscard]] reply failure_reply(const std::exception_ptr& failure) noexcept;

}  // namespace penstock::gallery
