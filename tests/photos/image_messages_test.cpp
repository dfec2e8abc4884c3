// Why a photo failed: the decoder's reason for this photo, whatever other photos are decoded before it and beside it.
#include "apps/photos/image_messages.hpp"

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "apps/photos/image.hpp"
#include "tests/photos/photo_files.hpp"

namespace penstock::photos {
namespace {

using namespace test_files;

struct broken_file {
  const char* name;
  file_bytes bytes;
};

file_bytes half_of(file_bytes file) {
  file.resize(file.size() / 2);
  return file;
}

file_bytes overwritten(file_bytes file) {
  std::fill_n(file.begin() + static_cast<std::ptrdiff_t>(file.size() / 3), file.size() / 4, std::byte{0});
  return file;
}

std::vector<broken_file> broken_files() {
  const auto photo = scenery(300, 200);
  return {{"half of a HEIC", half_of(saved(photo, ".heic[Q=80,effort=0]"))},
          {"half of a PNG", half_of(saved(photo, ".png"))},
          {"half of a WebP", half_of(saved(photo, ".webp"))},
          {"half of a GIF", half_of(saved(photo, ".gif"))},
          {"LZW in strips, overwritten", overwritten(saved(photo, ".tif[compression=lzw]"))},
          {"LZW in tiles, overwritten", overwritten(saved(photo, ".tif[compression=lzw,tile=true]"))}};
}

std::string reason_of(const file_bytes& file) {
  try {
    static_cast<void>(make_renditions(file, {.sizes = {64}}));
  } catch (const bad_photo& why) {
    return why.what();
  }
  return "published";
}

TEST(decoder_messages, every_decoder_states_a_cause) {
  start_library();
  for (const auto& [name, bytes] : broken_files()) {
    const std::string reason = reason_of(bytes);
    EXPECT_TRUE(reason.starts_with("damaged or cut short: ")) << name << ": " << reason;
    for (const char* empty : {"no reason given", "bad seek", "read error", "error in tile"})
      EXPECT_EQ(reason.find(empty), std::string::npos) << name << ": " << reason;
  }
}

TEST(decoder_messages, a_reason_is_the_same_after_and_beside_other_photos) {
  start_library();
  const auto broken = broken_files();
  std::vector<std::string> alone;
  for (const auto& file : broken) {
    forget_decoder_messages();
    alone.push_back(reason_of(file.bytes));
  }
  // These are fine, and libvips says something about them nevertheless.
  const std::vector<file_bytes> good{saved(scenery(200, 100), ".avif[Q=80,effort=0]"),
                                     saved(scenery(200, 100), ".heic[Q=80,effort=0]")};
  std::atomic<int> different = 0;
  std::vector<std::jthread> threads;
  for (std::size_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; i < 60; ++i) {
        const std::size_t which = (i + t) % broken.size();
        if (i % 5 == t) static_cast<void>(make_renditions(good[i % good.size()], {.sizes = {64}}));
        if (reason_of(broken[which].bytes) != alone[which]) ++different;
      }
    });
  threads.clear();
  EXPECT_EQ(different, 0);
}

TEST(decoder_messages, a_reason_names_no_file_of_another_photo) {
  start_library();
  const auto folder = std::filesystem::path(testing::TempDir()) / ("penstock_messages_" + std::to_string(getpid()));
  std::filesystem::create_directories(folder);
  const auto write = [&](const char* name, const file_bytes& bytes) {
    std::ofstream(folder / name, std::ios::binary) << text_of(bytes);
  };
  write("good.avif", saved(scenery(200, 100), ".avif[Q=80,effort=0]"));
  write("bad.heic", half_of(saved(scenery(200, 100), ".heic[Q=80,effort=0]")));
  static_cast<void>(probe(folder / "good.avif"));
  try {
    static_cast<void>(probe(folder / "bad.heic"));
    ADD_FAILURE() << "half a HEIC is no photo";
  } catch (const bad_photo& why) {
    EXPECT_EQ(std::string(why.what()).find("good"), std::string::npos) << why.what();
    EXPECT_NE(std::string(why.what()).find("end of file"), std::string::npos) << why.what();
  }
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace penstock::photos
