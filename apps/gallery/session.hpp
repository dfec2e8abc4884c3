// session: one connection, from its first request to its last. Internal to the server.
//
// Nothing here blocks: what needs the disk runs on the hub's readers and writers, and the coroutine waits for it.
//
// Requests are served strictly one after the other; a client that sends the next one early (pipelining) finds its
// replies in order. Every wait for the client has a deadline, see server_limits.
//
// THREADS  Used on the hub's I/O thread only.
// ENDING   Owned by its own coroutine; it leaves the hub's sessions when that ends.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/buffer_body.hpp>
#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/parser.hpp>

#include "apps/gallery/hub.hpp"
#include "apps/gallery/message.hpp"

namespace penstock::gallery {

class session : public std::enable_shared_from_this<session> {
 public:
  enum class welcome { serve, too_many };  // too_many: says 503 and ends

  session(hub& owner, boost::asio::ip::tcp::socket socket);
  ~session();
  session(const session&) = delete;
  session& operator=(const session&) = delete;

  void start(welcome how);
  void stop();  // ends at once unless a request is in progress; then after its reply
  void cut();   // ends at once
  void wake();  // photos became visible

  // Since when the connection has waited for a request, of which not a byte has come. Nothing while it is served.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> waits_since();
  // Since when the head of a request has been incomplete. Nothing for one that may be just arriving.
  [[nodiscard]] std::optional<std::chrono::steady_clock::time_point> head_incomplete_since();

 private:
  template <typename T>
  using awaitable = boost::asio::awaitable<T>;
  using head_parser = boost::beast::http::request_parser<boost::beast::http::empty_body>;
  enum class phase { waiting, receiving_head, working, streaming };
  enum class next { another_request, end };

  awaitable<void> run(welcome how);
  // The bytes of the next request's head, all of which are at the front of the buffer; 0: the connection is over.
  awaitable<std::size_t> receive_head();
  awaitable<next> serve_one();
  awaitable<next> serve_upload(head_parser& head, upload_order order, after_reply then);
  awaitable<reply> receive_and_publish(head_parser& head, const upload_order& order, bool& body_read);
  awaitable<void> serve_events(std::int64_t after);
  void watch_for_close();

  awaitable<bool> send(const reply& answer, bool with_body, after_reply then);
  awaitable<bool> send_rest(const file_slice& slice);
  awaitable<bool> send_text(std::string_view text);
  // Says goodbye so that the client can still read the reply, although not all that it sent was read.
  awaitable<void> refuse_rest(const reply& answer, bool with_body = true);

  // From now on, or until the next call: a wait longer than this is cut short, and timed_out_ says so.
  void allow(std::chrono::milliseconds time);
  void allow_until(std::chrono::steady_clock::time_point deadline);
  void allow_any_time() noexcept { deadline_ = std::chrono::steady_clock::time_point::max(); }
  void arm_watchdog();

  hub& hub_;
  boost::asio::ip::tcp::socket socket_;
  boost::beast::flat_buffer buffer_;
  phase phase_ = phase::waiting;
  std::chrono::steady_clock::time_point phase_since_ =
      std::chrono::steady_clock::now();  // while waiting, receiving_head
  bool first_request_ = true;

  std::chrono::steady_clock::time_point deadline_ = std::chrono::steady_clock::time_point::max();
  boost::asio::steady_timer watchdog_;
  bool watchdog_armed_ = false;
  bool timed_out_ = false;

  boost::asio::steady_timer wake_timer_;  // an event stream sleeps on it
  bool woken_ = false;
  bool peer_gone_ = false;
};

}  // namespace penstock::gallery
