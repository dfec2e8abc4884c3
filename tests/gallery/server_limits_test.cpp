// What a server does to clients that send too much, too slowly, or too many at once; and how it ends.
#include <atomic>
#include <condition_variable>
#include <future>
#include <mutex>

#include <gtest/gtest.h>

#include "apps/gallery/bundle.hpp"
#include "tests/gallery/serving.hpp"

namespace penstock::gallery {
namespace {

using std::chrono::milliseconds;

std::string head_of_put(const photo& item, std::string_view more = "") {
  const std::string request = put(item, test_token, more);
  return request.substr(0, request.find("\r\n\r\n") + 4);
}

TEST(gallery_server_limits, a_head_that_is_too_long_is_refused) {
  const serving there;
  auto connection = there.connect();
  EXPECT_EQ(connection.ask(get("/", "X: " + std::string(20'000, 'x') + "\r\n")).status, 431);
  auto endless = there.connect();
  std::string request = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 2000; ++i) request += "X-" + std::to_string(i) + ": " + std::string(80, 'x') + "\r\n";
  endless.send(request);
  EXPECT_EQ(endless.read_reply().status, 431);
}

TEST(gallery_server_limits, a_body_above_the_limit_is_refused_without_being_read) {
  server_limits limits;
  limits.body_bytes = 10'000;
  const serving there(test_options(limits));
  auto connection = there.connect();
  connection.send(head_of_put(photo_of(1, 10'000)));
  EXPECT_EQ(connection.read_reply().status, 413);
  auto vast = there.connect();
  EXPECT_EQ(vast.ask("PUT /api/photos/" + id_of(1) + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " +
                     std::string(bundle_media_type) + "\r\nAuthorization: Bearer " + std::string(test_token) +
                     "\r\nContent-Length: 18446744073709551615\r\n\r\n")
                .status,
            413);
}

TEST(gallery_server_limits, the_token_is_asked_for_before_the_body) {
  const serving there;
  for (const char* expect : {"", "Expect: 100-continue\r\n"}) {
    auto connection = there.connect();
    std::string request = put(photo_of(1), "wrong", expect);
    connection.send(request.substr(0, request.find("\r\n\r\n") + 4));
    const auto reply = connection.read_reply();
    EXPECT_EQ(reply.status, 401);
    EXPECT_EQ(reply.header("connection"), "close");
  }
}

TEST(gallery_server_limits, a_client_that_sends_all_before_it_reads_gets_the_refusal_too) {
  const serving there;
  auto connection = there.connect();
  EXPECT_TRUE(connection.send(put(photo_of(1, 10'000'000), "wrong"))) << "reset while it was sending";
  EXPECT_EQ(connection.read_reply().status, 401);
}

TEST(gallery_server_limits, a_client_that_asks_whether_to_continue_is_told) {
  const serving there;
  auto connection = there.connect();
  const std::string request = put(photo_of(1), test_token, "Expect: 100-continue\r\n");
  connection.send(request.substr(0, request.find("\r\n\r\n") + 4));
  EXPECT_EQ(connection.read_line(), "HTTP/1.1 100 Continue");
  EXPECT_EQ(connection.read_line(), "");
  connection.send(request.substr(request.find("\r\n\r\n") + 4));
  EXPECT_EQ(connection.read_reply().status, 201);
}

// The connection is not closed by us: only the server's deadlines can end these tests.
TEST(gallery_server_limits, a_client_that_is_slow_is_cut) {
  server_limits limits;
  limits.header = limits.idle = limits.body_pause = limits.write_pause = milliseconds(50);
  const serving there(test_options(limits));

  auto silent = there.connect();
  EXPECT_TRUE(silent.is_at_end());

  auto head = there.connect();
  head.send("GET / HTTP/1.1\r\nHo");
  EXPECT_EQ(head.read_reply().status, 408);

  auto between = there.connect();
  EXPECT_EQ(between.ask(get("/api/photos")).status, 200);
  EXPECT_TRUE(between.is_at_end());

  auto body = there.connect();
  const std::string request = put(photo_of(1), test_token);
  body.send(request.substr(0, request.size() - 1));
  EXPECT_EQ(body.read_reply().status, 408);
}

TEST(gallery_server_limits, a_body_that_drips_is_cut_by_the_limit_for_the_whole) {
  server_limits limits;
  limits.body_total = milliseconds(100);
  const serving there(test_options(limits));
  auto connection = there.connect();
  const std::string request = put(photo_of(1, 20'000'000), test_token);
  const auto head_end = request.find("\r\n\r\n") + 4;
  const auto line_end = request.find('\n', head_end) + 1;
  connection.send(request.substr(0, line_end));
  // A byte at a time, without a pause: nothing but the limit for the whole can end this.
  std::size_t at = line_end;
  while (at < request.size() && connection.send(request.substr(at, 1))) ++at;
  EXPECT_LT(at, request.size());
}

TEST(gallery_server_limits, a_client_that_does_not_read_is_cut) {
  server_limits limits;
  limits.write_pause = milliseconds(50);
  limits.connections = 1;
  serving there(test_options(limits));
  const photo item = photo_of(1, 20'000'000);
  there.photos.publish(item);
  auto reader = there.connect();
  reader.send(get("/photos/" + item.id + "/640.jpg"));
  // While it is served nobody else is; that somebody is, proves that it was given up.
  for (;;) {
    auto other = there.connect();
    if (other.ask(get("/api/photos")).status == 200) break;
  }
}

TEST(gallery_server_limits, above_the_limit_the_connection_that_waits_longest_makes_room) {
  server_limits limits;
  limits.connections = 3;
  const serving there(test_options(limits));
  std::vector<raw_connection> open;
  for (int i = 0; i < 3; ++i) {
    open.push_back(there.connect());
    ASSERT_EQ(open.back().ask(get("/api/photos")).status, 200);
  }
  ASSERT_EQ(open[0].ask(get("/api/photos")).status, 200);  // now the second one has waited longest
  auto fourth = there.connect();
  EXPECT_EQ(fourth.ask(get("/api/photos")).status, 200);
  EXPECT_TRUE(open[1].is_at_end());
  auto fifth = there.connect();
  EXPECT_EQ(fifth.ask(get("/api/photos")).status, 200);
  EXPECT_TRUE(open[2].is_at_end());
  for (auto* one : {&open[0], &fourth, &fifth}) EXPECT_EQ(one->ask(get("/api/photos")).status, 200);
}

// Six connections of each of many clients, all kept open: none is turned away.
TEST(gallery_server_limits, many_clients_that_keep_their_connections_are_all_served) {
  server_limits limits;
  limits.connections = 16;
  const serving there(test_options(limits));
  std::vector<raw_connection> open;
  for (int i = 0; i < 200; ++i) {
    open.push_back(there.connect());
    ASSERT_EQ(open.back().ask(get("/api/photos")).status, 200) << i;
  }
}

TEST(gallery_server_limits, what_is_served_streams_or_uploads_makes_no_room) {
  server_limits limits;
  limits.connections = 3;
  serving there(test_options(limits));
  const photo large = photo_of(1, 30'000'000);
  there.photos.publish(large);
  auto uploader = there.connect();
  const std::string upload = put(photo_of(2), test_token, "Expect: 100-continue\r\n");
  const auto body = upload.find("\r\n\r\n") + 4;
  uploader.send(upload.substr(0, body));
  EXPECT_EQ(uploader.read_line(), "HTTP/1.1 100 Continue");
  EXPECT_EQ(uploader.read_line(), "");
  auto stream = there.connect();
  stream.send(get("/api/events"));
  EXPECT_EQ(stream.read_reply(false).status, 200);
  auto reader = there.connect();
  reader.send(get("/photos/" + large.id + "/640.jpg"));
  EXPECT_EQ(reader.read_line(), "HTTP/1.1 200 OK");  // and reads no further: more is under way than buffers hold
  for (int i = 0; i < 5; ++i) {
    auto refused = there.connect();
    const auto reply = refused.read_reply();
    EXPECT_EQ(reply.status, 503);
    EXPECT_EQ(reply.header("retry-after"), "2");
  }
  uploader.send(upload.substr(body));
  EXPECT_EQ(uploader.read_reply().status, 201);
  // Now the uploader's connection waits for a request, and makes room.
  auto next = there.connect();
  EXPECT_EQ(next.ask(get("/api/photos")).status, 200);
  EXPECT_TRUE(uploader.is_at_end());
}

TEST(gallery_server_limits, a_head_that_never_ends_makes_room) {
  server_limits limits;
  limits.connections = 1;
  limits.header = std::chrono::minutes(10);
  const serving there(test_options(limits));
  auto slow = there.connect();
  slow.send("GET / HTTP/1.1\r\nHo");
  for (;;) {  // at first it may be just arriving
    auto other = there.connect();
    if (other.ask(get("/api/photos")).status == 200) break;
  }
  EXPECT_TRUE(slow.is_at_end());
}

TEST(gallery_server_limits, uploads_above_the_limit_in_number_or_bytes_are_told_to_come_back) {
  for (const bool by_bytes : {false, true}) {
    server_limits limits;
    if (by_bytes)
      limits.upload_bytes = limits.body_bytes = encode_bundle(photo_of(1)).size() * 3 / 2;
    else
      limits.uploads = 1;
    const serving there(test_options(limits));
    auto first = there.connect();
    const std::string request = put(photo_of(1), test_token, "Expect: 100-continue\r\n");
    const auto head_end = request.find("\r\n\r\n") + 4;
    first.send(request.substr(0, head_end));
    EXPECT_EQ(first.read_line(), "HTTP/1.1 100 Continue");
    EXPECT_EQ(first.read_line(), "");
    auto second = there.connect();
    const auto refused = second.ask(put(photo_of(2), test_token));
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(refused.header("retry-after"), "2");
    first.send(request.substr(head_end));
    EXPECT_EQ(first.read_reply().status, 201);
    auto third = there.connect();
    EXPECT_EQ(third.ask(put(photo_of(2), test_token)).status, 201);
  }
}

// Lets a test hold uploads in the middle of being published.
class gate {
 public:
  void pass() {
    std::unique_lock lock(mutex_);
    ++arrived_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
  }
  void wait_for_somebody() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return arrived_ > 0; });
  }
  void open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int arrived_ = 0;
  bool open_ = false;
};

TEST(gallery_server_limits, publishing_does_not_hold_up_readers) {
  gate slow_disk;
  auto options = test_options();
  options.measure = [&](const rendition& r) {
    slow_disk.pass();
    return dimensions{r.width, r.height};
  };
  const serving there(options);
  auto uploader = there.connect();
  uploader.send(put(photo_of(1), test_token));
  slow_disk.wait_for_somebody();
  auto reader = there.connect();
  EXPECT_EQ(reader.ask(get("/api/photos")).status, 200);
  slow_disk.open();
  EXPECT_EQ(uploader.read_reply().status, 201);
}

TEST(gallery_server_limits, stop_lets_an_upload_in_progress_finish) {
  gate slow_disk;
  auto options = test_options();
  options.limits.stop = std::chrono::minutes(10);
  options.measure = [&](const rendition& r) {
    slow_disk.pass();
    return dimensions{r.width, r.height};
  };
  serving there(options);
  auto uploader = there.connect();
  uploader.send(put(photo_of(1), test_token));
  slow_disk.wait_for_somebody();
  auto idle = there.connect();
  EXPECT_EQ(idle.ask(get("/api/photos")).status, 200);
  auto stopped = std::async(std::launch::async, [&] { there.running.stop(); });
  EXPECT_TRUE(idle.is_at_end()) << "a connection without a request is closed at once";
  slow_disk.open();
  const auto reply = uploader.read_reply();
  EXPECT_EQ(reply.status, 201);
  EXPECT_TRUE(uploader.is_at_end());
  stopped.wait();
  EXPECT_EQ(difference(there.photos, photo_of(1)), "");
}

TEST(gallery_server_limits, stop_cuts_what_takes_too_long) {
  server_limits limits;
  limits.stop = milliseconds(20);
  serving there(test_options(limits));
  auto uploader = there.connect();
  uploader.send(head_of_put(photo_of(1), "Expect: 100-continue\r\n"));
  EXPECT_EQ(uploader.read_line(), "HTTP/1.1 100 Continue");
  auto reader = there.connect();
  there.running.stop();  // returns although the body never comes
  there.running.stop();
  EXPECT_EQ(uploader.read_reply().status, 0);
  EXPECT_EQ(there.photos.total(), 0);
}

TEST(gallery_server_limits, a_server_can_be_stopped_at_any_time) {
  const temporary_directory directory;
  store photos(directory.path());
  photos.publish(photo_of(1, 3'000'000));
  const std::string requests = get("/photos/" + id_of(1) + "/640.jpg") + get("/api/photos") + get("/") +
                               put(photo_of(2), test_token) + get("/api/events");
  for (int round = 0; round < 30; ++round) {
    server running(photos, test_options());
    std::vector<raw_connection> clients;
    for (int i = 0; i < 5; ++i) {
      clients.emplace_back(running.port());
      clients.back().send(requests);
    }
    if (round % 3 == 1) static_cast<void>(clients[0].read_reply());
    if (round % 3 == 2) clients.clear();
    running.stop();
  }
  SUCCEED();
}

}  // namespace
}  // namespace penstock::gallery
