#include "apps/gallery/session.hpp"

#include <algorithm>
#include <array>
#include <exception>
#include <type_traits>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/http/read.hpp>

#include "apps/gallery/bundle.hpp"
#include "apps/gallery/disk.hpp"
#include "apps/gallery/entry.hpp"
#include "apps/gallery/framing.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::gallery {
namespace {

namespace net = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;
using std::chrono::steady_clock;

constexpr std::size_t buffer_bytes = std::size_t{64} * 1024;
constexpr std::uint32_t head_bytes = 16 * 1024;
constexpr std::size_t send_bytes = std::size_t{256} * 1024;  // at a time; then it is somebody else's turn
constexpr int stream_send_buffer_bytes =
    64 * 1024;  // of the kernel: how far an event stream may run ahead of its reader
constexpr std::size_t events_at_a_time = 32;
constexpr std::chrono::milliseconds goodbye(2'000);
constexpr std::chrono::milliseconds slow_head(1'000);  // a head that takes longer than this is not just arriving

constexpr auto awaited = net::as_tuple(net::use_awaitable);

std::string_view view(boost::beast::string_view text) { return {text.data(), text.size()}; }

// Runs `work` on one of the pool's threads, and the caller again on its own.
template <typename Work>
net::awaitable<std::invoke_result_t<Work&>> on_pool(net::thread_pool& pool, Work work) {
  auto task = [](Work inner) -> net::awaitable<std::invoke_result_t<Work&>> { co_return inner(); };
  co_return co_await net::co_spawn(pool, task(std::move(work)), net::use_awaitable);
}

publish_result check_and_publish(hub& owner, const photo& item) {
  if (owner.options.measure)
    for (const auto& r : item.renditions) {
      dimensions real;
      try {
        real = owner.options.measure(r);
      } catch (const std::exception& wrong) {
        throw invalid_photo("the rendition of width " + std::to_string(r.width) +
                            " cannot be decoded: " + wrong.what());
      }
      if (real != dimensions{r.width, r.height})
        throw invalid_photo("a rendition said to be " + std::to_string(r.width) + " x " + std::to_string(r.height) +
                            " pixels has " + std::to_string(real.width) + " x " + std::to_string(real.height));
    }
  return owner.gallery.publish(item);
}

reply busy_reply(std::string_view what) {
  auto answer = error_reply(503, what);
  answer.add("Retry-After", "2");
  return answer;
}

template <typename Fields>
request_head head_of_request(const Fields& fields, const boost::optional<std::uint64_t>& content_length) {
  request_head head;
  head.method = view(fields.method_string());
  head.target = view(fields.target());
  head.host = view(fields[http::field::host]);
  head.authorization = view(fields[http::field::authorization]);
  head.cookie = view(fields[http::field::cookie]);
  head.accept = view(fields[http::field::accept]);
  head.origin = view(fields[http::field::origin]);
  head.sec_fetch_site = view(fields["Sec-Fetch-Site"]);
  head.content_type = view(fields[http::field::content_type]);
  head.if_none_match = view(fields[http::field::if_none_match]);
  head.if_range = view(fields[http::field::if_range]);
  head.range = view(fields[http::field::range]);
  head.last_event_id = view(fields["Last-Event-ID"]);
  if (content_length) head.content_length = *content_length;
  head.chunked = fields.chunked();
  head.forwarded =
      std::ranges::any_of(fields, [](const auto& one) { return is_forwarding_header(view(one.name_string())); });
  return head;
}

}  // namespace

session::session(hub& owner, net::ip::tcp::socket socket)
    : hub_(owner), socket_(std::move(socket)), buffer_(buffer_bytes), watchdog_(owner.io), wake_timer_(owner.io) {
  hub_.sessions.insert(this);
  ++hub_.open_connections;
}

session::~session() {
  hub_.sessions.erase(this);
  if (hub_.stopping && hub_.sessions.empty()) hub_.grace.cancel();
}

void session::start(welcome how) {
  net::co_spawn(
      hub_.io, [self = shared_from_this(), how] { return self->run(how); },
      [self = shared_from_this()](const std::exception_ptr&) {
        // Whatever ended the coroutine ended this connection only.
        self->cut();
        self->watchdog_.cancel();
        self->wake_timer_.cancel();
      });
}

void session::stop() {
  switch (phase_) {
    case phase::waiting:
    case phase::streaming:
      cut();
      break;
    case phase::receiving_head:
    case phase::working:
      break;  // serve_one() asks hub::stopping before the next request
  }
}

void session::cut() {
  if (!std::exchange(peer_gone_, true)) --hub_.open_connections;
  error_code ignored;
  socket_.close(ignored);
  wake_timer_.cancel();
}

std::optional<steady_clock::time_point> session::waits_since() {
  if (peer_gone_ || phase_ != phase::waiting) return std::nullopt;
  error_code failure;
  // A request that has arrived and was not looked at yet is one that is served.
  if (socket_.available(failure) > 0) return std::nullopt;
  return phase_since_;
}

std::optional<steady_clock::time_point> session::head_incomplete_since() {
  if (peer_gone_ || phase_ != phase::receiving_head || steady_clock::now() - phase_since_ < slow_head)
    return std::nullopt;
  return phase_since_;
}

void session::wake() {
  woken_ = true;
  wake_timer_.cancel();
}

void session::allow(std::chrono::milliseconds time) { allow_until(steady_clock::now() + time); }

void session::allow_until(steady_clock::time_point deadline) {
  timed_out_ = false;
  deadline_ = deadline;
  // One timer, moved only when it would come too late: most waits end long before it, and setting it each time costs.
  if (!watchdog_armed_ || deadline_ < watchdog_.expiry()) arm_watchdog();
}

void session::arm_watchdog() {
  watchdog_.expires_at(deadline_);
  watchdog_armed_ = true;
  watchdog_.async_wait([self = shared_from_this()](error_code failure) {
    if (failure) return;  // set anew, or the session has ended
    self->watchdog_armed_ = false;
    if (self->deadline_ == steady_clock::time_point::max()) return;
    if (steady_clock::now() < self->deadline_) return self->arm_watchdog();
    self->timed_out_ = true;
    error_code ignored;
    self->socket_.cancel(ignored);
  });
}

session::awaitable<void> session::run(welcome how) {
  error_code ignored;
  socket_.set_option(net::ip::tcp::no_delay(true), ignored);
  socket_.native_non_blocking(true, ignored);
  if (how == welcome::too_many) {
    phase_ = phase::working;
    const reply answer = busy_reply("too many connections: try again");
    co_await refuse_rest(answer);
    co_return;
  }
  for (;;) {
    const next then = co_await serve_one();
    if (then == next::end) co_return;
  }
}

session::awaitable<std::size_t> session::receive_head() {
  phase_ = phase::waiting;
  phase_since_ = steady_clock::now();
  allow(std::exchange(first_request_, false) ? hub_.limits.header : hub_.limits.idle);
  for (std::size_t searched = 0;;) {
    const std::string_view text(static_cast<const char*>(buffer_.data().data()), buffer_.size());
    if (!text.empty() && phase_ == phase::waiting) {
      phase_ = phase::receiving_head;
      phase_since_ = steady_clock::now();
      allow(hub_.limits.header);
    }
    constexpr std::string_view end = "\r\n\r\n";
    const auto found = text.find(end, searched);
    if (found != std::string_view::npos && found + end.size() <= head_bytes) co_return found + end.size();
    if (text.size() >= head_bytes) {
      const reply answer =
          error_reply(431, "the head of the request is longer than " + std::to_string(head_bytes) + " bytes");
      co_await refuse_rest(answer);
      co_return 0;
    }
    searched = text.size() - std::min(text.size(), end.size() - 1);
    const auto room = buffer_.prepare(4096);
    const auto [failure, bytes] = co_await socket_.async_read_some(room, awaited);
    if (failure) {
      if (timed_out_ && phase_ == phase::receiving_head) {
        const reply answer = error_reply(408, "the request took too long to arrive");
        co_await refuse_rest(answer);
      }
      co_return 0;
    }
    buffer_.commit(bytes);
  }
}

session::awaitable<session::next> session::serve_one() {
  if (hub_.stopping) co_return next::end;
  const std::size_t head_size = co_await receive_head();
  if (head_size == 0) co_return next::end;
  phase_ = phase::working;
  head_parser parser;
  parser.header_limit(head_bytes);
  parser.body_limit(boost::none);  // the routes have their own, with a reply that says what to do
  {
    const std::string_view text(static_cast<const char*>(buffer_.data().data()), head_size);
    std::string wrong;
    error_code failure;
    if (const auto fault = framing_fault(text))
      wrong = *fault;
    else if (parser.put(net::buffer(text), failure); failure)
      wrong = "this is not HTTP/1.1: " + failure.message();
    else if (!parser.is_header_done())
      wrong = "the head of the request is incomplete";
    if (!wrong.empty()) {
      const reply answer = error_reply(400, wrong);
      co_await refuse_rest(answer);
      co_return next::end;
    }
    buffer_.consume(head_size);
  }
  const auto& message = parser.get();
  const request_head head = head_of_request(message, parser.content_length());
  const bool has_body = head.chunked || head.content_length.value_or(0) > 0;
  const bool with_body = head.method != "HEAD";
  // A body that nobody reads would be taken for the next request.
  const auto then = message.keep_alive() && !hub_.stopping ? after_reply::keep_open : after_reply::close;

  if (message.count(http::field::host) != 1 && (message.version() == 11 || message.count(http::field::host) > 1)) {
    const reply answer = error_reply(400, "a request has exactly one Host header");
    co_await refuse_rest(answer, with_body);
    co_return next::end;
  }
  if (message.count(http::field::authorization) > 1) {
    const reply answer = error_reply(400, "a request has at most one Authorization header");
    co_await refuse_rest(answer, with_body);
    co_return next::end;
  }
  auto decided = hub_.addresses.decide(head);
  if (auto* order = std::get_if<upload_order>(&decided)) {
    const next after = co_await serve_upload(parser, std::move(*order), then);
    co_return after;
  }
  reply answer;
  if (auto* known = std::get_if<reply>(&decided)) {
    answer = std::move(*known);
  } else {
    allow_any_time();  // the disk may be slow
    auto look_up = [this, &head] { return hub_.addresses.answer(head); };
    auto found = co_await on_pool(hub_.readers, look_up);
    if (const auto* order = std::get_if<stream_order>(&found)) {
      co_await serve_events(order->after);
      co_return next::end;
    }
    answer = std::get<reply>(std::move(found));
  }
  if (has_body) {
    co_await refuse_rest(answer, with_body);
    co_return next::end;
  }
  const bool sent = co_await send(answer, with_body, then);
  co_return sent&& then == after_reply::keep_open ? next::another_request : next::end;
}

session::awaitable<session::next> session::serve_upload(head_parser& head, upload_order order, after_reply then) {
  const auto permit = hub_.permit_upload(order.bytes);
  std::optional<reply> refused;
  const auto expectation = view(head.get()[http::field::expect]);
  if (!permit)
    refused = busy_reply("too many uploads are in progress: try again");
  else if (!expectation.empty() && !boost::beast::iequals(head.get()[http::field::expect], "100-continue"))
    refused = error_reply(417, "the only expectation that can be met is 100-continue");
  if (refused) {
    co_await refuse_rest(*refused);
    co_return next::end;
  }
  if (!expectation.empty() && head.get().version() == 11) {
    const bool sent = co_await send_text("HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return next::end;
  }
  bool body_read = false;
  const reply answer = co_await receive_and_publish(head, order, body_read);
  if (!body_read) {
    co_await refuse_rest(answer);
    co_return next::end;
  }
  const bool sent = co_await send(answer, true, then);
  co_return sent&& then == after_reply::keep_open ? next::another_request : next::end;
}

session::awaitable<reply> session::receive_and_publish(head_parser& head, const upload_order& order, bool& body_read) {
  http::request_parser<http::buffer_body> parser(std::move(head));
  parser.body_limit(order.bytes);
  photo item;
  std::exception_ptr wrong;
  try {
    bundle_decoder decoder(order.id, order.bytes);
    const auto chunk = std::make_unique<std::array<std::byte, buffer_bytes>>();
    const auto latest = steady_clock::now() + hub_.limits.body_total;
    while (!parser.is_done()) {
      auto& body = parser.get().body();
      body.data = chunk->data();
      body.size = chunk->size();
      allow_until(std::min(latest, steady_clock::now() + hub_.limits.body_pause));
      const auto [failure, bytes] = co_await http::async_read_some(socket_, buffer_, parser, awaited);
      if (failure && failure != http::error::need_buffer) {
        if (timed_out_) co_return error_reply(408, "the photo took too long to arrive");
        co_return error_reply(400, "the photo did not arrive in full");
      }
      decoder.feed({chunk->data(), chunk->size() - body.size});
    }
    body_read = true;
    item = decoder.finish();
  } catch (...) {
    wrong = std::current_exception();
  }
  if (wrong) co_return failure_reply(wrong);

  allow_any_time();  // now the disk may be slow, and what is being published cannot be cut
  auto work = [this, &item]() noexcept -> reply {
    try {
      return hub_.addresses.published(check_and_publish(hub_, item), item.id);
    } catch (...) {
      return failure_reply(std::current_exception());
    }
  };
  reply answer = co_await on_pool(hub_.writers, work);
  co_return answer;
}

session::awaitable<void> session::serve_events(std::int64_t after) {
  if (!hub_.add_stream(*this)) {
    const reply answer = busy_reply("too many event streams are open: try again");
    co_await refuse_rest(answer);
    co_return;
  }
  struct membership {
    session& stream;
    ~membership() { stream.hub_.remove_stream(stream); }
  } const member{*this};
  phase_ = phase::streaming;
  error_code ignored;
  socket_.set_option(net::socket_base::send_buffer_size(stream_send_buffer_bytes), ignored);
  watch_for_close();

  reply opening;
  opening.add("Content-Type", "text/event-stream");
  opening.add("Cache-Control", "no-store");
  opening.add("X-Accel-Buffering", "no");  // a proxy that collects output would hold the events back
  opening = hub_.addresses.finished(std::move(opening));
  // An id without data is no event, but the browser keeps it: a connection lost before the first photo misses nothing.
  std::string text =
      head_of(opening, std::nullopt, after_reply::close) + "retry: 2000\nid: " + std::to_string(after) + "\n\n";
  while (!peer_gone_) {
    const bool sent = co_await send_text(text);
    if (!sent) co_return;
    // Read from the store at the pace of this client; nothing is queued for it. Cleared before the look, so that a
    // photo that comes after it wakes us again.
    woken_ = false;
    allow_any_time();
    auto look = [this, &after]() -> std::string {
      const auto photos = hub_.gallery.after(after, events_at_a_time);
      if (!photos.empty()) after = photos.back().sequence;
      return events_of(photos);
    };
    text = co_await on_pool(hub_.readers, look);
    if (!text.empty()) continue;
    wake_timer_.expires_after(hub_.limits.heartbeat);
    if (!woken_) {
      const auto [failure] = co_await wake_timer_.async_wait(awaited);
      static_cast<void>(failure);  // cancelled: woken or cut, and the flags say which
    }
    text = woken_ ? "" : ":\n\n";
  }
}

// Without a read nobody would notice that the client of a quiet stream has left. What it sends is of no interest.
void session::watch_for_close() {
  socket_.async_read_some(buffer_.prepare(1024), [self = shared_from_this()](error_code failure, std::size_t) {
    if (failure) return self->cut();
    self->watch_for_close();
  });
}

session::awaitable<bool> session::send(const reply& answer, bool with_body, after_reply then) {
  const bool bodiless = answer.status == 304 || answer.status == 204;
  const auto length = bodiless ? std::nullopt : std::optional(answer.body_bytes());
  std::string text = head_of(answer, length, then);
  const auto* slice = std::get_if<file_slice>(&answer.body);
  if (with_body && !bodiless) {
    if (const auto* small = std::get_if<std::string>(&answer.body)) text += *small;
    if (slice != nullptr) text += slice->begin;
  }
  const bool sent = co_await send_text(text);
  if (!sent || !with_body || bodiless) co_return sent;
  if (const auto* lasting = std::get_if<std::string_view>(&answer.body)) {
    const bool body_sent = co_await send_text(*lasting);
    co_return body_sent;
  }
  if (slice != nullptr) {
    const bool body_sent = co_await send_rest(*slice);
    co_return body_sent;
  }
  co_return true;
}

session::awaitable<bool> session::send_text(std::string_view text) {
  while (!text.empty()) {
    allow(hub_.limits.write_pause);
    const auto [failure, bytes] = co_await socket_.async_write_some(net::buffer(text.substr(0, send_bytes)), awaited);
    if (failure) co_return false;
    text.remove_prefix(bytes);
  }
  co_return true;
}

// Not sendfile(): it reads from the disk on the thread that calls it.
session::awaitable<bool> session::send_rest(const file_slice& slice) {
  for (std::uint64_t sent = slice.begin.size(); sent < slice.bytes;) {
    allow_any_time();
    auto read = [&slice, sent] {
      const auto part = std::min<std::uint64_t>(slice.bytes - sent, file_part_bytes);
      return read_at(slice.file.get(), slice.offset + sent, static_cast<std::size_t>(part));
    };
    const std::string part = co_await on_pool(hub_.readers, read);
    if (part.empty()) co_return false;  // the file has become shorter
    const bool part_sent = co_await send_text(part);
    if (!part_sent) co_return false;
    sent += part.size();
  }
  co_return true;
}

session::awaitable<void> session::refuse_rest(const reply& answer, bool with_body) {
  const bool sent = co_await send(answer, with_body, after_reply::close);
  if (!sent) co_return;
  // close() with unread input would make the kernel reset the connection, and the reply would be lost on its way.
  error_code ignored;
  socket_.shutdown(net::ip::tcp::socket::shutdown_send, ignored);
  allow(goodbye);
  const auto latest = deadline_;
  buffer_.clear();
  while (steady_clock::now() < latest) {
    const auto room = buffer_.prepare(buffer_bytes);
    const auto [failure, bytes] = co_await socket_.async_read_some(room, awaited);
    if (failure) co_return;
  }
}

}  // namespace penstock::gallery
