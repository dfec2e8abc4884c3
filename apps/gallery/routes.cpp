#include "apps/gallery/routes.hpp"

#include <algorithm>
#include <optional>

#include <nlohmann/json.hpp>

#include "apps/gallery/assets.hpp"
#include "apps/gallery/bundle.hpp"
#include "apps/gallery/disk.hpp"
#include "apps/gallery/ranges.hpp"
#include "apps/gallery/rules.hpp"

namespace penstock::gallery {
namespace {

constexpr std::int64_t default_page = 100;
constexpr std::int64_t largest_page = 500;

nlohmann::ordered_json described(const published_photo& item) {
  nlohmann::ordered_json renditions = nlohmann::json::array();
  for (const auto& r : item.renditions)
    renditions.push_back({{"width", r.width},
                          {"height", r.height},
                          {"bytes", r.bytes},
                          {"type", r.media_type},
                          {"url", "/photos/" + item.id + '/' + std::to_string(r.width) + '.' +
                                      std::string(extension_of(r.media_type))}});
  const auto& largest = item.renditions.front();
  return {{"id", item.id},
          {"sequence", item.sequence},
          {"width", largest.width},
          {"height", largest.height},
          {"renditions", std::move(renditions)},
          {"fields", item.fields.empty() ? nlohmann::json::object() : nlohmann::json(item.fields)}};
}

reply json_reply(int status, const nlohmann::ordered_json& body) {
  reply answer;
  answer.status = status;
  answer.add("Content-Type", "application/json");
  answer.add("Cache-Control", "no-cache");
  answer.body = body.dump() + '\n';
  return answer;
}

// The value of one parameter of a query, as sent: none of ours needs percent-encoding.
std::optional<std::string_view> parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    const auto end = std::min(query.find('&'), query.size());
    const auto pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (pair.size() > name.size() && pair.starts_with(name) && pair[name.size()] == '=')
      return pair.substr(name.size() + 1);
  }
  return std::nullopt;
}

reply not_found() { return error_reply(404, "there is nothing at this address"); }
reply no_such_photo() { return error_reply(404, "there is no photo with this id"); }

reply not_allowed(std::string_view allowed) {
  auto answer = error_reply(405, "this address can be used with: " + std::string(allowed));
  answer.add("Allow", std::string(allowed));
  return answer;
}

bool is_read(const request_head& request) { return request.method == "GET" || request.method == "HEAD"; }

struct request_target {
  std::string_view path;
  std::string_view query;
};

// Nothing is decoded: every address of ours is plain, so one with a '%' or a '..' in it is simply unknown.
request_target target_of(const request_head& request) {
  const auto question = std::min(request.target.find('?'), request.target.size());
  return {request.target.substr(0, question), request.target.substr(std::min(question + 1, request.target.size()))};
}

constexpr std::string_view photo_prefix = "/api/photos/";
constexpr std::string_view file_prefix = "/photos/";
constexpr std::string_view sign_in_page = "/sign_in.html";  // not an address: sent in place of "/"

const asset* asset_at(std::string_view path) {
  const auto all = assets();
  const auto found = std::ranges::find(all, path, &asset::path);
  return found == all.end() ? nullptr : &*found;
}

// The sign-in page needs these assets. They hold nothing of the gallery.
bool is_part_of_sign_in_page(std::string_view path) {
  return path.starts_with("/assets/sign_in") || path.starts_with("/assets/icon");
}

reply not_modified(std::string_view etag, std::string cache_control) {
  reply answer;
  answer.status = 304;
  answer.add("ETag", std::string(etag));
  answer.add("Cache-Control", std::move(cache_control));
  return answer;
}

}  // namespace

std::variant<reply, upload_order, disk_order> routes::decide(const request_head& request) const noexcept {
  try {
    auto decided = route(request);
    if (auto* done = std::get_if<reply>(&decided)) return finished(std::move(*done));
    return decided;
  } catch (...) {
    return failure_reply(std::current_exception());
  }
}

std::variant<reply, stream_order> routes::answer(const request_head& request) const noexcept {
  try {
    auto decided = look_up(request);
    if (auto* done = std::get_if<reply>(&decided)) return finished(std::move(*done));
    return decided;
  } catch (...) {
    return failure_reply(std::current_exception());
  }
}

reply routes::finished(reply answer) const {
  if (entry_.is_public()) return answer;
  for (auto& [name, value] : answer.headers)
    if (name == "Cache-Control" && !value.starts_with("private")) value.insert(0, "private, ");
  answer.add("Vary", "Authorization, Cookie");
  return answer;
}

reply failure_reply(const std::exception_ptr& failure) noexcept {
  try {
    std::rethrow_exception(failure);
  } catch (const invalid_photo& wrong) {
    return error_reply(400, wrong.what());
  } catch (const storage_error& wrong) {
    auto answer = error_reply(wrong.is_full() ? 507 : wrong.is_temporary() ? 503 : 500, wrong.what());
    if (wrong.is_temporary()) answer.add("Retry-After", "1");
    return answer;
  } catch (const std::exception& wrong) {
    return error_reply(500, wrong.what());
  } catch (...) {
    return error_reply(500, "an error of unknown kind");
  }
}

