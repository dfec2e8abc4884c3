#include "apps/gallery/server.hpp"

#include <atomic>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "apps/gallery/assets.hpp"
#include "apps/gallery/bundle.hpp"
#include "tests/gallery/serving.hpp"

namespace penstock::gallery {
namespace {

using nlohmann::json;

json json_of(const raw_reply& reply) { return json::parse(reply.body, nullptr, false); }

TEST(gallery_server, the_page_and_all_it_refers_to_are_served) {
  const serving there;
  auto connection = there.connect();
  const auto page = connection.ask(get("/"));
  EXPECT_EQ(page.status, 200);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.header("cache-control"), "private, no-cache");
  int parts = 0;
  for (const std::string_view attribute : {"src=\"", "href=\""})
    for (auto at = page.body.find(attribute); at != std::string::npos; at = page.body.find(attribute, at), ++parts) {
      at += attribute.size();
      const std::string target = page.body.substr(at, page.body.find('"', at) - at);
      const auto part = connection.ask(get(target));
      EXPECT_EQ(part.status, 200) << target;
      EXPECT_FALSE(part.body.empty()) << target;
      EXPECT_NE(part.header("cache-control").find("immutable"), std::string::npos) << target;
    }
  EXPECT_GE(parts, 2) << "a script and a style at least";
  const auto again = connection.ask(get("/", "If-None-Match: " + page.header("etag") + "\r\n"));
  EXPECT_EQ(again.status, 304);
  EXPECT_EQ(again.body, "");
}

TEST(gallery_server, every_reply_tells_the_browser_to_be_strict) {
  const serving there;
  auto connection = there.connect();
  for (const char* target : {"/", "/api/photos", "/nowhere"}) {
    const auto reply = connection.ask(get(target));
    EXPECT_EQ(reply.header("x-content-type-options"), "nosniff") << target;
    EXPECT_EQ(reply.header("x-frame-options"), "DENY") << target;
    EXPECT_EQ(reply.header("referrer-policy"), "no-referrer") << target;
    const auto policy = reply.header("content-security-policy");
    EXPECT_NE(policy.find("default-src 'self'"), std::string::npos) << target;
    EXPECT_EQ(policy.find("unsafe"), std::string::npos) << target;
  }
}

TEST(gallery_server, an_upload_is_answered_with_the_photo_as_it_is_listed) {
  const serving there;
  auto connection = there.connect();
  photo item = photo_of(1);
  item.fields = {{"title", "Grüße"}};
  const auto created = connection.ask(put(item, test_token));
  ASSERT_EQ(created.status, 201) << created.body;
  const json expected = {{"id", item.id},
                         {"sequence", 1},
                         {"width", 640},
                         {"height", 480},
                         {"renditions",
                          {{{"width", 640},
                            {"height", 480},
                            {"bytes", 3000},
                            {"type", "image/jpeg"},
                            {"url", "/photos/" + item.id + "/640.jpg"}},
                           {{"width", 320},
                            {"height", 240},
                            {"bytes", 1503},
                            {"type", "image/jpeg"},
                            {"url", "/photos/" + item.id + "/320.jpg"}}}},
                         {"fields", {{"title", "Grüße"}}}};
  EXPECT_EQ(json_of(created), expected);
  EXPECT_EQ(connection.ask(put(item, test_token)).status, 200);
  EXPECT_EQ(json_of(connection.ask(get("/api/photos/" + item.id))), expected);
  EXPECT_EQ(json_of(connection.ask(get("/api/photos"))),
            (json{{"photos", {expected}}, {"next", nullptr}, {"total", 1}}));
  EXPECT_EQ(connection.ask(get("/api/photos/" + id_of(2))).status, 404);
}

TEST(gallery_server, pages_lead_from_one_to_the_next_until_the_last) {
  serving there;
  for (std::uint64_t seed = 0; seed < 10; ++seed) there.photos.publish(photo_of(seed));
  auto connection = there.connect();
  std::string target = "/api/photos?limit=4";
  std::vector<std::size_t> sizes;
  std::vector<std::string> ids;
  for (;;) {
    const json page = json_of(connection.ask(get(target)));
    EXPECT_EQ(page["total"], 10);
    sizes.push_back(page["photos"].size());
    for (const auto& p : page["photos"]) ids.push_back(p["id"]);
    if (page["next"].is_null()) break;
    EXPECT_EQ(page["next"], page["photos"].back()["sequence"]);
    target = "/api/photos?before=" + page["next"].dump() + "&limit=4";
  }
  EXPECT_EQ(sizes, (std::vector<std::size_t>{4, 4, 2}));
  ASSERT_EQ(ids.size(), 10U);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(ids[i], id_of(9 - i));
  EXPECT_TRUE(json_of(connection.ask(get("/api/photos?limit=10")))["next"].is_null())
      << "a page that is just full is the last";
  for (const char* bad :
       {"limit=0", "limit=501", "limit=-1", "limit=x", "limit=", "before=x", "before=-1", "limit=1e2"})
    EXPECT_EQ(connection.ask(get(std::string("/api/photos?") + bad)).status, 400) << bad;
}

TEST(gallery_server, a_rendition_is_served_in_full_in_part_or_not_again) {
  serving there;
  const photo item = photo_of(1, 700'000);
  there.photos.publish(item);
  const std::string file = text_of(item.renditions[0]);
  const std::string url = "/photos/" + item.id + "/640.jpg";
  auto connection = there.connect();

  const auto whole = connection.ask(get(url));
  EXPECT_EQ(whole.status, 200);
  EXPECT_EQ(whole.body, file);
  EXPECT_EQ(whole.header("content-type"), "image/jpeg");
  EXPECT_EQ(whole.header("cache-control"), "private, max-age=31536000, immutable");
  EXPECT_EQ(whole.header("accept-ranges"), "bytes");
  const std::string etag = whole.header("etag");
  EXPECT_TRUE(etag.starts_with('"'));
  EXPECT_NE(connection.ask(get("/photos/" + item.id + "/320.jpg")).header("etag"), etag);

  EXPECT_EQ(connection.ask(get(url, "If-None-Match: " + etag + "\r\n")).status, 304);
  EXPECT_EQ(connection.ask(get(url, "If-None-Match: \"x\"\r\n")).status, 200);

  const auto part = connection.ask(get(url, "Range: bytes=1000-600999\r\n"));
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, file.substr(1000, 600'000));
  EXPECT_EQ(part.header("content-range"), "bytes 1000-600999/700000");
  EXPECT_EQ(connection.ask(get(url, "Range: bytes=-5\r\n")).body, file.substr(file.size() - 5));
  const auto outside = connection.ask(get(url, "Range: bytes=700000-\r\n"));
  EXPECT_EQ(outside.status, 416);
  EXPECT_EQ(outside.header("content-range"), "bytes */700000");

  EXPECT_EQ(connection.ask(get(url, "Range: bytes=0-9\r\nIf-Range: " + etag + "\r\n")).status, 206);
  EXPECT_EQ(connection.ask(get(url, "Range: bytes=0-9\r\nIf-Range: \"x\"\r\n")).body.size(), file.size());
  EXPECT_EQ(connection.ask(get(url, "Range: bytes=0-9\r\nIf-Range: W/" + etag + "\r\n")).status, 200);
}

TEST(gallery_server, head_is_get_without_the_body) {
  serving there;
  const photo item = photo_of(1);
  there.photos.publish(item);
  auto connection = there.connect();
  for (const std::string& target : {std::string("/"), std::string("/api/photos"), "/api/photos/" + item.id,
                                    "/photos/" + item.id + "/640.jpg", std::string("/nowhere")}) {
    const auto with = connection.ask(get(target));
    connection.send(get(target).replace(0, 3, "HEAD"));
    const auto without = connection.read_reply(false);
    EXPECT_EQ(without.status, with.status) << target;
    EXPECT_EQ(without.header("content-length"), with.header("content-length")) << target;
    EXPECT_EQ(without.header("etag"), with.header("etag")) << target;
  }
  connection.send(get("/photos/" + item.id + "/640.jpg", "Range: bytes=0-1\r\n").replace(0, 3, "HEAD"));
  EXPECT_EQ(connection.read_reply(false).status, 200) << "ranges are for GET";
}

TEST(gallery_server, no_address_leads_out_of_the_gallery) {
  serving there;
  const photo item = photo_of(1);
  there.photos.publish(item);
  std::ofstream(there.directory / "secret.jpg") << "secret";
  std::ofstream(there.directory / "photos" / item.id.substr(0, 2) / item.id / "1.jpg") << "no row";
  const std::string id = item.id;
  const std::string targets[] = {"/../gallery.db",
                                 "/photos/../gallery.db",
                                 "/assets/../gallery.db",
                                 "/photos/" + id + "/../../../secret.jpg",
                                 "/photos/" + id + "/..%2f..%2f..%2fsecret.jpg",
                                 "/photos/%2e%2e/%2e%2e/" + id,
                                 "/photos/" + id + "/640.jpg/",
                                 "/photos/" + id + "//640.jpg",
                                 "/photos/" + id + "/0640.jpg",
                                 "/photos/" + id + "/+640.jpg",
                                 "/photos/" + id + "/640.JPG",
                                 "/photos/" + id + "/640.webp",
                                 "/photos/" + id + "/1.jpg",
                                 "/photos/" + id + "/640",
                                 "/photos/" + id + "/640.jpg.",
                                 "/photos/" + id + "/",
                                 "/photos/" + id,
                                 "/photos/",
                                 "/photos//etc/passwd",
                                 "/photos/" + std::string(64, 'A') + "/640.jpg",
                                 "/api/photos/../photos",
                                 "/api/photos/" + id + "/",
                                 "/index.html",
                                 "//",
                                 "http://localhost/../gallery.db",
                                 "*",
                                 "/photos/" + id + "/99999999999999999999.jpg",
                                 "/assets/",
                                 "/%00"};
  for (const auto& target : targets) {
    auto connection = there.connect();
    const auto reply = connection.ask(get(target));
    EXPECT_EQ(reply.status, 404) << target;
    EXPECT_TRUE(json_of(reply)["error"].is_string()) << target;
    EXPECT_EQ(reply.header("cache-control"), "private, no-store");
  }
}

TEST(gallery_server, a_damaged_file_is_not_served_as_if_it_were_whole) {
  serving there;
  const photo item = photo_of(1);
  there.photos.publish(item);
  const auto file = there.directory / "photos" / item.id.substr(0, 2) / item.id / "640.jpg";
  std::filesystem::resize_file(file, 100);
  auto connection = there.connect();
  EXPECT_EQ(connection.ask(get("/photos/" + item.id + "/640.jpg")).status, 500);
  std::filesystem::remove(file);
  std::filesystem::create_symlink("/etc/passwd", file);
  EXPECT_EQ(connection.ask(get("/photos/" + item.id + "/640.jpg")).status, 500);
}

TEST(gallery_server, other_methods_are_not_allowed) {
  const serving there;
  auto connection = there.connect();
  const std::string rest =
      " HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer " + std::string(test_token) + "\r\n\r\n";
  for (const char* line : {"DELETE /api/photos", "POST /", "OPTIONS /", "PATCH /api/events", "PUT /", "BREW /"}) {
    const auto reply = connection.ask(line + rest);
    EXPECT_EQ(reply.status, 405) << line;
    EXPECT_EQ(reply.header("allow"), "GET, HEAD") << line;
  }
  EXPECT_EQ(connection.ask("DELETE /api/photos/" + id_of(1) + rest).header("allow"), "GET, HEAD, PUT");
}

TEST(gallery_server, requests_sent_ahead_are_answered_in_order) {
  serving there;
  const photo first = photo_of(1, 400'000), second = photo_of(2, 200'000);
  auto connection = there.connect();
  const std::string file = "/photos/" + first.id + "/640.jpg";
  connection.send(put(first, test_token) + get(file) + put(second, test_token) + get("/api/photos") + get(file) +
                  get("/nowhere") + get("/api/photos/" + second.id));
  EXPECT_EQ(connection.read_reply().status, 201);
  EXPECT_EQ(connection.read_reply().body, text_of(first.renditions[0]));
  EXPECT_EQ(connection.read_reply().status, 201);
  EXPECT_EQ(json_of(connection.read_reply())["total"], 2);
  EXPECT_EQ(connection.read_reply().body, text_of(first.renditions[0]));
  EXPECT_EQ(connection.read_reply().status, 404);
  EXPECT_EQ(json_of(connection.read_reply())["id"], second.id);
}

TEST(gallery_server, a_body_nobody_asked_for_is_not_taken_for_the_next_request) {
  const serving there;
  auto connection = there.connect();
  const std::string smuggled = get("/api/photos");
  const auto reply =
      connection.ask(get("/nowhere", "Content-Length: " + std::to_string(smuggled.size()) + "\r\n") + smuggled);
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.header("connection"), "close");
  connection.send_end();
  EXPECT_TRUE(connection.is_at_end());
}

TEST(gallery_server, what_is_not_http_is_refused) {
  const serving there;
  for (const std::string bad :
       {"nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "G\001T / HTTP/1.1\r\nHost: localhost\r\n\r\n"}) {
    auto connection = there.connect();
    const auto reply = connection.ask(bad);
    EXPECT_EQ(reply.status, 400) << bad;
    connection.send_end();
    EXPECT_TRUE(connection.is_at_end()) << bad;
  }
}

// Each of these heads is followed by bytes that are a request of their own. A server that is wrong about where the
// first one ends answers the second one too.
TEST(gallery_server, a_request_of_which_the_end_is_in_doubt_gets_one_reply) {
  const serving there;
  const std::string second = get("/api/photos");
  std::vector<std::string> heads;
  for (const char* encoding :
       {"gzip", "identity", "chunked, gzip", "gzip, chunked", "xchunked", "chunkedx", "Chunked", "CHUNKED", "\tchunked",
        " chunked", "chunked ", "chunked,", ",chunked", "chunked, chunked", "\"chunked\"", "chunked;q=1", "", "cow"})
    heads.push_back(std::string("Transfer-Encoding: ") + encoding + "\r\n");
  for (const char* more : {"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
                           "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                           "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
                           "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
                           "Content-Length: 0\r\nContent-Length: 0\r\n",
                           "Content-Length: 0\r\nContent-Length: 5\r\n",
                           "Content-Length: 0, 0\r\n",
                           "Content-Length: +0\r\n",
                           "Content-Length: -0\r\n",
                           "Content-Length: 0x0\r\n",
                           "Content-Length: \r\n",
                           "Content-Length: 0 0\r\n",
                           "Content-Length : 0\r\n",
                           "Content-Length:\r\n 0\r\n",
                           "Transfer-Encoding : chunked\r\n",
                           "Transfer-Encoding\t: chunked\r\n",
                           "Transfer-Encoding:\r\n chunked\r\n",
                           "Transfer-Encoding: chunked\r\n\tx\r\n",
                           "X: a\r\n Transfer-Encoding: chunked\r\n",
                           " Transfer-Encoding: chunked\r\n",
                           "X: a\nTransfer-Encoding: chunked\r\n",
                           "X: a\rTransfer-Encoding: chunked\r\n",
                           "Transfer-Encoding: \x0b"
                           "chunked\r\n",
                           "X\r\n",
                           ": x\r\n"})
    heads.emplace_back(more);
  for (const auto& head : heads)
    for (const char* method : {"GET", "PUT"}) {
      std::string request = get("/", head) + second;
      request.replace(0, 3, method);
      auto connection = there.connect();
      EXPECT_EQ(connection.ask(request).status, 400) << request;
      EXPECT_TRUE(connection.is_at_end()) << request;
    }
  for (const char* head : {"Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n"}) {
    std::string request = get("/", head) + second;
    request.replace(request.find("HTTP/1.1"), 8, "HTTP/1.0");
    auto connection = there.connect();
    EXPECT_EQ(connection.ask(request).status, 400) << request;
    EXPECT_TRUE(connection.is_at_end()) << request;
  }
  // In no doubt: but nothing here reads such a body, so that the connection ends with the reply.
  auto chunked = there.connect();
  EXPECT_EQ(chunked.ask(get("/", "Transfer-Encoding: chunked\r\n") + "0\r\n\r\n" + second).status, 200);
  EXPECT_TRUE(chunked.is_at_end());
  auto zero = there.connect();
  EXPECT_EQ(zero.ask(get("/", "Content-Length: 0\r\n") + second).status, 200);
  EXPECT_EQ(zero.read_reply().status, 200);
}

TEST(gallery_server, an_upload_that_is_wrong_is_refused_and_leaves_nothing) {
  const serving there;
  const photo item = photo_of(1);
  const std::string good = put(item, test_token);
  const auto changed = [&](std::string_view from, std::string_view to) {
    std::string request = good;
    const auto at = request.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return request.replace(at, from.size(), to);
  };
  const std::pair<std::string, int> bad[] = {
      {changed("vnd.penstock.photo", "octet-stream"), 415},
      {changed("/api/photos/" + item.id, "/api/photos/" + item.id.substr(1)), 404},
      {changed("\"bytes\":3000", "\"bytes\":2999"), 400},
      {changed("\"width\":640", "\"width\":64O"), 400},
      {changed("\xff\xd8\xff", "GIF"), 400},
      {changed("Content-Length: ", "Transfer-Encoding: chunked\r\nX: "), 411},
      {changed("Content-Length: ", "Transfer-Encoding: chunked\r\nContent-Length: "), 400},
      {changed("\r\nContent-Length: ", "\r\nX: "), 411},
      {changed("\r\nHost", "\r\nExpect: the-unexpected\r\nHost"), 417},
      {"PUT /api/photos/" + item.id +
           " HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/vnd.penstock.photo\r\n" +
           "Content-Length: 0\r\nAuthorization: Bearer " + std::string(test_token) + "\r\n\r\n",
       400},
  };
  for (const auto& [request, status] : bad) {
    auto connection = there.connect();
    const auto reply = connection.ask(request);
    EXPECT_EQ(reply.status, status) << request.substr(0, 300);
    EXPECT_TRUE(json_of(reply)["error"].is_string());
  }
  EXPECT_TRUE(directories_on_disk(there.directory.path()).empty());
  auto connection = there.connect();
  EXPECT_EQ(connection.ask(good).status, 201);
}

TEST(gallery_server, an_upload_that_breaks_off_leaves_nothing) {
  serving there;
  const std::string request = put(photo_of(1), test_token);
  for (const std::size_t size : {request.size() - 1, request.size() / 2, request.find("\r\n\r\n") + 4}) {
    auto connection = there.connect();
    connection.send(request.substr(0, size));
    connection.send_end();
    EXPECT_EQ(connection.read_reply().status, 400);
  }
  EXPECT_EQ(there.photos.total(), 0);
  EXPECT_TRUE(drafts_on_disk(there.directory.path()).empty());
}

TEST(gallery_server, the_pixels_are_measured_and_must_be_what_the_upload_says) {
  auto options = test_options();
  std::atomic<int> measured = 0;
  options.measure = [&](const rendition& r) {
    ++measured;
    if (r.bytes.size() == 103) throw std::runtime_error("a truncated file");
    return dimensions{r.width == 320 ? 320 : 640, r.width == 320 ? 240 : 480};
  };
  const serving there(options);
  auto connection = there.connect();
  EXPECT_EQ(connection.ask(put(photo_of(1), test_token)).status, 201);
  EXPECT_EQ(measured, 2);
  photo wrong = photo_of(2);
  wrong.renditions[0].width = 650;
  const auto refused = connection.ask(put(wrong, test_token));
  EXPECT_EQ(refused.status, 400);
  EXPECT_NE(refused.body.find("650 x 480"), std::string::npos) << refused.body;
  EXPECT_NE(refused.body.find("640 x 480"), std::string::npos) << refused.body;
  const auto undecodable = connection.ask(put(photo_of(3, 200), test_token));
  EXPECT_EQ(undecodable.status, 400);
  EXPECT_NE(undecodable.body.find("truncated"), std::string::npos) << undecodable.body;
  EXPECT_EQ(directories_on_disk(there.directory.path()), std::set<std::string>{id_of(1)});
}

TEST(gallery_server, who_may_do_what) {
  struct row {
    const char* what;
    std::string token;
    const char* host;
    const char* more;
    int reading;
    int writing;
  };
  const std::string secret(test_token);
  const row rows[] = {
      {"no token set", "", "localhost:1", "", 200, 403},
      {"no token set, one sent", "", "localhost:1", "Authorization: Bearer x\r\n", 200, 403},
      {"no token set, a stranger's name", "", "evil.example", "", 421, 421},
      {"no token set, an address of the network", "", "192.168.0.7:8080", "", 421, 421},
      {"no token set, through a proxy", "", "localhost", "X-Forwarded-For: 203.0.113.9\r\n", 403, 403},
      {"no token sent", secret, "127.0.0.1", "", 401, 401},
      {"a wrong one sent", secret, "127.0.0.1", "Authorization: Bearer a-token-for-tests-onlx\r\n", 401, 401},
      {"a stranger's name", secret, "evil.example", "", 401, 401},
      {"the token", secret, "evil.example", "Authorization: Bearer a-token-for-tests-only\r\n", 200, 201},
      {"the token, through a proxy", secret, "127.0.0.1",
       "Authorization: Bearer a-token-for-tests-only\r\nVia: 1.1 proxy\r\n", 200, 201},
      {"as a password", secret, "localhost", "Authorization: Basic YW5uYTphLXRva2VuLWZvci10ZXN0cy1vbmx5\r\n", 200, 201},
      {"by a page of another site", secret, "localhost",
       "Authorization: Bearer a-token-for-tests-only\r\nOrigin: http://evil.example\r\n", 200, 403},
      {"the token twice", secret, "localhost",
       "Authorization: Bearer a-token-for-tests-only\r\nAuthorization: Bearer a-token-for-tests-only\r\n", 400, 400},
  };
  for (const auto& r : rows) {
    auto options = test_options();
    options.token = r.token;
    serving there(options);
    there.photos.publish(photo_of(2));
    for (const std::string& target : {std::string("/"), std::string("/api/photos"), std::string("/api/events"),
                                      "/api/photos/" + id_of(2), "/photos/" + id_of(2) + "/640.jpg"}) {
      auto connection = there.connect();
      connection.send("GET " + target + " HTTP/1.1\r\nHost: " + r.host + "\r\n" + r.more + "\r\n");
      const auto reply = connection.read_reply(false);
      EXPECT_EQ(reply.status, r.reading) << r.what << ' ' << target;
      EXPECT_EQ(!reply.header("www-authenticate").empty(), r.reading == 401) << r.what << ' ' << target;
    }
    auto connection = there.connect();
    std::string request = put(photo_of(1), "", r.more);
    request.replace(request.find("localhost"), 9, r.host);
    EXPECT_EQ(connection.ask(request).status, r.writing) << r.what;
  }
}

TEST(gallery_server, a_browser_signs_in_with_the_token_and_stays_signed_in) {
  serving there;
  there.photos.publish(photo_of(1));
  auto connection = there.connect();
  const auto page = connection.ask(get_without_token("/", "Accept: text/html,*/*\r\n"));
  EXPECT_EQ(page.status, 401);
  EXPECT_EQ(page.header("content-type"), "text/html; charset=utf-8");
  EXPECT_EQ(page.header("www-authenticate").find("Basic"), std::string::npos) << "the browser would hide the page";
  EXPECT_EQ(page.header("cache-control"), "private, no-store");
  int parts = 0;
  for (const std::string_view attribute : {"src=\"", "href=\""})
    for (auto at = page.body.find(attribute); at != std::string::npos; at = page.body.find(attribute, at), ++parts) {
      at += attribute.size();
      const std::string target = page.body.substr(at, page.body.find('"', at) - at);
      EXPECT_EQ(connection.ask(get_without_token(target)).status, 200) << target;
    }
  EXPECT_GE(parts, 2);

  const auto sign_in = [&](std::string_view more) {
    return connection.ask("POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n" + std::string(more) +
                          "\r\n");
  };
  EXPECT_EQ(sign_in("").status, 401);
  EXPECT_EQ(sign_in("Authorization: Bearer a-token-for-tests-onlx\r\n").header("set-cookie"), "");
  const std::string right = "Authorization: Bearer " + std::string(test_token) + "\r\n";
  const auto signed_in = sign_in(right);
  EXPECT_EQ(signed_in.status, 204);
  const std::string cookie = signed_in.header("set-cookie");
  EXPECT_NE(cookie.find("; HttpOnly"), std::string::npos) << cookie;
  EXPECT_NE(cookie.find("; SameSite=Strict"), std::string::npos) << cookie;
  EXPECT_EQ(cookie.find("Secure"), std::string::npos) << "it would not come back over http";
  EXPECT_EQ(cookie.find(test_token), std::string::npos);
  EXPECT_NE(sign_in(right + "Origin: https://photos.example\r\n").header("set-cookie").find("; Secure"),
            std::string::npos);

  const std::string session = "Cookie: a=b; " + cookie.substr(0, cookie.find(';')) + "; c=d\r\n";
  for (const std::string& target :
       {std::string("/"), std::string("/api/session"), std::string("/api/photos"), "/photos/" + id_of(1) + "/640.jpg"})
    EXPECT_LT(connection.ask(get_without_token(target, session)).status, 300) << target;
  EXPECT_EQ(connection.ask(get_without_token("/api/photos", "Cookie: a=b\r\n")).status, 401);
  auto uploader = there.connect();
  EXPECT_EQ(uploader.ask(put(photo_of(2), "", session)).status, 401) << "a session only reads";
}

TEST(gallery_server, elsewhere_reading_needs_the_token_unless_it_is_public) {
  for (const bool is_public : {false, true}) {
    auto options = test_options();
    options.address = "0.0.0.0";
    options.public_read = is_public;
    serving there(options);
    const photo item = photo_of(1);
    there.photos.publish(item);
    auto connection = there.connect();
    EXPECT_EQ(connection.ask(get_without_token("/photos/" + item.id + "/640.jpg")).status, is_public ? 200 : 401);
  }
}

// With the token and without, on every kind of reply.
TEST(gallery_server, what_is_not_public_stays_in_no_shared_cache) {
  for (const bool has_token : {false, true})
    for (const bool is_public : {false, true}) {
      auto options = test_options();
      if (!has_token) options.token = "";
      options.public_read = is_public;
      serving there(options);
      const photo item = photo_of(1);
      there.photos.publish(item);
      const std::string file = "/photos/" + item.id + "/640.jpg";
      auto connection = there.connect();
      const std::string etag = connection.ask(get(file)).header("etag");
      const std::string page_etag = connection.ask(get("/")).header("etag");
      for (const auto& request :
           {get("/"), get("/", "If-None-Match: " + page_etag + "\r\n"), get("/api/photos"),
            get("/api/photos/" + item.id), get(file), get(file, "Range: bytes=0-9\r\n"),
            get(file, "Range: bytes=9999999-\r\n"), get(file, "If-None-Match: " + etag + "\r\n"), get("/nowhere"),
            get(file + "x"), get_without_token("/api/photos"), put(item, test_token), get("/api/events")}) {
        auto one = there.connect();
        one.send(request);
        const auto reply = one.read_reply(false);
        const std::string control = reply.header("cache-control");
        EXPECT_EQ(control.starts_with("private"), !is_public) << control << '\n' << request.substr(0, 200);
        EXPECT_EQ(reply.header("vary"), is_public ? "" : "Authorization, Cookie") << request.substr(0, 200);
      }
    }
}

TEST(gallery_server, a_wrong_start_says_what_to_do) {
  const temporary_directory directory;
  store photos(directory.path());
  const auto message = [&](server_options options) -> std::string {
    try {
      const server started(photos, std::move(options));
      return "it started";
    } catch (const std::runtime_error& failure) {
      return failure.what();
    }
  };
  auto options = test_options();
  options.address = "0.0.0.0";
  options.token = "";
  EXPECT_NE(message(options).find("PENSTOCK_TOKEN"), std::string::npos) << message(options);
  options = test_options();
  options.address = "gallery.example";
  EXPECT_NE(message(options).find("127.0.0.1"), std::string::npos) << message(options);
  options.address = "203.0.113.7";
  EXPECT_NE(message(options).find("not an address of this machine"), std::string::npos) << message(options);
  const server first(photos, test_options());
  options = test_options();
  options.port = first.port();
  EXPECT_NE(message(options).find("in use"), std::string::npos) << message(options);
  EXPECT_NE(message(options).find("another port"), std::string::npos) << message(options);
  options = test_options();
  options.address = "::1";
  EXPECT_EQ(message(options), "it started");
}

}  // namespace
}  // namespace penstock::gallery
