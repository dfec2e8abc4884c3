#include "apps/gallery/store.hpp"

#include <atomic>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <thread>

#include <gtest/gtest.h>
#include <sqlite3.h>

#include "apps/gallery/disk.hpp"
#include "apps/gallery/rules.hpp"
#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {
namespace {

namespace fs = std::filesystem;

fs::path place_of(const temporary_directory& gallery, const std::string& id) {
  return gallery / "photos" / id.substr(0, 2) / id;
}

TEST(gallery_store, files_stand_where_the_layout_says) {
  const temporary_directory directory;
  store gallery(directory.path());
  const photo item = photo_of(1);
  gallery.publish(item);
  EXPECT_EQ(text_of(place_of(directory, item.id) / "640.jpg"), text_of(item.renditions[0]));
  EXPECT_EQ(text_of(place_of(directory, item.id) / "320.jpg"), text_of(item.renditions[1]));
  EXPECT_TRUE(drafts_on_disk(directory.path()).empty());
}

TEST(gallery_store, what_was_published_is_there_after_reopening) {
  const temporary_directory directory;
  photo item = photo_of(1);
  item.fields = {{"title", "Grüße \"vom\" Meer\n"}, {"camera", "X"}};
  { EXPECT_EQ(store(directory.path()).publish(item), publish_result::published); }
  store again(directory.path());
  EXPECT_EQ(difference(again, item), "");
  EXPECT_EQ(again.publish(item), publish_result::already_there);
  EXPECT_EQ(again.total(), 1);
}

TEST(gallery_store, nothing_but_an_id_becomes_part_of_a_path) {
  const temporary_directory directory;
  store gallery(directory.path());
  for (const std::string& id :
       {std::string("../../etc/passwd"), std::string(), std::string(64, 'A'), std::string(63, 'a'),
        std::string(65, 'a'), std::string(63, 'a') + '\0', "../" + std::string(61, 'a')}) {
    photo item = photo_of(1);
    item.id = id;
    EXPECT_THROW(gallery.publish(item), invalid_photo) << id;
    EXPECT_THROW(static_cast<void>(gallery.find(id)), invalid_photo) << id;
    EXPECT_THROW(gallery.contains(id), invalid_photo) << id;
    EXPECT_THROW(static_cast<void>(gallery.rendition_of(id, 640, "image/jpeg")), invalid_photo) << id;
  }
  EXPECT_TRUE(directories_on_disk(directory.path()).empty());
}

TEST(gallery_store, a_directory_without_a_row_is_not_visible) {
  const temporary_directory directory;
  store gallery(directory.path());
  const photo item = photo_of(1);
  fs::create_directories(place_of(directory, item.id));
  std::ofstream(place_of(directory, item.id) / "640.jpg") << "half a pic";
  EXPECT_FALSE(gallery.contains(item.id));
  EXPECT_FALSE(gallery.find(item.id));
  EXPECT_FALSE(gallery.rendition_of(item.id, 640, "image/jpeg"));
  EXPECT_TRUE(gallery.list(std::nullopt, 10).empty());
}

TEST(gallery_store, a_directory_without_a_row_is_replaced_by_the_next_publish) {
  const temporary_directory directory;
  store gallery(directory.path());
  const photo item = photo_of(1);
  fs::create_directories(place_of(directory, item.id));
  std::ofstream(place_of(directory, item.id) / "640.jpg") << "half a pic";
  std::ofstream(place_of(directory, item.id) / "1024.jpg") << "of another size";
  EXPECT_EQ(gallery.publish(item), publish_result::published);
  EXPECT_EQ(difference(gallery, item), "");
  EXPECT_FALSE(fs::exists(place_of(directory, item.id) / "1024.jpg"));
  EXPECT_TRUE(drafts_on_disk(directory.path()).empty());
}

TEST(gallery_store, opening_removes_orphans_and_stale_drafts_and_nothing_else) {
  const temporary_directory directory;
  const photo kept = photo_of(1), orphan = photo_of(2);
  { store(directory.path()).publish(kept); }
  fs::create_directories(place_of(directory, orphan.id));
  std::ofstream(place_of(directory, orphan.id) / "640.jpg") << "half a pic";
  fs::create_directories(directory / "tmp" / "123-456" / "0");
  std::ofstream(directory / "tmp" / "123-456" / "0" / "640.jpg") << "half a pic";
  std::ofstream(directory / "photos" / "README") << "not ours";

  { const store reader(directory.path(), store::access::read); }
  EXPECT_TRUE(fs::exists(place_of(directory, orphan.id))) << "a reader changes nothing";

  store gallery(directory.path());
  EXPECT_EQ(directories_on_disk(directory.path()), std::set<std::string>{kept.id});
  EXPECT_FALSE(fs::exists(directory / "tmp" / "123-456"));
  EXPECT_TRUE(fs::exists(directory / "photos" / "README"));
  EXPECT_TRUE(drafts_on_disk(directory.path()).empty());
  EXPECT_EQ(difference(gallery, kept), "");
}

TEST(gallery_store, closing_removes_its_session) {
  const temporary_directory directory;
  { store(directory.path()).publish(photo_of(1)); }
  EXPECT_TRUE(fs::is_empty(directory / "tmp"));
}

// While one store publishes without a pause, others are opened: each looks for orphans and stale sessions.
TEST(gallery_store, opening_does_not_disturb_who_is_publishing) {
  const temporary_directory directory;
  constexpr std::uint64_t photos = 300;
  child_process publisher({"publish", directory.path(), "1000", std::to_string(photos), "3"});
  ASSERT_EQ(publisher.read_line(), "open");
  std::uint64_t seen = 0;
  int openings = 0;
  while (!publisher.read_line().empty()) {
    ++seen;
    if (seen % 3 == 0) {
      store gallery(directory.path());
      ++openings;
    }
  }
  EXPECT_EQ(publisher.wait(), 0);
  EXPECT_EQ(seen, photos);
  store gallery(directory.path());
  EXPECT_EQ(gallery.total(), static_cast<std::int64_t>(photos));
  for (std::uint64_t seed = 1000; seed < 1000 + photos; ++seed)
    ASSERT_EQ(difference(gallery, photo_of(seed)), "") << seed;
  EXPECT_EQ(openings, static_cast<int>(photos) / 3);
}

TEST(gallery_store, one_of_many_processes_publishes_a_photo_and_all_succeed) {
  const temporary_directory directory;
  constexpr std::uint64_t photos = 100;
  child_process first({"publish", directory.path(), "0", std::to_string(photos), "2"});
  child_process second({"publish", directory.path(), "0", std::to_string(photos), "2"});
  EXPECT_FALSE(first.read_all().empty());
  EXPECT_FALSE(second.read_all().empty());
  EXPECT_EQ(first.wait(), 0);
  EXPECT_EQ(second.wait(), 0);
  store gallery(directory.path());
  EXPECT_EQ(gallery.total(), static_cast<std::int64_t>(photos));
  EXPECT_EQ(gallery.newest(), static_cast<std::int64_t>(photos)) << "no sequence is spent on a photo that was there";
  for (std::uint64_t seed = 0; seed < photos; ++seed) ASSERT_EQ(difference(gallery, photo_of(seed)), "") << seed;
}

TEST(gallery_store, a_reader_works_while_another_process_has_it_open_and_after) {
  const temporary_directory directory;
  child_process publisher({"hold", directory.path(), "7"});
  ASSERT_EQ(publisher.read_line(), "open");
  {
    store reader(directory.path(), store::access::read);
    EXPECT_EQ(difference(reader, photo_of(7)), "");
    EXPECT_THROW(reader.publish(photo_of(8)), std::runtime_error);
  }
  publisher.close_input();
  EXPECT_EQ(publisher.wait(), 0);
  store reader(directory.path(), store::access::read);
  EXPECT_EQ(difference(reader, photo_of(7)), "");
}

TEST(gallery_store, a_missing_gallery_cannot_be_read) {
  const temporary_directory directory;
  EXPECT_THROW(store(directory / "nowhere", store::access::read), std::runtime_error);
  EXPECT_FALSE(fs::exists(directory / "nowhere"));
}

TEST(gallery_store, a_lost_database_does_not_make_orphans_of_all_photos) {
  const temporary_directory directory;
  { store(directory.path()).publish(photo_of(1)); }
  fs::remove(directory / "gallery.db");
  EXPECT_THROW(store(directory.path()), std::runtime_error);
  EXPECT_THROW(store(directory.path()), std::runtime_error) << "the failed opening left an empty database";
  EXPECT_EQ(directories_on_disk(directory.path()), std::set<std::string>{id_of(1)});
}

TEST(gallery_store, a_foreign_or_newer_database_is_refused) {
  const temporary_directory directory;
  { const store gallery(directory.path()); }
  const auto run = [&](const char* sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(::sqlite3_open((directory / "gallery.db").c_str(), &db), SQLITE_OK);
    EXPECT_EQ(::sqlite3_exec(db, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    ::sqlite3_close(db);
  };
  run("PRAGMA user_version = 2");
  EXPECT_THROW(store(directory.path()), std::runtime_error);
  EXPECT_THROW(store(directory.path(), store::access::read), std::runtime_error);
  run("PRAGMA user_version = 1; PRAGMA application_id = 1");
  EXPECT_THROW(store(directory.path()), std::runtime_error);
}

TEST(gallery_store, a_full_disk_leaves_nothing_and_says_where) {
  const temporary_directory directory;
  child_process process({"limited", directory.path(), "5", "65536"});
  const std::string message = process.read_line();
  EXPECT_EQ(process.wait(), 1);
  EXPECT_NE(message.find("640.jpg"), std::string::npos) << message;
  EXPECT_NE(message.find(directory.path().string()), std::string::npos) << message;
  EXPECT_NE(message.find("File too large"), std::string::npos) << message;
  EXPECT_TRUE(directories_on_disk(directory.path()).empty());
  EXPECT_TRUE(fs::is_empty(directory / "tmp"));
  store gallery(directory.path());
  EXPECT_FALSE(gallery.contains(id_of(5)));
  EXPECT_EQ(gallery.publish(photo_of(5)), publish_result::published);
}

// Here the files fit and it is the database that cannot grow.
TEST(gallery_store, a_commit_that_fails_leaves_nothing) {
  const temporary_directory directory;
  { const store gallery(directory.path()); }
  // So many rows that the write-ahead log is longer than the files of the next photo.
  child_process filler({"publish", directory.path(), "1000", "60", "1"});
  EXPECT_FALSE(filler.read_all().empty());
  const store open_meanwhile(directory.path(), store::access::read);  // keeps the log from being emptied
  store more(directory.path());
  for (std::uint64_t seed = 2000; seed < 2060; ++seed) more.publish(photo_of(seed));
  const auto log_bytes = fs::file_size(directory / "gallery.db-wal");
  ASSERT_GT(log_bytes, 100'000U);

  child_process process({"limited", directory.path(), "5", std::to_string(log_bytes)});
  const std::string message = process.read_line();
  EXPECT_EQ(process.wait(), 1);
  EXPECT_NE(message.find("gallery.db"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(place_of(directory, id_of(5))));
  EXPECT_TRUE(drafts_on_disk(directory.path()).empty());
  EXPECT_FALSE(more.contains(id_of(5)));
  EXPECT_EQ(more.publish(photo_of(5)), publish_result::published);
  EXPECT_EQ(more.total(), 121);
}

TEST(gallery_store, a_failed_sync_of_a_file_leaves_nothing) {
  const temporary_directory directory;
  child_process process({"unsynced", directory.path(), "5", "fsync"});
  const std::string message = process.read_line();
  EXPECT_NE(message.find("cannot sync"), std::string::npos) << message;
  process.read_all();
  EXPECT_EQ(process.wait(), 1);
  EXPECT_TRUE(directories_on_disk(directory.path()).empty());
  EXPECT_TRUE(fs::is_empty(directory / "tmp"));
}

TEST(gallery_store, after_a_failed_sync_of_the_database_nothing_more_is_published) {
  const temporary_directory directory;
  child_process process({"unsynced", directory.path(), "5", "fdatasync"});
  const std::string first = process.read_line(), second = process.read_line();
  EXPECT_EQ(process.wait(), 1);
  EXPECT_NE(first.find("gallery.db"), std::string::npos) << first;
  EXPECT_NE(second.find("failed before"), std::string::npos) << second;
  store gallery(directory.path());
  EXPECT_FALSE(gallery.contains(id_of(6)));
  // Whether the first one's log entry survived is the disk's secret; whole or not at all it is in any case.
  const bool survived = gallery.contains(id_of(5));
  EXPECT_EQ(survived ? difference(gallery, photo_of(5, 100'000)) : "", "");
  EXPECT_EQ(directories_on_disk(directory.path()), survived ? std::set{id_of(5)} : std::set<std::string>());
}

class notice {
 public:
  void give() {
    const std::lock_guard lock(mutex_);
    ++given_;
    changed_.notify_all();
  }
  template <typename Condition>
  void wait_until(Condition condition) {
    std::unique_lock lock(mutex_);
    int seen = -1;
    while (seen != given_) {
      seen = given_;
      lock.unlock();
      if (condition()) return;
      lock.lock();
      changed_.wait(lock, [&] { return given_ != seen; });
    }
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int given_ = 0;
};

TEST(gallery_store, listeners_learn_of_photos_from_this_process) {
  const temporary_directory directory;
  store gallery(directory.path());
  notice looked;
  const auto subscription = gallery.on_change([&] { looked.give(); });
  std::jthread publisher([&] {
    for (std::uint64_t seed = 0; seed < 50; ++seed) gallery.publish(photo_of(seed));
  });
  looked.wait_until([&] { return gallery.total() == 50; });
}

TEST(gallery_store, listeners_learn_of_photos_from_other_processes) {
  const temporary_directory directory;
  store gallery(directory.path());
  notice looked;
  const auto subscription = gallery.on_change([&] { looked.give(); });
  child_process publisher({"publish", directory.path(), "0", "20", "2"});
  looked.wait_until([&] { return gallery.total() == 20; });
}

TEST(gallery_store, a_subscription_ends_after_its_last_call) {
  const temporary_directory directory;
  store gallery(directory.path());
  for (int round = 0; round < 50; ++round) {
    std::atomic<bool> entered = false, over = true;
    auto subscription = gallery.on_change([&] {
      over = false;
      entered = true;
      for (int i = 0; i < 1000; ++i) std::this_thread::yield();  // so that end() has every chance to come too early
      over = true;
    });
    while (!entered) std::this_thread::yield();
    subscription.end();
    EXPECT_TRUE(over);
    entered = false;
    gallery.publish(photo_of(static_cast<std::uint64_t>(round)));
    EXPECT_FALSE(entered);
  }
}

}  // namespace
}  // namespace penstock::gallery
