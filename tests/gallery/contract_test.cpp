// The contract of target, on both kinds: a directory, and a client of a server.
#include <atomic>
#include <fstream>
#include <set>
#include <thread>

#include <gtest/gtest.h>

#include "apps/gallery/client.hpp"
#include "apps/gallery/rules.hpp"
#include "tests/gallery/serving.hpp"

namespace penstock::gallery {
namespace {

struct in_a_directory {
  temporary_directory directory;
  store photos{directory.path()};
  store& subject = photos;
};

struct at_a_server {
  serving there;
  store& photos = there.photos;
  client subject{there.running.url(), {.token = std::string(test_token)}};
  temporary_directory& directory = there.directory;
};

template <typename Kind>
class gallery_target : public testing::Test {
 protected:
  Kind kind_;
  target& subject_ = kind_.subject;  // what is tested
  store& photos_ = kind_.photos;     // where it can be seen
};

using kinds = testing::Types<in_a_directory, at_a_server>;
TYPED_TEST_SUITE(gallery_target, kinds);

TYPED_TEST(gallery_target, a_published_photo_is_visible_in_full) {
  photo item = photo_of(1, 300'000);
  item.fields = {{"title", "Grüße"}};
  EXPECT_FALSE(this->subject_.contains(item.id));
  EXPECT_EQ(this->subject_.publish(item), publish_result::published);
  EXPECT_TRUE(this->subject_.contains(item.id));
  EXPECT_EQ(difference(this->photos_, item), "");
}

TYPED_TEST(gallery_target, publishing_twice_is_publishing_once) {
  const photo item = photo_of(1);
  EXPECT_EQ(this->subject_.publish(item), publish_result::published);
  photo other = photo_of(2);
  other.id = item.id;
  EXPECT_EQ(this->subject_.publish(other), publish_result::already_there);
  EXPECT_EQ(difference(this->photos_, item), "") << "the second one changed something";
  EXPECT_EQ(this->photos_.total(), 1);
}

TYPED_TEST(gallery_target, of_many_who_publish_the_same_photo_at_once_one_does) {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const photo item = photo_of(seed);
    std::atomic<int> published = 0, already_there = 0;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i)
        threads.emplace_back(
            [&] { ++(this->subject_.publish(item) == publish_result::published ? published : already_there); });
    }
    EXPECT_EQ(published, 1);
    EXPECT_EQ(already_there, 3);
    EXPECT_EQ(difference(this->photos_, item), "");
  }
  EXPECT_EQ(this->photos_.total(), 20);
  EXPECT_TRUE(drafts_on_disk(this->kind_.directory.path()).empty());
}

TYPED_TEST(gallery_target, an_invalid_photo_leaves_nothing) {
  photo item = photo_of(1);
  item.renditions[1].bytes[0] = std::byte{0};
  EXPECT_THROW(this->subject_.publish(item), std::runtime_error);
  item = photo_of(1);
  item.id[3] = 'G';
  EXPECT_THROW(this->subject_.publish(item), std::runtime_error);
  EXPECT_EQ(this->photos_.total(), 0);
  EXPECT_TRUE(directories_on_disk(this->kind_.directory.path()).empty());
  EXPECT_TRUE(drafts_on_disk(this->kind_.directory.path()).empty());
}

TYPED_TEST(gallery_target, a_photo_that_cannot_be_written_leaves_nothing) {
  const photo item = photo_of(1);
  // A file where the shelf has to be: works for root too, whom no permission stops.
  const auto shelf = this->kind_.directory / "photos" / item.id.substr(0, 2);
  { std::ofstream in_the_way(shelf); }
  EXPECT_THROW(this->subject_.publish(item), std::runtime_error);
  EXPECT_FALSE(this->subject_.contains(item.id));
  EXPECT_EQ(this->photos_.total(), 0);
  EXPECT_TRUE(drafts_on_disk(this->kind_.directory.path()).empty());
  std::filesystem::remove(shelf);
  EXPECT_EQ(this->subject_.publish(item), publish_result::published);
}

TYPED_TEST(gallery_target, photos_are_listed_newest_first) {
  for (std::uint64_t seed = 0; seed < 10; ++seed) this->subject_.publish(photo_of(seed));
  const auto all = this->photos_.list(std::nullopt, 100);
  ASSERT_EQ(all.size(), 10U);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(all[i].id, id_of(9 - i));
  const auto oldest_first = this->photos_.after(0, 100);
  ASSERT_EQ(oldest_first.size(), 10U);
  for (std::uint64_t i = 0; i < 10; ++i) EXPECT_EQ(oldest_first[i].id, id_of(i));
}

