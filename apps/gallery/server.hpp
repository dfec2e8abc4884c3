// server: a gallery over HTTP: its page, its photos, live events, and uploads.
//
//   gallery::store photos("/srv/gallery");
//   gallery::server server(photos, {.token = token});
//   std::cout << server.url();
//   ...
//   server.stop();
//
// THREADS  One thread does all network traffic and never waits for a disk. `limits.readers` threads read the database
//          and the files, `limits.writers` threads check and publish uploads. port(), url() and stop() may be called from
//          any thread but the server's own, at the same time.
// ENDING   stop() accepts no more, closes event streams and connections that wait for a request, lets requests in
//          progress finish for limits.stop, then cuts them. A photo that is being published then still becomes visible.
//          It returns when all is over; later calls return at once. The destructor calls it.
// MEMORY   limits.connections * 192 KiB, and twice limits.upload_bytes at the very most: bodies are received in place,
//          a file is read in parts of 128 KiB, and an event stream holds no backlog: what a client has not been sent yet
//          is read from the store when it is ready for more.
// COST     Idle: nothing. No timer runs unless somebody is connected.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "apps/gallery/photo.hpp"
#include "apps/gallery/store.hpp"

namespace penstock::gallery {

struct server_limits {
  std::uint64_t body_bytes = 64 << 20;     // of one upload; above: 413
  std::uint64_t upload_bytes = 256 << 20;  // of all uploads in progress together; above: 503
  std::size_t uploads = 8;                 // in progress; above: 503
  std::size_t connections = 256;           // above: the longest idle one is closed; if none is idle: 503
  std::size_t event_streams = 128;         // of the connections; above: 503
  std::size_t readers = 8;                 // threads that read the database and the files
  std::size_t writers = 4;                 // threads that publish

  std::chrono::milliseconds header{10'000};       // from the first byte of a request to the end of its head
  std::chrono::milliseconds idle{60'000};         // a connection without a request
  std::chrono::milliseconds body_pause{30'000};   // no byte of a body
  std::chrono::milliseconds body_total{600'000};  // one body
  std::chrono::milliseconds write_pause{30'000};  // a client that reads nothing
  std::chrono::milliseconds heartbeat{15'000};    // a comment on a quiet event stream
  std::chrono::milliseconds stop{5'000};
};

struct dimensions {
  int width = 0;
  int height = 0;
  friend bool operator==(const dimensions&, const dimensions&) = default;
};

struct server_options {
  std::string address = "127.0.0.1";  // an IP address, or localhost
  std::uint16_t port = 8080;          // 0: any that is free
  std::string token;                  // empty: nobody may upload, and only loopback is listened on
  bool public_read = false;           // reading elsewhere than on loopback needs no token
  // The pixels that an uploaded file really has; throws when it cannot be decoded. Called on several threads at the
  // same time. Where it contradicts what the upload says, the upload is refused. Empty: the upload is believed.
  std::function<dimensions(const rendition&)> measure;
  server_limits limits;
};

class server {
 public:
  // Listens from here on. `gallery` outlives the server. Throws std::runtime_error that says what to do: the address is
  // in use or is none, or it is not loopback and there is no token.
  server(store& gallery, server_options options);
  ~server();
  server(const server&) = delete;
  server& operator=(const server&) = delete;

  [[nodiscard]] std::uint16_t port() const noexcept;
  [[nodiscard]] std::string url() const;  // "http://127.0.0.1:8080/"

  void stop() noexcept;

 private:
  class running;
  std::unique_ptr<running> running_;
};

}  // namespace penstock::gallery