reply routes::refusal(verdict why, const request_head& request) const {
  switch (why) {
    case verdict::nobody_may_write:
      return error_reply(403, "this gallery takes no uploads: start it with a token (PENSTOCK_TOKEN) to allow them");
    case verdict::wrong_host:
      return error_reply(421,
                         "without a token this gallery answers to localhost only: use that name, or start it with "
                         "--token-file or --public-read");
    case verdict::forwarded:
      return error_reply(403,
                         "without a token this gallery answers this machine only, and a proxy forwarded this request: "
                         "start it with --token-file or --public-read");
    case verdict::other_site:
      return error_reply(403, "a page of another site may not change this gallery");
    case verdict::token_needed:
    case verdict::allowed:
      break;
  }
  reply answer =
      error_reply(401, "send the gallery's token as \"Authorization: Bearer\", or as the password of any user");
  if (target_of(request).path == "/" && is_read(request) &&
      request.accept.find("text/html") != std::string_view::npos) {
    answer = {};
    answer.status = 401;
    answer.add("Content-Type", "text/html; charset=utf-8");
    answer.add("Cache-Control", "no-store");
    answer.body = asset_at(sign_in_page)->bytes;
  }
  // Basic is accepted but no challenge: a browser would show its own prompt over the page, also for what the page loads.
  answer.add("WWW-Authenticate", "Bearer realm=\"penstock gallery\"");
  return answer;
}

// GET: 204 iff the request may read, so that a page can find out. POST: a session in exchange for the token.
reply routes::session(const request_head& request) const {
  reply answer;
  answer.status = 204;
  answer.add("Cache-Control", "no-store");
  if (!is_read(request)) answer.add("Set-Cookie", entry_.session_cookie(request));
  return answer;
}

std::variant<reply, upload_order, disk_order> routes::route(const request_head& request) const {
  const bool writes = !is_read(request);
  const auto path = target_of(request).path;
  const bool signs_in = path == "/api/session" && request.method == "POST";
  // Before anything else, so that a refused client does not learn which addresses exist.
  const auto entry = signs_in ? entry_.may_sign_in(request)
                     : writes ? entry_.may_write(request)
                              : entry_.may_read(request);
  if (entry == verdict::token_needed && !writes && is_part_of_sign_in_page(path)) return page_part(request, path);
  if (entry != verdict::allowed) return refusal(entry, request);

  if (path.starts_with(photo_prefix)) {
    const auto id = path.substr(photo_prefix.size());
    if (!is_photo_id(id)) return error_reply(404, "a photo's id is 64 lower-case hexadecimal digits");
    if (request.method == "PUT") return upload(request, id);
    if (writes) return not_allowed("GET, HEAD, PUT");
    return disk_order{};
  }
  if (path == "/api/session") {
    if (writes && !signs_in) return not_allowed("GET, HEAD, POST");
    return session(request);
  }
  if (writes) return not_allowed("GET, HEAD");
  if (path == "/api/events" && request.method != "GET") return not_allowed("GET");
  if (path == "/api/events" || path == "/api/photos" || path.starts_with(file_prefix)) return disk_order{};
  return page_part(request, path);
}

std::variant<reply, stream_order> routes::look_up(const request_head& request) const {
  const auto [path, query] = target_of(request);
  if (path == "/api/photos") return photos(query);
  if (path == "/api/events") return events(request, query);
  if (path.starts_with(photo_prefix)) return one_photo(path.substr(photo_prefix.size()));
  return rendition_file_reply(request, path.substr(file_prefix.size()));
}

std::variant<reply, upload_order, disk_order> routes::upload(const request_head& request, std::string_view id) const {
  if (request.content_type != bundle_media_type)
    return error_reply(415, "a photo is sent as " + std::string(bundle_media_type));
  if (request.chunked || !request.content_length)
    return error_reply(411, "a photo is sent with Content-Length, not in chunks");
  if (*request.content_length > body_limit_)
    return error_reply(413, "a photo has at most " + std::to_string(body_limit_) +
                                " bytes here: send smaller renditions, or start the gallery with a larger limit");
  return upload_order{std::string(id), *request.content_length};
}

std::variant<reply, stream_order> routes::events(const request_head& request, std::string_view query) const {
  const auto from = request.last_event_id.empty() ? parameter(query, "after") : std::optional(request.last_event_id);
  if (!from) return stream_order{gallery_.newest()};
  const std::int64_t after = parse_number(*from);
  if (after < 0) return error_reply(400, "Last-Event-ID and after must be a photo's sequence");
  return stream_order{after};
}

std::string routes::forever() const {
  return std::string(entry_.is_public() ? "public" : "private") + ", max-age=31536000, immutable";
}

reply routes::page_part(const request_head& request, std::string_view path) const {
  const asset* const found = path == sign_in_page ? nullptr : asset_at(path);
  if (found == nullptr) return not_found();
  // A name under /assets/ holds a digest of the content (see web/build.mjs). The page's own does not: the next release
  // has other bytes under it, so it is asked for again each time.
  const std::string cache_control = path.starts_with("/assets/") ? forever() : "no-cache";
  if (any_tag_matches(request.if_none_match, found->etag)) return not_modified(found->etag, cache_control);
  reply answer;
  answer.add("Content-Type", std::string(found->media_type));
  answer.add("Cache-Control", cache_control);
  answer.add("ETag", std::string(found->etag));
  answer.body = found->bytes;
  return answer;
}

