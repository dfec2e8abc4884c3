#include "apps/photos/source.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>
#include <system_error>

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::photos {
namespace {

namespace fs = std::filesystem;

// A folder of its own for each test, gone with it.
class source : public testing::Test {
 protected:
  source() : root_(fs::path(testing::TempDir()) / ("penstock_source_" + std::to_string(getpid()))) {
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~source() override { fs::remove_all(root_); }

  fs::path write(const std::string& name, const std::string& content = jpeg) const {
    const fs::path path = root_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path;
  }

  // Everything the source yields, relative to the root.
  static std::vector<std::string> all(photo_source& from, const fs::path& root) {
    std::vector<std::string> names;
    while (const auto found = from.next()) names.push_back(fs::relative(found->path, root).string());
    EXPECT_FALSE(from.next()) << "the end is final";
    return names;
  }

  inline static const std::string jpeg = "\xff\xd8\xff\xe0 and so on";
  fs::path root_;
};

using names = std::vector<std::string>;
using counts = std::map<std::string, std::uint64_t>;

TEST_F(source, photos_come_in_the_order_of_their_names_folder_by_folder) {
  for (const char* name : {"b/2.jpg", "b/10.jpg", "a.jpg", "c.jpg", "b/1/x.jpg", "Z.jpg"}) write(name);
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), (names{"Z.jpg", "a.jpg", "b/1/x.jpg", "b/10.jpg", "b/2.jpg", "c.jpg"}));
  EXPECT_TRUE(from.skipped().empty());
}

TEST_F(source, what_is_unfinished_hidden_or_beside_the_photo_is_counted_and_left_out) {
  for (const char* name : {"good.jpg", ".hidden.jpg", ".syncthing.a.jpg.tmp", "a.jpg.tmp", "a.jpg.part",
                           "a.jpg.crdownload", "a.XMP", "a.json", "film.MP4", ".private/x.jpg"}) {
    write(name);
  }
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), names{"good.jpg"});
  EXPECT_EQ(
      from.skipped(),
      (counts{
          {"hidden file", 2}, {"hidden folder", 1}, {"sidecar", 2}, {"unfinished download or copy", 3}, {"video", 1}}));
  EXPECT_TRUE(from.listed().empty()) << "their owner will not ask about these";
}

TEST_F(source, content_decides_and_not_the_name) {
  write("no_extension");
  write("odd.xyz");
  write("empty", "");
  write("text.jpg", "just a letter");
  write("notes.doc", "just a letter");
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), (names{"no_extension", "odd.xyz"}));
  EXPECT_EQ(from.skipped(), (counts{{"empty file", 1}, {"not an image: starts like text", 2}}));
  ASSERT_EQ(from.listed().size(), 1U) << "only what is named like a photo";
  EXPECT_EQ(from.listed()[0].path, root_ / "text.jpg");
  EXPECT_EQ(from.listed()[0].reason, "not an image: starts like text");
}

TEST_F(source, a_photo_of_nothing_is_a_damaged_photo_and_not_some_other_file) {
  write("empty.jpg", "");
  write("empty.NEF", "");
  write("zeros.heic", std::string(9000, '\0'));
  write("erased.dng", std::string(9000, '\xff'));
  write("noise.jpg", "\x03\x01\x04\x01\x05");
  photo_source from({root_});
  names damaged;
  while (const auto found = from.next()) {
    EXPECT_TRUE(found->damage.starts_with("damaged: ")) << found->path << ' ' << found->damage;
    damaged.push_back(found->path.filename().string());
  }
  EXPECT_EQ(damaged, (names{"empty.NEF", "empty.jpg", "erased.dng", "noise.jpg", "zeros.heic"}));
  EXPECT_TRUE(from.skipped().empty());
}

TEST_F(source, trash_thumbnails_and_snapshots_are_left_out_and_counted) {
  for (const char* name :
       {"a.jpg", "#recycle/a.jpg", "2024/#Recycle/b.jpg", "2024/@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg",
        "$RECYCLE.BIN/x.jpg", "lost+found/x.jpg", "#snapshot/GMT-1/a.jpg", "hidden away/.nomedia", "hidden away/x.jpg"})
    write(name);
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), names{"a.jpg"});
  EXPECT_EQ(from.skipped(), (counts{{"trash folder (#recycle)", 2},
                                    {"trash folder ($recycle.bin)", 1},
                                    {"thumbnail folder (@eadir)", 1},
                                    {"system folder (lost+found)", 1},
                                    {"folder of older states (#snapshot)", 1},
                                    {"folder with .nomedia", 1}}));
}

