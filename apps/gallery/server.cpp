#include "apps/gallery/server.hpp"

#include <mutex>
#include <stdexcept>
#include <thread>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <unistd.h>

#include "apps/gallery/hub.hpp"
#include "apps/gallery/session.hpp"

namespace penstock::gallery {
namespace {

namespace net = boost::asio;
using boost::system::error_code;
using net::ip::tcp;

constexpr std::size_t refusals_at_once = 16;  // connections above the limit that are told so; more are just closed
constexpr std::chrono::milliseconds accept_pause(100);

net::ip::address address_of(const std::string& text) {
  if (text == "localhost") return net::ip::address_v4::loopback();
  error_code failure;
  auto address = net::ip::make_address(text, failure);
  if (failure)
    throw std::runtime_error(
        "\"" + text +
        "\" is not an IP address: use 127.0.0.1 (this machine only), or 0.0.0.0 or :: " + "(every interface)");
  return address;
}

bool is_loopback(const net::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return net::ip::make_address_v4(net::ip::v4_mapped, address.to_v6()).is_loopback();
  return address.is_loopback();
}

void check_options(const server_options& options, const net::ip::address& address) {
  if (options.token.empty() && !is_loopback(address))
    throw std::runtime_error(
        "listening on " + options.address +
        " lets other machines in, and that needs a token: set PENSTOCK_TOKEN, or listen on 127.0.0.1");
  if (options.limits.upload_bytes < options.limits.body_bytes)
    throw std::runtime_error("the limit for all uploads together is smaller than the limit for one");
  if (options.limits.readers == 0 || options.limits.writers == 0 || options.limits.uploads == 0 ||
      options.limits.connections == 0)
    throw std::runtime_error("a server needs at least one connection, one upload, one reader and one writer");
}

tcp::acceptor listen(net::io_context& io, const tcp::endpoint& endpoint) {
  tcp::acceptor acceptor(io);
  try {
    acceptor.open(endpoint.protocol());
    acceptor.set_option(tcp::acceptor::reuse_address(true));
    acceptor.bind(endpoint);
    acceptor.listen();
  } catch (const boost::system::system_error& failure) {
    const std::string place = endpoint.address().to_string() + " port " + std::to_string(endpoint.port());
    if (failure.code() == net::error::address_in_use)
      throw std::runtime_error(
          place + " is in use, perhaps by another gallery: choose another port, or 0 for any that is free");
    if (failure.code() == net::error::access_denied)
      throw std::runtime_error(place + " is not allowed for this user: choose a port from 1024 on");
    if (failure.code() == error_code(EADDRNOTAVAIL, boost::system::system_category()))
      throw std::runtime_error(place + " is not an address of this machine: use 127.0.0.1, 0.0.0.0 or ::");
    throw std::runtime_error("cannot listen on " + place + ": " + failure.code().message());
  }
  return acceptor;
}

std::string reachable_name(const net::ip::address& address) {
  if (address.is_unspecified()) {
    char name[256] = {};
    if (::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0') return name;
  }
  return address.is_v6() ? '[' + address.to_string() + ']' : address.to_string();
}

}  // namespace

class server::running {
 public:
  running(store& gallery, server_options options, const net::ip::address& address)
      : hub_(gallery, std::move(options)),
        acceptor_(listen(hub_.io, {address, hub_.options.port})),
        endpoint_(acceptor_.local_endpoint()) {
    net::co_spawn(hub_.io, accept(), net::detached);
    thread_ = std::thread([this] { hub_.io.run(); });
  }

  [[nodiscard]] const tcp::endpoint& endpoint() const noexcept { return endpoint_; }

  void stop() noexcept {
    std::call_once(stopped_, [this] {
      net::post(hub_.io, [this] { begin_stop(); });
      thread_.join();  // run() returns when the last session has ended
      hub_.readers.join();
      hub_.writers.join();
    });
  }

 private:
  net::awaitable<void> accept() {
    for (;;) {
      auto [failure, socket] = co_await acceptor_.async_accept(net::as_tuple(net::use_awaitable));
      if (hub_.stopping) co_return;
      if (failure) {
        const bool out_of_descriptors =
            failure == net::error::no_descriptors || failure == boost::system::errc::too_many_files_open_in_system;
        if (out_of_descriptors && hub_.close_longest_idle()) continue;
        // Without a pause this would be a busy loop, for the connection stays in the queue.
        pause_.expires_after(accept_pause);
        co_await pause_.async_wait(net::as_tuple(net::use_awaitable));
        if (hub_.stopping) co_return;
        continue;
      }
      // Browsers keep connections open that they may never use again: the new one is more important.
      if (hub_.open_connections >= hub_.limits.connections) hub_.close_longest_idle();
      const std::size_t open = hub_.open_connections;
      if (open >= hub_.limits.connections + refusals_at_once) continue;  // the socket closes
      const auto how = open >= hub_.limits.connections ? session::welcome::too_many : session::welcome::serve;
      std::make_shared<session>(hub_, std::move(socket))->start(how);
    }
  }

  void begin_stop() {
    hub_.stopping = true;
    error_code ignored;
    acceptor_.close(ignored);
    pause_.cancel();
    // stop() may end a session, which then leaves the set: go through a copy.
    const auto sessions = hub_.sessions;
    for (auto* one : sessions) one->stop();
    if (hub_.sessions.empty()) return;
    // Cancelled by the last session to end; until then it keeps the loop running for them.
    hub_.grace.expires_after(hub_.limits.stop);
    hub_.grace.async_wait([this](error_code cancelled) {
      if (cancelled) return;
      const auto left = hub_.sessions;
      for (auto* one : left) one->cut();
    });
  }

  hub hub_;
  tcp::acceptor acceptor_;
  net::steady_timer pause_{hub_.io};
  const tcp::endpoint endpoint_;
  std::thread thread_;
  std::once_flag stopped_;
};

server::server(store& gallery, server_options options) {
  const auto address = address_of(options.address);
  check_options(options, address);
  running_ = std::make_unique<running>(gallery, std::move(options), address);
}

server::~server() { stop(); }

std::uint16_t server::port() const noexcept { return running_->endpoint().port(); }

std::string server::url() const {
  const auto& endpoint = running_->endpoint();
  return "http://" + reachable_name(endpoint.address()) + ':' + std::to_string(endpoint.port()) + '/';
}

void server::stop() noexcept { running_->stop(); }

}  // namespace penstock::gallery
