#include "apps/gallery/client.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <span>
#include <utility>

#include <curl/curl.h>
#include <nlohmann/json.hpp>

#include "apps/gallery/bundle.hpp"
#include "apps/gallery/entry.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::gallery {
namespace {

constexpr std::size_t max_answer_bytes = 1 << 20;

void start_curl() {
  // A static, for it is not safe to do from two threads at once; never undone, as libcurl recommends for programs.
  static const CURLcode started = ::curl_global_init(CURL_GLOBAL_DEFAULT);
  if (started != CURLE_OK)
    throw std::runtime_error(std::string("libcurl does not start: ") + ::curl_easy_strerror(started));
}

struct url_parts {
  std::string scheme;
  std::string host;
  bool has_user = false;
  bool has_query = false;
};

std::optional<url_parts> parts_of(const std::string& address) {
  const std::unique_ptr<CURLU, decltype(&::curl_url_cleanup)> url(::curl_url(), &::curl_url_cleanup);
  if (!url || ::curl_url_set(url.get(), CURLUPART_URL, address.c_str(), 0) != CURLUE_OK) return std::nullopt;
  const auto part = [&](CURLUPart which) -> std::optional<std::string> {
    char* text = nullptr;
    if (::curl_url_get(url.get(), which, &text, 0) != CURLUE_OK) return std::nullopt;
    std::string copy = text;
    ::curl_free(text);
    return copy;
  };
  return url_parts{part(CURLUPART_SCHEME).value_or(""), part(CURLUPART_HOST).value_or(""),
                   part(CURLUPART_USER).has_value() || part(CURLUPART_PASSWORD).has_value(),
                   part(CURLUPART_QUERY).has_value() || part(CURLUPART_FRAGMENT).has_value()};
}

// A body in pieces that stay where they are.
class pieces {
 public:
  void add(std::span<const char> piece) {
    all_.push_back(piece);
    bytes_ += piece.size();
  }
  [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }

  std::size_t read(char* to, std::size_t room) noexcept {
    std::size_t done = 0;
    while (room > 0 && at_ < all_.size()) {
      const auto piece = all_[at_].subspan(offset_, std::min(room, all_[at_].size() - offset_));
      std::memcpy(to + done, piece.data(), piece.size());
      done += piece.size();
      room -= piece.size();
      offset_ += piece.size();
      if (offset_ == all_[at_].size()) ++at_, offset_ = 0;
    }
    return done;
  }
  void rewind() noexcept { at_ = offset_ = 0; }

 private:
  std::vector<std::span<const char>> all_;
  std::uint64_t bytes_ = 0;
  std::size_t at_ = 0;
  std::size_t offset_ = 0;
};

struct answer {
  long status = 0;
  std::string body;
  std::optional<std::chrono::seconds> wait;
};

extern "C" {
static std::size_t penstock_gallery_read(char* to, std::size_t size, std::size_t count, void* from) {
  return static_cast<pieces*>(from)->read(to, size * count);
}

// libcurl goes back to the start when a kept connection turns out to be dead after the first bytes.
static int penstock_gallery_seek(void* from, curl_off_t offset, int origin) {
  if (offset != 0 || origin != SEEK_SET) return CURL_SEEKFUNC_CANTSEEK;
  static_cast<pieces*>(from)->rewind();
  return CURL_SEEKFUNC_OK;
}

static std::size_t penstock_gallery_write(char* bytes, std::size_t size, std::size_t count, void* to) {
  auto& body = *static_cast<std::string*>(to);
  if (body.size() + size * count > max_answer_bytes) return 0;
  body.append(bytes, size * count);
  return size * count;
}
}

bool is_permanent(CURLcode failure) {
  switch (failure) {
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_URL_MALFORMAT:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_WRITE_ERROR:
      return true;  // an answer far too long: this is no gallery
    default:
      return false;
  }
}

// What the server said, or what its status means.
std::string reason_of(const answer& got) {
  // The server's own words are for whoever speaks HTTP by hand.
  if (got.status == 401)
    return "the token is missing or not this gallery's: give it with --token-file or PENSTOCK_TOKEN";
  if (got.status == 403)
    return "this gallery takes no uploads: start it with --token-file, and give the same token here";
  const auto body = nlohmann::json::parse(got.body, nullptr, false);
  if (body.is_object() && body.contains("error") && body["error"].is_string()) return body["error"].get<std::string>();
  if (got.status >= 300 && got.status < 400) return "the gallery is at another address";
  switch (got.status) {
    case 404:
      return "there is no gallery at this address";
    case 413:
      return "the photo is too large for the server: send smaller renditions";
    case 421:
      return "the server does not know the name in the address";
    default:
      return "unexpected answer";
  }
}

}  // namespace

