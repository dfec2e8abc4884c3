#include "apps/gallery/message.hpp"

#include <chrono>
#include <ctime>

#include <nlohmann/json.hpp>

namespace penstock::gallery {
namespace {

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 200:
      return "OK";
    case 201:
      return "Created";
    case 204:
      return "No Content";
    case 206:
      return "Partial Content";
    case 304:
      return "Not Modified";
    case 400:
      return "Bad Request";
    case 401:
      return "Unauthorized";
    case 403:
      return "Forbidden";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 408:
      return "Request Timeout";
    case 411:
      return "Length Required";
    case 413:
      return "Content Too Large";
    case 415:
      return "Unsupported Media Type";
    case 416:
      return "Range Not Satisfiable";
    case 417:
      return "Expectation Failed";
    case 421:
      return "Misdirected Request";
    case 422:
      return "Unprocessable Content";
    case 431:
      return "Request Header Fields Too Large";
    case 500:
      return "Internal Server Error";
    case 503:
      return "Service Unavailable";
    case 507:
      return "Insufficient Storage";
    default:
      return "Unknown";
  }
}

std::string http_date() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts = {};
  ::gmtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

}  // namespace

std::uint64_t reply::body_bytes() const noexcept {
  if (const auto* slice = std::get_if<file_slice>(&body)) return slice->bytes;
  if (const auto* text = std::get_if<std::string>(&body)) return text->size();
  return std::get<std::string_view>(body).size();
}

reply error_reply(int status, std::string_view message) {
  reply answer;
  answer.status = status;
  answer.add("Content-Type", "application/json");
  answer.add("Cache-Control", "no-store");
  const nlohmann::json body = {{"error", message}};
  // A message may quote a path, and a path need not be UTF-8.
  answer.body = body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + '\n';
  return answer;
}

std::string head_of(const reply& answer, std::optional<std::uint64_t> body_bytes, after_reply then) {
  std::string head =
      "HTTP/1.1 " + std::to_string(answer.status) + ' ' + std::string(reason_phrase(answer.status)) + "\r\n";
  const auto add = [&head](std::string_view name, std::string_view value) {
    head.append(name).append(": ").append(value).append("\r\n");
  };
  add("Server", "penstock");
  add("Date", http_date());
  add("X-Content-Type-Options", "nosniff");
  add("X-Frame-Options", "DENY");
  add("Referrer-Policy", "no-referrer");
  add("Content-Security-Policy",
      "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  for (const auto& [name, value] : answer.headers) add(name, value);
  if (body_bytes) add("Content-Length", std::to_string(*body_bytes));
  if (then == after_reply::close) add("Connection", "close");
  head += "\r\n";
  return head;
}

}  // namespace penstock::gallery
