// hub: what the connections of one server share. Internal to the server.
//
// THREADS  Everything is used on the thread that runs `io`, except where it says otherwise.
#pragma once

#include <atomic>
#include <cstdint>
#include <unordered_set>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>

#include "apps/gallery/changes.hpp"
#include "apps/gallery/entry.hpp"
#include "apps/gallery/routes.hpp"
#include "apps/gallery/server.hpp"
#include "apps/gallery/store.hpp"

namespace penstock::gallery {

class session;

class hub {
 public:
  hub(store& photos, server_options chosen);

  store& gallery;
  const server_options options;
  const server_limits& limits = options.limits;
  const entry_rules entry;
  const routes addresses;
  boost::asio::io_context io{1};
  // Calls that may block run here, never on the I/O thread. Two pools: uploads that wait for a slow disk delay no reader.
  boost::asio::thread_pool readers;
  boost::asio::thread_pool writers;

  std::unordered_set<session*> sessions;
  std::size_t open_connections = 0;  // those of the sessions that are not closed yet
  // Closes the connection that has waited longest for a request, to make room for another one; if none waits, the one
  // that has been sending a request's head longest. Never one that is served, uploads or streams. False: there is none.
  bool close_longest_idle();
  bool stopping = false;
  boost::asio::steady_timer grace{io};  // runs while stopping and sessions are left

  // A share of the uploads that may be in progress; empty when there is none left.
  class upload_permit {
   public:
    upload_permit() noexcept = default;
    upload_permit(upload_permit&& other) noexcept
        : owner_(std::exchange(other.owner_, nullptr)), bytes_(other.bytes_) {}
    upload_permit& operator=(upload_permit&&) = delete;
    ~upload_permit();
    explicit operator bool() const noexcept { return owner_ != nullptr; }

   private:
    friend class hub;
    upload_permit(hub& owner, std::uint64_t bytes) noexcept;
    hub* owner_ = nullptr;
    std::uint64_t bytes_ = 0;
  };
  [[nodiscard]] upload_permit permit_upload(std::uint64_t bytes);

  // While a session is among the streams, it is woken when photos become visible. False: there are too many already.
  [[nodiscard]] bool add_stream(session& stream);
  void remove_stream(session& stream);

 private:
  void wake_streams();

  std::size_t uploads_ = 0;
  std::uint64_t upload_bytes_ = 0;
  std::unordered_set<session*> streams_;
  std::atomic<bool> wake_posted_ = false;  // so that a burst of photos posts one wake-up
  changes::subscription subscription_;     // while there are streams: then, and only then, the store looks for changes
};

}  // namespace penstock::gallery