TEST_F(source, a_folder_that_is_named_is_entered_whatever_its_name) {
  write("#recycle/b/a.jpg");
  write("#recycle/@eaDir/a.jpg");
  write("private/.nomedia");
  write("private/b.jpg");
  photo_source from({root_ / "#recycle", root_ / "private/"});
  EXPECT_EQ(all(from, root_), (names{"#recycle/b/a.jpg", "private/b.jpg"}));
}

TEST_F(source, only_a_gallery_is_a_gallery) {
  for (const char* name : {"a", "b", "c", "d", "e", "f"}) write(std::string(name) + "/photo.jpg");
  write("a/gallery.db", "");
  write("b/gallery.db", "anything");
  write("c/gallery.db", std::string("SQLite format 3\0", 16) + std::string(200, 'x'));
  fs::create_directory(root_ / "d" / "gallery.db");
  fs::create_symlink("nowhere", root_ / "e" / "gallery.db");
  write("f/gallery.db", std::string("SQLite format 3\0", 16) + std::string(52, '\0') + "pens" + std::string(100, '\0'));
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), (names{"a/photo.jpg", "b/photo.jpg", "c/photo.jpg", "d/photo.jpg", "e/photo.jpg"}));
  EXPECT_EQ(from.skipped().at("folder is a gallery"), 1U);
}

TEST_F(source, size_and_time_are_those_of_the_file) {
  const fs::path path = write("a.jpg");
  photo_source from({root_});
  const auto found = from.next();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->bytes, jpeg.size());
  struct stat status {};
  ASSERT_EQ(stat(path.c_str(), &status), 0);
  EXPECT_EQ(found->modified.count(), status.st_mtim.tv_sec * 1'000'000'000 + status.st_mtim.tv_nsec);
}

TEST_F(source, links_in_a_circle_come_to_an_end) {
  write("a/photo.jpg");
  fs::create_directory_symlink(root_, root_ / "a" / "up");
  fs::create_directory_symlink(root_ / "a", root_ / "b");
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), names{"a/photo.jpg"});
  EXPECT_EQ(from.skipped(), (counts{{"folder seen already", 2}}));
}

TEST_F(source, a_link_behind_which_nothing_can_be_read_is_unreadable) {
  fs::create_symlink("nowhere.jpg", root_ / "dangling.jpg");
  fs::create_symlink("itself.jpg", root_ / "itself.jpg");
  photo_source from({root_});
  EXPECT_TRUE(all(from, root_).empty());
  EXPECT_TRUE(from.skipped().empty());
  ASSERT_EQ(from.unreadable_count(), 2U);
  EXPECT_EQ(from.unreadable()[0].path, root_ / "dangling.jpg");
  EXPECT_EQ(from.unreadable()[0].reason, "link that leads nowhere");
  EXPECT_EQ(from.unreadable()[1].reason, "link that leads to itself");
}

TEST_F(source, a_photo_behind_a_link_is_a_photo) {
  write("elsewhere/photo.jpg");
  fs::create_directory(root_ / "here");
  fs::create_symlink(root_ / "elsewhere" / "photo.jpg", root_ / "here" / "link.jpg");
  photo_source from({root_ / "here"});
  EXPECT_EQ(all(from, root_ / "here").size(), 1U);
}

TEST_F(source, pipes_and_sockets_are_left_alone) {
  ASSERT_EQ(mkfifo((root_ / "pipe.jpg").c_str(), 0600), 0);
  photo_source from({root_});
  EXPECT_FALSE(from.next()) << "and it did not wait for a writer";
  EXPECT_EQ(from.skipped(), (counts{{"not a regular file", 1}}));
}

TEST_F(source, a_named_path_that_is_missing_is_an_error_at_once) {
  write("a.jpg");
  EXPECT_THROW(photo_source({root_ / "a.jpg", root_ / "missing"}), std::system_error);
}

