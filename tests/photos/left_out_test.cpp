// Which files and folders are left out because of their names.
#include "apps/photos/left_out.hpp"

#include <string>

#include <gtest/gtest.h>

namespace penstock::photos {
namespace {

std::string folder(std::string_view name) {
  const auto why = reason_to_leave_out_folder(name);
  return why ? why->reason : "entered";
}

std::string file(std::string_view name) {
  const auto why = reason_to_leave_out_file(name);
  return why ? why->reason : "looked at";
}

TEST(left_out, trash_thumbnails_and_older_states_whatever_their_case) {
  for (const char* name :
       {"#recycle", "#RECYCLE", "@Recycle", "$RECYCLE.BIN", "$Recycle.Bin", "RECYCLER", "Recycled", ".Trash",
        ".Trash-1000", ".Trashes", "Network Trash Folder", ".recycle", "trashbox", "Recycle Bin - Volume_1"})
    EXPECT_TRUE(folder(name).starts_with("trash folder (")) << name << ": " << folder(name);
  for (const char* name : {"@eaDir", "@EADIR", ".@__thumb", "@__thumb", ".thumbnails"})
    EXPECT_TRUE(folder(name).starts_with("thumbnail folder (")) << name << ": " << folder(name);
  for (const char* name : {"#snapshot", "@Recently-Snapshot", ".snapshots", ".zfs"})
    EXPECT_TRUE(folder(name).starts_with("folder of older states (")) << name << ": " << folder(name);
  for (const char* name : {"lost+found", "LOST+FOUND", "System Volume Information", "FOUND.000", "__MACOSX", "@tmp"})
    EXPECT_TRUE(folder(name).starts_with("system folder (")) << name << ": " << folder(name);
  EXPECT_EQ(folder(".picasaoriginals"), "hidden folder");
}

TEST(left_out, libraries_of_programs_are_named_in_the_report) {
  for (const char* name : {"Photos Library.photoslibrary", "Aperture.aplibrary", "Catalog Previews.lrdata"}) {
    const auto why = reason_to_leave_out_folder(name);
    ASSERT_TRUE(why) << name;
    EXPECT_TRUE(why->list);
  }
}

TEST(left_out, not_the_names_that_people_give_to_their_folders) {
  for (const char* name : {"DCIM", "100CANON", "Trash", "Thumbnails", "Recycling plant", "snapshots", "lost", "found",
                           "FOUND.1000", "found.abc", "#1", "@home", "$5", "System", "originals"})
    EXPECT_EQ(folder(name), "entered");
}

TEST(left_out, files_that_are_not_finished_or_not_photos) {
  for (const char* name : {"a.jpg.tmp", "a.jpg.part", "a.jpg.crdownload", "a.jpg.filepart", "a.jpg.!qB",
                           "a.jpg.PARTIAL", "a.jpg.sb-1a2b3c-Xy", "a.jpg.opdownload"})
    EXPECT_EQ(file(name), "unfinished download or copy") << name;
  for (const char* name : {"._IMG_1.jpg", ".DS_Store", ".IMG_1.jpg.x8Yz1q"}) EXPECT_EQ(file(name), "hidden file");
  for (const char* name : {"Thumbs.db", "desktop.ini", "IMG_1.XMP"}) EXPECT_EQ(file(name), "sidecar");
  for (const char* name : {"IMG_1.JPG", "no extension", "part", "tmp", "a.jpg.1"}) EXPECT_EQ(file(name), "looked at");
}

TEST(left_out, a_claim_to_be_a_photo) {
  for (const char* name : {"a.jpg", "A.JPEG", "b.HEIC", "c.NEF", "d.dng", "e.cr3", "f.hif", "g.x.png"})
    EXPECT_TRUE(is_named_like_a_photo(name)) << name;
  for (const char* name : {"jpg", "a.txt", "a.mp4", "a", "a.jpg.bak", ""})
    EXPECT_FALSE(is_named_like_a_photo(name)) << name;
}

}  // namespace
}  // namespace penstock::photos
