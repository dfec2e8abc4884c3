// client: a gallery server as a target.
//
//   gallery::client there("https://photos.example.org/", {.token = token});
//   if (!there.contains(id)) there.publish(item);
//
// Errors are of two types, so that a stage's retry policy can tell them apart:
//   retryable_error  nobody answered, the connection broke, or the server said 408, 429, 500 or above
//   permanent_error  the server refused: another try would be refused again
// Trying again is always safe: publishing twice is publishing once.
//
// THREADS  Every member may be called at the same time. Connections are kept and reused, as many as callers at once.
// MEMORY   A photo is sent from where it is; only its JSON line is made.
// ENDING   No limit on the whole: a slow line is not an error. An attempt to connect ends after 10 s, a transfer in
// which
//          nothing moves after 30 s.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <penstock/base/mutex.hpp>

#include "apps/gallery/target.hpp"

namespace penstock::gallery {

class retryable_error : public std::runtime_error {
 public:
  explicit retryable_error(const std::string& message, std::optional<std::chrono::seconds> wait = std::nullopt,
                           long status = 0)
      : std::runtime_error(message), wait_(wait), status_(status) {}

  // How long the server asked to be left alone.
  [[nodiscard]] std::optional<std::chrono::seconds> wait() const noexcept { return wait_; }
  // The HTTP status; 0: there was no reply.
  [[nodiscard]] long status() const noexcept { return status_; }

 private:
  std::optional<std::chrono::seconds> wait_;
  long status_;
};

class permanent_error : public std::runtime_error {
 public:
  explicit permanent_error(const std::string& message, long status = 0)
      : std::runtime_error(message), status_(status) {}
  // The HTTP status; 0: there was no reply.
  [[nodiscard]] long status() const noexcept { return status_; }

 private:
  long status_;
};

struct client_options {
  std::string token;  // may be empty: then the server will not let us publish
  std::chrono::seconds connect_timeout{10};
  std::chrono::seconds stall_timeout{30};
};

class client final : public target {
 public:
  // `address`: http:// or https://, of the page. Throws std::runtime_error for one that cannot be a gallery's.
  explicit client(std::string address, client_options options = {});
  ~client() override;

  bool contains(std::string_view id) override;
  publish_result publish(const photo& item) override;  // also throws invalid_photo, before anything is sent
  [[nodiscard]] std::string name() const override { return base_; }
  // Asks whether photos would be taken, before the work of making them. Throws what publish() would throw if nobody
  // answers, or the token is not the gallery's.
  void check_access();

 private:
  class connection;
  class borrowed;

  [[nodiscard]] borrowed borrow() PENSTOCK_EXCLUDES(mutex_);
  [[nodiscard]] std::string address_of(std::string_view id) const;

  std::string base_;  // constant after construction; ends with '/'
  const client_options options_;
  bool bypass_proxy_ = false;  // constant after construction

  mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<connection>> idle_ PENSTOCK_GUARDED_BY(mutex_);
};

}  // namespace penstock::gallery