// Pages and events are read while four threads publish: the pages hold no photo twice and miss none that was there when
// the first page was read; the events hold each photo exactly once.
TYPED_TEST(gallery_target, reading_while_others_publish_misses_nothing) {
  constexpr std::uint64_t before = 25, during = 100;
  for (std::uint64_t seed = 0; seed < before; ++seed) this->subject_.publish(photo_of(seed));
  std::atomic<std::uint64_t> next = before;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (std::uint64_t seed = next++; seed < before + during; seed = next++) this->subject_.publish(photo_of(seed));
    });
  std::multiset<std::string> paged, arrived;
  std::optional<std::int64_t> from;
  for (;;) {
    const auto page = this->photos_.list(from, 7);
    if (page.empty()) break;
    for (const auto& shown : page) paged.insert(shown.id);
    from = page.back().sequence;
  }
  for (std::int64_t last = 0; arrived.size() < before + during;) {
    for (const auto& shown : this->photos_.after(last, 5)) {
      EXPECT_GT(shown.sequence, last);
      EXPECT_EQ(shown.renditions.size(), 2U);
      last = shown.sequence;
      arrived.insert(shown.id);
    }
  }
  for (const auto& id : paged) EXPECT_EQ(paged.count(id), 1U);
  for (std::uint64_t seed = 0; seed < before; ++seed) EXPECT_EQ(paged.count(id_of(seed)), 1U);
  for (std::uint64_t seed = 0; seed < before + during; ++seed) EXPECT_EQ(arrived.count(id_of(seed)), 1U);
}

TEST(gallery_client, a_refusal_is_permanent_and_says_why) {
  const serving there;
  client stranger(there.running.url(), {.token = "another-token-altogether"});
  try {
    stranger.publish(photo_of(1));
    ADD_FAILURE() << "published with a wrong token";
  } catch (const permanent_error& refused) {
    EXPECT_NE(std::string(refused.what()).find("token"), std::string::npos) << refused.what();
    EXPECT_EQ(std::string(refused.what()).find("another-token-altogether"), std::string::npos) << "the secret is told";
  }
  EXPECT_THROW(stranger.contains(id_of(1)), permanent_error) << "what is there is not told either";
}

TEST(gallery_client, a_large_photo_with_a_wrong_token_is_refused_before_it_is_sent) {
  const serving there;
  client stranger(there.running.url(), {.token = "another-token-altogether"});
  EXPECT_THROW(stranger.publish(photo_of(1, 30'000'000)), permanent_error);
}

TEST(gallery_client, a_photo_above_the_limit_is_refused_for_good) {
  server_limits limits;
  limits.body_bytes = 1'000'000;
  const serving there(test_options(limits));
  client subject(there.running.url(), {.token = std::string(test_token)});
  EXPECT_THROW(subject.publish(photo_of(1, 1'000'000)), permanent_error);
  EXPECT_EQ(subject.publish(photo_of(1, 600'000)), publish_result::published);
}

TEST(gallery_client, a_server_that_is_not_there_is_worth_another_try) {
  std::string url;
  {
    const serving there;
    url = there.running.url();
  }
  client subject(url, {.token = std::string(test_token)});
  EXPECT_THROW(subject.publish(photo_of(1)), retryable_error);
  EXPECT_THROW(subject.contains(id_of(1)), retryable_error);
}

TEST(gallery_client, a_busy_server_is_worth_another_try_later) {
  server_limits limits;
  limits.uploads = 1;
  const serving there(test_options(limits));
  auto other = there.connect();
  const std::string request = put(photo_of(2), test_token, "Expect: 100-continue\r\n");
  other.send(request.substr(0, request.find("\r\n\r\n") + 4));
  EXPECT_EQ(other.read_line(), "HTTP/1.1 100 Continue");  // now it holds the only permit
  client subject(there.running.url(), {.token = std::string(test_token)});
  try {
    subject.publish(photo_of(1));
    ADD_FAILURE() << "two uploads at once";
  } catch (const retryable_error& busy) {
    EXPECT_EQ(busy.wait(), std::chrono::seconds(2));
  }
  other.send(request.substr(request.find("\r\n\r\n") + 4));
  EXPECT_EQ(other.read_line(), "");
  EXPECT_EQ(other.read_reply().status, 201);
  EXPECT_EQ(subject.publish(photo_of(1)), publish_result::published);
}

TEST(gallery_client, a_server_that_was_restarted_is_found_again) {
  const temporary_directory directory;
  store photos(directory.path());
  auto options = test_options();
  auto first = std::make_unique<server>(photos, options);
  client subject(first->url(), {.token = std::string(test_token)});
  EXPECT_EQ(subject.publish(photo_of(1)), publish_result::published);
  options.port = first->port();
  first.reset();
  const server second(photos, options);  // the client's kept connection is dead now
  EXPECT_EQ(subject.publish(photo_of(2, 200'000)), publish_result::published);
  EXPECT_TRUE(subject.contains(id_of(1)));
}

TEST(gallery_client, an_address_that_cannot_be_a_gallery_is_refused) {
  for (const char* address : {"", "gallery", "ftp://host/", "file:///etc/passwd", "http://", "http://h/?q=1"})
    EXPECT_THROW(client{address}, std::runtime_error) << address;
  try {
    client with_password("http://anna:secret@host/");
    ADD_FAILURE();
  } catch (const std::runtime_error& refused) {
    EXPECT_EQ(std::string(refused.what()).find("secret"), std::string::npos);
  }
  EXPECT_THROW(client("http://host/", {.token = "two\r\nlines-of-header"}), std::runtime_error);
}

}  // namespace
}  // namespace penstock::gallery
