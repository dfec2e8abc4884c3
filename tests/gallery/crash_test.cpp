// A publisher is killed at moments of the test's choosing, again and again, in one gallery.
#include <filesystem>
#include <random>
#include <set>
#include <string>

#include <gtest/gtest.h>

#include "apps/gallery/store.hpp"
#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {
namespace {

TEST(gallery_crash, a_killed_publisher_leaves_every_photo_whole_or_not_at_all) {
  const auto seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  const temporary_directory directory;
  std::set<std::string> promised;  // publish() had returned before the kill
  std::uint64_t first = 0;
  int killed = 0;
  for (int round = 0; round < 40; ++round) {
    child_process publisher({"publish", directory.path(), std::to_string(first), "100000", "3"});
    ASSERT_EQ(publisher.read_line(), "open");
    const int photos = std::uniform_int_distribution(0, 12)(random);
    for (int i = 0; i < photos; ++i) promised.insert(publisher.read_line());
    // One thread has just said a line; the two others are anywhere: before, in or after the rename or the commit.
    publisher.kill();
    for (std::string line = publisher.read_line(); line.size() == 64; line = publisher.read_line())
      promised.insert(line);
    if (publisher.wait() == 128 + 9) ++killed;

    store gallery(directory.path());
    std::set<std::string> visible;
    for (const auto& shown : gallery.list(std::nullopt, 100'000)) visible.insert(shown.id);
    ASSERT_EQ(directories_on_disk(directory.path()), visible) << "an orphan, or a row without files";
    ASSERT_TRUE(drafts_on_disk(directory.path()).empty());
    for (const auto& id : promised) ASSERT_TRUE(visible.contains(id)) << "published, and gone";
    std::uint64_t checked = 0;
    for (; checked < 200; ++checked)
      if (visible.contains(id_of(first + checked))) {
        ASSERT_EQ(difference(gallery, photo_of(first + checked)), "");
      }
    first += checked;
  }
  EXPECT_EQ(killed, 40);
  EXPECT_FALSE(promised.empty());
}

}  // namespace
}  // namespace penstock::gallery
