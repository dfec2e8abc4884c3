// Files and databases that are removed, damaged or replaced by hand; publishing again heals them.
#include <atomic>
#include <fstream>
#include <functional>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "apps/gallery/client.hpp"
#include "apps/gallery/disk.hpp"
#include "tests/gallery/serving.hpp"

namespace penstock::gallery {
namespace {

namespace fs = std::filesystem;

fs::path place_of(const fs::path& gallery, const std::string& id) { return gallery / "photos" / id.substr(0, 2) / id; }

void write(const fs::path& file, const std::string& text) { std::ofstream(file, std::ios::binary) << text; }

struct damage {
  const char* what;
  std::function<void(const fs::path& gallery, const fs::path& place)> make;
};

const damage damages[] = {
    {"the smallest file", [](auto&, auto& place) { fs::remove(place / "320.jpg"); }},
    {"the largest file", [](auto&, auto& place) { fs::remove(place / "640.jpg"); }},
    {"the photo's directory", [](auto&, auto& place) { fs::remove_all(place); }},
    {"the shelf", [](auto&, auto& place) { fs::remove_all(place.parent_path()); }},
    {"all photos", [](auto& gallery, auto&) { fs::remove_all(gallery / "photos"); }},
    {"the drafts, too",
     [](auto& gallery, auto& place) {
       fs::remove(place / "640.jpg");
       fs::remove_all(gallery / "tmp");
     }},
    {"a file cut short", [](auto&, auto& place) { fs::resize_file(place / "640.jpg", 10); }},
    {"an empty file", [](auto&, auto& place) { fs::resize_file(place / "320.jpg", 0); }},
    {"a file that is too long", [](auto&, auto& place) { fs::resize_file(place / "640.jpg", 4000); }},
    {"an altered byte",
     [](auto&, auto& place) {
       std::string text = text_of(place / "640.jpg");
       ++text[1000];
       write(place / "640.jpg", text);
     }},
    {"a FIFO",
     [](auto&, auto& place) {
       fs::remove(place / "320.jpg");
       ASSERT_EQ(::mkfifo((place / "320.jpg").c_str(), 0600), 0);
     }},
    {"a directory",
     [](auto&, auto& place) {
       fs::remove(place / "320.jpg");
       fs::create_directories(place / "320.jpg" / "in_it");
     }},
    {"a symbolic link",
     [](auto& gallery, auto& place) {
       fs::rename(place / "640.jpg", gallery / "elsewhere.jpg");
       fs::create_symlink(gallery / "elsewhere.jpg", place / "640.jpg");
     }},
    {"a file in place of the directory",
     [](auto&, auto& place) {
       fs::remove_all(place);
       write(place, "x");
     }},
};

TEST(gallery_healing, publishing_again_puts_back_what_is_missing_or_damaged) {
  for (const bool reopened : {false, true})
    for (const auto& d : damages) {
      const temporary_directory directory;
      auto gallery = std::make_unique<store>(directory.path());
      const photo item = photo_of(1), other = photo_of(2);
      gallery->publish(item);
      gallery->publish(other);
      const auto before = gallery->find(item.id);
      if (reopened) gallery.reset();
      d.make(directory.path(), place_of(directory.path(), item.id));
      if (reopened) gallery = std::make_unique<store>(directory.path());
      EXPECT_FALSE(gallery->contains(item.id)) << d.what;
      EXPECT_EQ(gallery->publish(item), publish_result::published) << d.what;
      EXPECT_EQ(difference(*gallery, item), "") << d.what;
      EXPECT_TRUE(gallery->contains(item.id)) << d.what;
      EXPECT_EQ(gallery->find(item.id)->sequence, before->sequence) << d.what;
      EXPECT_EQ(gallery->total(), 2) << d.what;
      EXPECT_EQ(gallery->publish(item), publish_result::already_there) << d.what;
      EXPECT_TRUE(drafts_on_disk(directory.path()).empty()) << d.what;
      if (!gallery->contains(other.id)) {
        EXPECT_EQ(gallery->publish(other), publish_result::published) << d.what;
      }
      EXPECT_EQ(difference(*gallery, other), "") << d.what;
    }
}

TEST(gallery_healing, a_client_that_asks_first_learns_that_a_photo_is_damaged) {
  for (const auto& d : damages) {
    serving there;
    client subject(there.running.url(), {.token = std::string(test_token)});
    const photo item = photo_of(1);
    subject.publish(item);
    EXPECT_TRUE(subject.contains(item.id));
    d.make(there.directory.path(), place_of(there.directory.path(), item.id));
    EXPECT_FALSE(subject.contains(item.id)) << d.what;
    EXPECT_EQ(subject.publish(item), publish_result::published) << d.what;
    EXPECT_EQ(difference(there.photos, item), "") << d.what;
  }
}

// Made with other settings, the photo has other files than its row says.
TEST(gallery_healing, the_new_files_are_those_that_are_listed) {
  const temporary_directory directory;
  store gallery(directory.path());
  photo item = photo_of(1);
  item.fields = {{"title", "the owner's"}};
  gallery.publish(item);
  fs::remove(place_of(directory.path(), item.id) / "640.jpg");
  photo other = photo_of(7, 5000);
  other.id = item.id;
  other.renditions[0].width = 1024;
  EXPECT_EQ(gallery.publish(other), publish_result::published);
  other.fields = item.fields;  // they are not what is healed
  EXPECT_EQ(difference(gallery, other), "");
  EXPECT_FALSE(gallery.rendition_of(item.id, 640, "image/jpeg"));
  EXPECT_EQ(gallery.total(), 1);
}

TEST(gallery_healing, of_many_threads_that_heal_a_photo_at_once_one_does) {
  const temporary_directory directory;
  store gallery(directory.path());
  const photo item = photo_of(1);
  gallery.publish(item);
  for (int round = 0; round < 10; ++round) {
    fs::remove(place_of(directory.path(), item.id) / "640.jpg");
    std::atomic<int> published = 0;
    {
      std::vector<std::jthread> threads;
      for (int i = 0; i < 4; ++i)
        threads.emplace_back([&] { published += gallery.publish(item) == publish_result::published ? 1 : 0; });
    }
    EXPECT_EQ(published, 1);
    EXPECT_EQ(difference(gallery, item), "");
  }
}

TEST(gallery_healing, a_fifo_in_place_of_a_file_holds_up_no_request) {
  serving there;
  const photo item = photo_of(1), other = photo_of(2);
  there.photos.publish(item);
  there.photos.publish(other);
  const auto file = place_of(there.directory.path(), item.id) / "320.jpg";
  fs::remove(file);
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  for (int i = 0; i < 20; ++i) {  // more than there are threads to read
    auto connection = there.connect();
    EXPECT_EQ(connection.ask(get("/photos/" + item.id + "/320.jpg")).status, 500);
    EXPECT_EQ(connection.ask(get("/photos/" + other.id + "/320.jpg")).status, 200);
  }
  there.running.stop();
}

// A process that holds the gallery's lock delays uploads, and nothing else.
TEST(gallery_healing, a_directory_that_another_process_locks_holds_up_no_reader) {
  serving there;
  there.photos.publish(photo_of(1));
  auto uploader = there.connect();
  {
    const directory_lock held(there.directory.path());
    uploader.send(put(photo_of(2), test_token));
    for (int i = 0; i < 20; ++i) {
      auto connection = there.connect();
      EXPECT_EQ(connection.ask(get("/photos/" + id_of(1) + "/640.jpg")).status, 200);
      EXPECT_EQ(connection.ask(get("/api/photos")).status, 200);
    }
  }
  EXPECT_EQ(uploader.read_reply().status, 201);
}

// ---- another database

constexpr const char* parts[] = {"gallery.db", "gallery.db-wal", "gallery.db-shm"};

void remove_database(const fs::path& gallery) {
  for (const char* part : parts) fs::remove(gallery / part);
}

struct replacement {
  const char* what;
  std::function<void(const fs::path& gallery, const fs::path& backup)> make;
};

const replacement replacements[] = {
    {"renamed over it", [](auto& gallery, auto& backup) { fs::rename(backup, gallery / "gallery.db"); }},
    {"removed, then copied",
     [](auto& gallery, auto& backup) {
       remove_database(gallery);
       fs::copy_file(backup, gallery / "gallery.db");
     }},
    {"copied over it, its log removed",
     [](auto& gallery, auto& backup) {
       fs::copy_file(backup, gallery / "gallery.db", fs::copy_options::overwrite_existing);
       fs::remove(gallery / "gallery.db-wal");
       fs::remove(gallery / "gallery.db-shm");
     }},
    {"copied over it",
     [](auto& gallery, auto& backup) {
       fs::copy_file(backup, gallery / "gallery.db", fs::copy_options::overwrite_existing);
     }},
    {"all of the gallery, from a backup",
     [](auto& gallery, auto& backup) {
       fs::copy(gallery / "photos", gallery.parent_path() / "new" / "photos", fs::copy_options::recursive);
       fs::rename(backup, gallery.parent_path() / "new" / "gallery.db");
       fs::rename(gallery, gallery.parent_path() / "old");
       fs::rename(gallery.parent_path() / "new", gallery);
     }},
    {"its log removed",
     [](auto& gallery, auto&) {
       fs::remove(gallery / "gallery.db-wal");
       fs::remove(gallery / "gallery.db-shm");
     }},
};

TEST(gallery_healing, what_was_answered_with_201_is_there_after_the_database_was_replaced) {
  for (const auto& r : replacements) {
    temporary_directory directory;
    const fs::path gallery = directory.path() / "g", backup = directory.path() / "backup.db";
    {
      store first(gallery);
      first.publish(photo_of(1));
    }
    fs::copy_file(gallery / "gallery.db", backup);
    fs::create_directory(directory / "new");
    {
      store photos(gallery);
      server running(photos, test_options());
      raw_connection connection(running.port());
      EXPECT_EQ(connection.ask(put(photo_of(2), test_token)).status, 201);
      raw_connection stream(running.port());
      stream.send(get("/api/events"));  // its connection to the database has to go, too
      EXPECT_EQ(stream.read_reply(false).status, 200);
      r.make(gallery, backup);
      EXPECT_EQ(connection.ask(put(photo_of(3), test_token)).status, 201) << r.what;
      EXPECT_EQ(connection.ask(get("/api/photos/" + id_of(3))).status, 200) << r.what;
      EXPECT_EQ(connection.ask(get("/api/photos/" + id_of(1))).status, 200) << r.what;
    }
    store again(gallery);
    EXPECT_EQ(difference(again, photo_of(1)), "") << r.what;
    EXPECT_EQ(difference(again, photo_of(3)), "") << r.what;
  }
}

TEST(gallery_healing, without_a_database_nothing_is_published_until_it_is_back) {
  const temporary_directory directory;
  const fs::path gallery = directory.path() / "g", backup = directory.path() / "backup.db";
  {
    store first(gallery);
    first.publish(photo_of(1));
  }
  fs::copy_file(gallery / "gallery.db", backup);
  store photos(gallery);
  server running(photos, test_options());
  raw_connection connection(running.port());
  EXPECT_EQ(connection.ask(get("/api/photos")).status, 200);
  remove_database(gallery);
  const auto refused = connection.ask(put(photo_of(2), test_token));
  EXPECT_EQ(refused.status, 500);
  EXPECT_NE(refused.body.find("backup"), std::string::npos) << refused.body;
  EXPECT_EQ(connection.ask(get("/api/photos")).status, 500);
  EXPECT_FALSE(fs::exists(gallery / "gallery.db")) << "an empty one would make orphans of all photos";
  write(gallery / "gallery.db", "");
  EXPECT_EQ(connection.ask(put(photo_of(2), test_token)).status, 500) << "an empty one";
  write(gallery / "gallery.db", "of another program, which is no database");
  EXPECT_EQ(connection.ask(put(photo_of(2), test_token)).status, 500) << "a foreign one";
  fs::copy_file(backup, gallery / "gallery.db", fs::copy_options::overwrite_existing);
  EXPECT_EQ(connection.ask(put(photo_of(2), test_token)).status, 201);
  EXPECT_EQ(connection.ask(get("/api/photos")).status, 200);
  EXPECT_TRUE(photos.contains(id_of(1)));
}

TEST(gallery_healing, threads_that_publish_while_the_database_is_replaced_end_and_lose_nothing) {
  const temporary_directory directory;
  const fs::path gallery = directory.path() / "g", backup = directory.path() / "backup.db";
  { store first(gallery); }
  fs::copy_file(gallery / "gallery.db", backup);
  store photos(gallery);
  std::atomic<std::uint64_t> next = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i)
      threads.emplace_back([&] {
        while (next < 60) {
          try {
            photos.publish(photo_of(next++));
          } catch (const std::exception&) {
            // in the moment of the replacement a call may fail; it may not hang
          }
        }
      });
    while (next < 30) std::this_thread::yield();
    fs::rename(backup, gallery / "gallery.db");
  }
  EXPECT_EQ(photos.publish(photo_of(100)), publish_result::published);
  store reader(gallery, store::access::read);
  EXPECT_EQ(difference(reader, photo_of(100)), "");
}

}  // namespace
}  // namespace penstock::gallery
