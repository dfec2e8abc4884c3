#include "apps/gallery/message.hpp"

#include <chrono>
#include <cstdio>

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

// Not gmtime_r() or strftime(): they read the file of the local time zone, which may block.
std::string http_date() {
  namespace chrono = std::chrono;
  const auto now = chrono::floor<chrono::seconds>(chrono::system_clock::now());
  const auto today = chrono::floor<chrono::days>(now);
  const chrono::year_month_day date(today);
  const chrono::hh_mm_ss time(now - today);
  constexpr const char* days[] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  constexpr const char* months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  char text[64];
  const int length =
      std::snprintf(text, sizeof text, "%s, %02u %s %04d %02d:%02d:%02d GMT", days[chrono::weekday(today).c_encoding()],
                    unsigned{date.day()}, months[unsigned{date.month()} - 1], int{date.year()},
                    static_cast<int>(time.hours().count()), static_cast<int>(time.minutes().count()),
                    static_cast<int>(time.seconds().count()));
  return {text, static_cast<std::size_t>(length)};
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