class client::connection {
 public:
  connection(const client_options& options, bool bypass_proxy) : handle_(::curl_easy_init(), &::curl_easy_cleanup) {
    if (!handle_) throw std::runtime_error("libcurl has no memory for a connection");
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_USERAGENT, "penstock");
    set(CURLOPT_CONNECTTIMEOUT, static_cast<long>(options.connect_timeout.count()));
    set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    set(CURLOPT_LOW_SPEED_TIME, static_cast<long>(options.stall_timeout.count()));
    set(CURLOPT_ERRORBUFFER, error_);
    set(CURLOPT_READFUNCTION, &penstock_gallery_read);
    set(CURLOPT_SEEKFUNCTION, &penstock_gallery_seek);
    set(CURLOPT_WRITEFUNCTION, &penstock_gallery_write);
    if (bypass_proxy) set(CURLOPT_PROXY, "");
    if (!options.token.empty()) {
      set(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
      set(CURLOPT_XOAUTH2_BEARER, options.token.c_str());
    }
    add_header(put_headers_, "Content-Type: " + std::string(bundle_media_type));
  }

  answer head(const std::string& address) {
    set(CURLOPT_UPLOAD, 0L);  // or it would stay a PUT
    set(CURLOPT_HTTPHEADER, static_cast<curl_slist*>(nullptr));
    set(CURLOPT_NOBODY, 1L);
    return perform(address);
  }

  answer put(const std::string& address, pieces& body) {
    set(CURLOPT_NOBODY, 0L);
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(body.bytes()));
    set(CURLOPT_READDATA, &body);
    set(CURLOPT_SEEKDATA, &body);
    set(CURLOPT_HTTPHEADER, put_headers_.get());
    return perform(address);
  }

 private:
  struct free_list {
    void operator()(curl_slist* list) const noexcept { ::curl_slist_free_all(list); }
  };

  template <typename Value>
  void set(CURLoption option, Value value) {
    if (const CURLcode failure = ::curl_easy_setopt(handle_.get(), option, value); failure != CURLE_OK)
      throw std::runtime_error(std::string("libcurl is too old or built without a part that is needed: ") +
                               ::curl_easy_strerror(failure));
  }

  static void add_header(std::unique_ptr<curl_slist, free_list>& list, const std::string& header) {
    curl_slist* const longer = ::curl_slist_append(list.get(), header.c_str());
    if (longer == nullptr) throw std::bad_alloc();
    static_cast<void>(list.release());  // now part of `longer`
    list.reset(longer);
  }

  answer perform(const std::string& address) {
    answer got;
    set(CURLOPT_URL, address.c_str());
    set(CURLOPT_WRITEDATA, &got.body);
    error_[0] = '\0';
    const CURLcode failure = ::curl_easy_perform(handle_.get());
    if (failure != CURLE_OK) {
      const std::string message = address + ": " + (error_[0] != '\0' ? error_ : ::curl_easy_strerror(failure));
      if (is_permanent(failure)) throw permanent_error(message);
      throw retryable_error(message);
    }
    ::curl_easy_getinfo(handle_.get(), CURLINFO_RESPONSE_CODE, &got.status);
    curl_off_t wait = 0;
    ::curl_easy_getinfo(handle_.get(), CURLINFO_RETRY_AFTER, &wait);
    if (wait > 0) got.wait = std::chrono::seconds(wait);
    return got;
  }

  const std::unique_ptr<CURL, decltype(&::curl_easy_cleanup)> handle_;
  std::unique_ptr<curl_slist, free_list> put_headers_;
  char error_[CURL_ERROR_SIZE] = {};
};

