#include <set>
#include <thread>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/gallery/serving.hpp"

namespace penstock::gallery {
namespace {

struct event {
  std::string id;
  std::string type;
  std::string data;
};

class event_stream {
 public:
  event_stream(const serving& there, std::string_view target, std::string_view more = "")
      : connection_(there.connect()) {
    connection_.send(get(target, more));
    reply_ = connection_.read_reply(false);
  }

  [[nodiscard]] const raw_reply& reply() const { return reply_; }

  // The next block, of any kind; comments are blocks with nothing in them.
  [[nodiscard]] event next() {
    event read;
    for (std::string line = connection_.read_line(); !line.empty(); line = connection_.read_line()) {
      if (line.starts_with("id: ")) read.id = line.substr(4);
      if (line.starts_with("event: ")) read.type = line.substr(7);
      if (line.starts_with("data: ")) read.data = line.substr(6);
    }
    return read;
  }
  [[nodiscard]] std::string next_photo() {
    const event read = next();
    EXPECT_EQ(read.type, "photo");
    return nlohmann::json::parse(read.data, nullptr, false).value("id", "");
  }
  [[nodiscard]] raw_connection& connection() { return connection_; }

 private:
  raw_connection connection_;
  raw_reply reply_;
};

TEST(gallery_events, a_stream_begins_with_where_it_is) {
  serving there;
  there.photos.publish(photo_of(1));
  event_stream stream(there, "/api/events");
  EXPECT_EQ(stream.reply().status, 200);
  EXPECT_EQ(stream.reply().header("content-type"), "text/event-stream");
  EXPECT_EQ(stream.reply().header("cache-control"), "private, no-store");
  const event first = stream.next();
  EXPECT_EQ(first.id, "1");
  EXPECT_EQ(first.data, "") << "the browser keeps an id without data, and shows nothing";
}

TEST(gallery_events, photos_arrive_as_they_are_listed) {
  serving there;
  event_stream stream(there, "/api/events");
  EXPECT_EQ(stream.next().id, "0");
  photo item = photo_of(1);
  item.fields = {{"title", "two\nlines"}};
  there.photos.publish(item);
  const event arrived = stream.next();
  EXPECT_EQ(arrived.id, "1");
  EXPECT_EQ(arrived.type, "photo");
  auto connection = there.connect();
  const auto listed = connection.ask(get("/api/photos/" + item.id));
  EXPECT_EQ(nlohmann::json::parse(arrived.data), nlohmann::json::parse(listed.body));
}

TEST(gallery_events, a_stream_resumes_after_what_was_seen) {
  serving there;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) there.photos.publish(photo_of(seed));
  event_stream by_header(there, "/api/events", "Last-Event-ID: 40\r\n");
  event_stream by_address(there, "/api/events?after=40");
  event_stream both(there, "/api/events?after=7", "Last-Event-ID: 40\r\n");
  for (auto* stream : {&by_header, &by_address, &both}) {
    EXPECT_EQ(stream->next().id, "40");
    for (std::uint64_t seed = 41; seed <= 100; ++seed) ASSERT_EQ(stream->next_photo(), id_of(seed));
  }
  there.photos.publish(photo_of(101));
  for (auto* stream : {&by_header, &by_address, &both}) EXPECT_EQ(stream->next_photo(), id_of(101));
  EXPECT_EQ(event_stream(there, "/api/events?after=x").reply().status, 400);
}

TEST(gallery_events, every_stream_gets_every_photo_once_in_order) {
  serving there;
  constexpr std::uint64_t photos = 100;
  std::vector<std::unique_ptr<event_stream>> streams;
  for (int i = 0; i < 4; ++i) {
    streams.push_back(std::make_unique<event_stream>(there, "/api/events"));
    EXPECT_EQ(streams.back()->next().id, "0");
  }
  std::vector<std::jthread> publishers;
  for (std::uint64_t i = 0; i < 2; ++i)
    publishers.emplace_back([&there, i] {
      for (std::uint64_t seed = i; seed < photos; seed += 2) there.photos.publish(photo_of(seed));
    });
  for (auto& stream : streams) {
    std::set<std::string> ids;
    for (std::uint64_t i = 1; i <= photos; ++i) {
      const event arrived = stream->next();
      ASSERT_EQ(arrived.id, std::to_string(i));
      ids.insert(nlohmann::json::parse(arrived.data)["id"]);
    }
    EXPECT_EQ(ids.size(), photos);
  }
}

TEST(gallery_events, photos_of_another_process_arrive) {
  const serving there;
  event_stream stream(there, "/api/events");
  EXPECT_EQ(stream.next().id, "0");
  child_process publisher({"publish", there.directory.path(), "1", "3", "1"});
  for (std::uint64_t seed = 1; seed <= 3; ++seed) EXPECT_EQ(stream.next_photo(), id_of(seed));
}

TEST(gallery_events, a_quiet_stream_shows_that_it_lives) {
  server_limits limits;
  limits.heartbeat = std::chrono::milliseconds(10);
  serving there(test_options(limits));
  event_stream stream(there, "/api/events");
  EXPECT_EQ(stream.next().id, "0");
  for (int i = 0; i < 3; ++i) {
    const event beat = stream.next();
    EXPECT_EQ(beat.id + beat.type + beat.data, "");
  }
  there.photos.publish(photo_of(1));
  for (;;) {
    const event read = stream.next();
    if (read.type.empty()) continue;
    EXPECT_EQ(read.id, "1");
    break;
  }
}

TEST(gallery_events, who_does_not_read_is_dropped_and_can_resume) {
  server_limits limits;
  limits.write_pause = std::chrono::milliseconds(50);
  limits.event_streams = 1;
  serving there(test_options(limits));
  constexpr std::uint64_t photos = 300;
  for (std::uint64_t seed = 1; seed <= photos; ++seed) {
    photo item = photo_of(seed, 100);
    item.fields["text"] = std::string(20'000, 't');  // together more than the buffers on the way hold
    there.photos.publish(item);
  }
  auto lazy = std::make_unique<event_stream>(there, "/api/events?after=0");
  ASSERT_EQ(lazy->reply().status, 200);
  // There is room for one stream: that another one is let in proves that the lazy one was dropped.
  while (event_stream(there, "/api/events").reply().status != 200) {
  }
  std::uint64_t last = 0;
  ASSERT_EQ(lazy->next().id, "0");
  for (event read = lazy->next(); !read.data.empty(); read = lazy->next()) {
    if (!read.data.ends_with("}}")) break;  // cut in the middle: a browser drops what has no empty line after it
    ASSERT_EQ(read.id, std::to_string(++last));
  }
  EXPECT_GT(last, 0U);
  EXPECT_LT(last, photos);
  lazy.reset();
  for (;;) {
    event_stream again(there, "/api/events", "Last-Event-ID: " + std::to_string(last) + "\r\n");
    if (again.reply().status != 200) continue;
    ASSERT_EQ(again.next().id, std::to_string(last));
    while (last < photos) ASSERT_EQ(again.next().id, std::to_string(++last));
    break;
  }
}

TEST(gallery_events, streams_above_the_limit_are_told_to_come_back) {
  server_limits limits;
  limits.event_streams = 2;
  const serving there(test_options(limits));
  auto first = std::make_unique<event_stream>(there, "/api/events");
  const event_stream second(there, "/api/events");
  EXPECT_EQ(first->reply().status, 200);
  EXPECT_EQ(second.reply().status, 200);
  EXPECT_EQ(event_stream(there, "/api/events").reply().status, 503);
  first.reset();
  // The server notices that the first client has left although it has nothing to send to it.
  while (event_stream(there, "/api/events").reply().status != 200) {
  }
}

TEST(gallery_events, stop_ends_streams) {
  serving there;
  event_stream stream(there, "/api/events");
  EXPECT_EQ(stream.next().id, "0");
  there.running.stop();
  EXPECT_TRUE(stream.connection().is_at_end());
}

}  // namespace
}  // namespace penstock::gallery