TEST_F(source, a_file_that_is_named_is_looked_at_whatever_its_name) {
  const fs::path hidden = write(".hidden.jpg");
  const fs::path text = write("b.txt", "text");
  photo_source from({hidden, text});
  EXPECT_EQ(all(from, root_), names{".hidden.jpg"});
  ASSERT_EQ(from.listed().size(), 1U);
  EXPECT_EQ(from.listed()[0].path, text);
}

TEST_F(source, a_folder_that_cannot_be_read_is_reported_and_the_rest_goes_on) {
  if (geteuid() == 0) GTEST_SKIP() << "root reads everything";
  write("a/x.jpg");
  write("b.jpg");
  fs::permissions(root_ / "a", fs::perms::none);
  photo_source from({root_});
  EXPECT_EQ(all(from, root_), names{"b.jpg"});
  fs::permissions(root_ / "a", fs::perms::owner_all);
  ASSERT_EQ(from.unreadable().size(), 1U);
  EXPECT_EQ(from.unreadable()[0].reason, "folder cannot be read: Permission denied");
}

TEST_F(source, a_folder_that_goes_away_on_the_way_is_reported_and_the_rest_goes_on) {
  write("a.jpg");
  write("b/x.jpg");
  write("c.jpg");
  photo_source from({root_});
  ASSERT_TRUE(from.next());
  fs::remove_all(root_ / "b");
  EXPECT_EQ(all(from, root_), names{"c.jpg"});
  EXPECT_TRUE(from.skipped().empty());
  ASSERT_EQ(from.unreadable_count(), 1U);
  EXPECT_EQ(from.unreadable()[0].path, root_ / "b");
  EXPECT_EQ(from.unreadable()[0].reason, "No such file or directory");
}

// ---- reading

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

TEST_F(source, a_file_is_read_whole) {
  const std::string content = jpeg + std::string(300'000, 'x') + "end";
  const found_photo found = look(write("a.jpg", content));
  EXPECT_EQ(text_of(read_whole(found)), content);
}

TEST_F(source, a_file_that_changed_since_it_was_found_is_still_being_written) {
  const fs::path path = write("a.jpg");
  const found_photo before = look(path);
  std::ofstream(path, std::ios::app) << "more";
  EXPECT_THROW(static_cast<void>(read_whole(before)), still_being_written) << "longer";
  EXPECT_EQ(text_of(read_whole(look(path))), jpeg + "more") << "another look helps";

  const found_photo longer = look(path);
  fs::resize_file(path, 3);
  EXPECT_THROW(static_cast<void>(read_whole(longer)), still_being_written) << "shorter";

  const found_photo same_size = look(path);
  fs::last_write_time(path, fs::last_write_time(path) - std::chrono::milliseconds(1));
  EXPECT_THROW(static_cast<void>(read_whole(same_size)), still_being_written) << "as long, but touched";
}

TEST_F(source, a_file_that_gives_other_than_its_size_is_still_being_written) {
  // The kernel's own files: one says 0 bytes and gives some, the other says 4096 and gives few. As if written to
  // between the two looks.
  struct stat status {};
  for (const char* path : {"/proc/self/status", "/sys/kernel/mm/transparent_hugepage/enabled"}) {
    if (stat(path, &status) != 0) continue;
    const auto modified =
        std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
    EXPECT_THROW(static_cast<void>(read_whole({path, static_cast<std::uint64_t>(status.st_size), modified})),
                 still_being_written)
        << path;
  }
}

TEST_F(source, a_file_that_is_gone_says_which) {
  const fs::path path = write("a.jpg");
  const found_photo found = look(path);
  fs::remove(path);
  try {
    static_cast<void>(read_whole(found));
    FAIL() << "read a file that is gone";
  } catch (const std::system_error& why) {
    EXPECT_NE(std::string(why.what()).find(path.string()), std::string::npos);
    EXPECT_EQ(why.code(), std::errc::no_such_file_or_directory);
  }
}

TEST(sha256, matches_the_published_examples) {
  EXPECT_EQ(sha256({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  const std::string abc = "abc";
  EXPECT_EQ(sha256(std::as_bytes(std::span(abc))), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace penstock::photos