class client::borrowed {
 public:
  borrowed(client& owner, std::unique_ptr<connection> line) : owner_(owner), line_(std::move(line)) {}
  ~borrowed() {
    mutex_lock lock(owner_.mutex_);
    owner_.idle_.push_back(std::move(line_));
  }
  borrowed(const borrowed&) = delete;
  borrowed& operator=(const borrowed&) = delete;
  connection* operator->() const noexcept { return line_.get(); }

 private:
  client& owner_;
  std::unique_ptr<connection> line_;
};

client::client(std::string address, client_options options) : base_(std::move(address)), options_(std::move(options)) {
  start_curl();
  const auto parts = parts_of(base_);
  if (!parts || (parts->scheme != "http" && parts->scheme != "https") || parts->has_query)
    throw std::runtime_error("\"" + base_ + "\" is not the address of a gallery: it looks like http://host:8080/");
  if (parts->has_user)  // not quoted: it is a secret
    throw std::runtime_error(
        "the address of the gallery has a password in it, which others can see: use PENSTOCK_TOKEN");
  if (std::ranges::any_of(options_.token, [](char c) { return c <= ' ' || c > '~'; }))
    throw std::runtime_error("the token has a character that cannot be sent: use letters, digits and punctuation");
  bypass_proxy_ = names_this_machine(parts->host);
  if (!base_.ends_with('/')) base_ += '/';
}

client::~client() = default;

client::borrowed client::borrow() {
  {
    mutex_lock lock(mutex_);
    if (!idle_.empty()) {
      auto line = std::move(idle_.back());
      idle_.pop_back();
      return {*this, std::move(line)};
    }
  }
  return {*this, std::make_unique<connection>(options_, bypass_proxy_)};
}

std::string client::address_of(std::string_view id) const { return base_ + "api/photos/" + std::string(id); }

namespace {

[[noreturn]] void fail(const std::string& address, const answer& got) {
  const std::string message = address + ": " + reason_of(got) + " (status " + std::to_string(got.status) + ')';
  if (got.status == 408 || got.status == 429 || got.status >= 500) throw retryable_error(message, got.wait, got.status);
  throw permanent_error(message, got.status);
}

}  // namespace

void client::check_access() {
  // A photo of nothing: the server looks at the token first, and then at the body, which it refuses.
  pieces nothing;
  const std::string address = address_of(std::string(64, '0'));
  const auto got = borrow()->put(address, nothing);
  if (got.status == 401 || got.status == 403 || got.status == 404 || got.status >= 500) fail(base_, got);
}

bool client::contains(std::string_view id) {
  check_id(id);
  const std::string address = address_of(id);
  const auto got = borrow()->head(address);
  if (got.status == 200) return true;
  if (got.status == 404) return false;
  fail(address, got);
}

publish_result client::publish(const photo& item) {
  check(item);
  const std::string head = encode_bundle_head(item);
  pieces body;
  body.add(head);
  for (const auto& r : item.renditions) body.add({reinterpret_cast<const char*>(r.bytes.data()), r.bytes.size()});
  const std::string address = address_of(item.id);
  const auto got = borrow()->put(address, body);
  if (got.status == 201) return publish_result::published;
  if (got.status == 200) return publish_result::already_there;
  fail(address, got);
}

}  // namespace penstock::gallery