reply routes::photos(std::string_view query) const {
  std::int64_t limit = default_page;
  if (const auto text = parameter(query, "limit")) limit = parse_number(*text);
  if (limit < 1 || limit > largest_page) return error_reply(400, "limit must be 1 to " + std::to_string(largest_page));
  std::optional<std::int64_t> before;
  if (const auto text = parameter(query, "before")) {
    before = parse_number(*text);
    if (*before < 0) return error_reply(400, "before must be a photo's sequence");
  }
  auto found = gallery_.list(before, static_cast<std::size_t>(limit) + 1);
  const bool more = found.size() > static_cast<std::size_t>(limit);
  if (more) found.pop_back();
  nlohmann::ordered_json list = nlohmann::json::array();
  for (const auto& item : found) list.push_back(described(item));
  nlohmann::ordered_json body;
  body["photos"] = std::move(list);
  body["next"] = more ? nlohmann::ordered_json(found.back().sequence) : nlohmann::ordered_json(nullptr);
  body["total"] = gallery_.total();
  return json_reply(200, body);
}

reply routes::one_photo(std::string_view id) const {
  const auto found = gallery_.find(id);
  // One whose files are missing or damaged is not there, so that a client which asks first publishes it again.
  return found && gallery_.is_whole(*found) ? json_reply(200, described(*found)) : no_such_photo();
}

reply routes::rendition_file_reply(const request_head& request, std::string_view rest) const {
  const auto slash = std::min(rest.find('/'), rest.size());
  const auto id = rest.substr(0, slash);
  const auto file = rest.substr(std::min(slash + 1, rest.size()));
  const auto dot = std::min(file.find('.'), file.size());
  const std::int64_t width = parse_number(file.substr(0, dot));
  const auto media_type = media_type_of(file.substr(std::min(dot + 1, file.size())));
  // 0320.jpg is the same number as 320.jpg, but not the same address.
  if (!is_photo_id(id) || media_type.empty() || width < 1 || width > max_side || file.starts_with('0'))
    return not_found();
  const auto found = gallery_.rendition_of(id, static_cast<int>(width), media_type);
  if (!found) return not_found();

  const std::string etag = '"' + found->described.digest + '"';
  const std::string cache_control = forever();
  if (any_tag_matches(request.if_none_match, etag)) return not_modified(etag, cache_control);

  const auto bytes = static_cast<std::uint64_t>(found->described.bytes);
  unique_fd opened = open_whole_file(found->path, bytes);
  if (!opened) return error_reply(500, "the file of this rendition is missing or damaged: publish the photo again");

  reply answer;
  answer.add("Accept-Ranges", "bytes");
  answer.add("ETag", etag);
  // A range is a matter of GET, and of the very bytes that the client has a part of.
  const bool ranged = request.method == "GET" && (request.if_range.empty() || request.if_range == etag);
  const auto range = parse_range(ranged ? request.range : "", bytes);
  if (std::holds_alternative<unsatisfiable>(range)) {
    auto refused = error_reply(416, "the range is outside of the file");
    refused.add("Content-Range", "bytes */" + std::to_string(bytes));
    return refused;
  }
  answer.add("Content-Type", std::string(media_type));
  answer.add("Cache-Control", cache_control);
  file_slice slice{std::move(opened), 0, bytes, ""};
  if (const auto* part = std::get_if<byte_range>(&range)) {
    answer.status = 206;
    answer.add("Content-Range", "bytes " + std::to_string(part->first) + '-' +
                                    std::to_string(part->first + part->bytes - 1) + '/' + std::to_string(bytes));
    slice.offset = part->first;
    slice.bytes = part->bytes;
  }
  if (request.method == "GET") {
    const auto begin_bytes = static_cast<std::size_t>(std::min<std::uint64_t>(slice.bytes, file_part_bytes));
    slice.begin = read_at(slice.file.get(), slice.offset, begin_bytes);
    if (slice.begin.size() < begin_bytes)
      return error_reply(500, "the file of this rendition has become shorter: publish the photo again");
  }
  if (slice.begin.size() == slice.bytes) slice.file.reset();
  answer.body = std::move(slice);
  return answer;
}

reply routes::published(publish_result result, std::string_view id) const {
  const auto found = gallery_.find(id);
  if (!found) return error_reply(500, "the photo was published and is gone again");
  auto answer = json_reply(result == publish_result::published ? 201 : 200, described(*found));
  answer.add("Location", "/api/photos/" + std::string(id));
  return finished(std::move(answer));
}

std::string events_of(const std::vector<published_photo>& photos) {
  std::string text;
  for (const auto& item : photos)
    text += "id: " + std::to_string(item.sequence) + "\nevent: photo\ndata: " + described(item).dump() + "\n\n";
  return text;
}

}  // namespace penstock::gallery
