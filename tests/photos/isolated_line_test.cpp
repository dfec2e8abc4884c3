// The line with decoders in processes of their own: what kills a decoder costs one photo, which says what happened.
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <gtest/gtest.h>
#include <unistd.h>

#include "apps/gallery/store.hpp"
#include "apps/photos/photo_line.hpp"
#include "tests/photos/photo_files.hpp"
#include "tests/process/process_testing.hpp"

namespace penstock::photos {

// The real one, unless the file's last word is an order: a JPEG may be followed by anything.
rendition_set obedient_make(const make_request& request) {
  const auto bytes = request.file.bytes();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto told_to = [&](std::string_view what) { return text.ends_with(what); };
  if (told_to("CRASH")) {
    ::signal(SIGSEGV, SIG_DFL);  // a sanitizer has its own
    ::raise(SIGSEGV);
  }
  while (told_to("HANG")) ::pause();
  if (told_to("MEMORY")) {
    std::vector<std::string> all;
    for (;;) all.emplace_back(std::size_t{64} << 20, 'x');
  }
  return make_there(request);
}

namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using obedient_images = isolated_images_with<obedient_make>;

// As process tests: no child and no descriptor is left.
class isolated_line_test : public process::nothing_left {
 protected:
  void SetUp() override {
    test_files::start_library();
    nothing_left::SetUp();
    root_ =
        fs::temp_directory_path() / ("penstock-isolated-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
    fs::create_directories(root_ / "in");
  }
  void TearDown() override {
    fs::remove_all(root_);
    nothing_left::TearDown();
  }
  // A photo that is like no other, with an order behind it.
  void photo(const std::string& name, int number, const std::string& order = {}) const {
    auto image = test_files::scenery(400, 300);
    test_files::paint(image, number % 50, number / 50, 5, 5, {255, 0, 0});
    const auto bytes = test_files::saved(image, ".jpg[Q=90]");
    std::ofstream(root_ / "in" / name, std::ios::binary)
            .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()))
        << order;
  }
  [[nodiscard]] line_options options(process::isolation how = {}) const {
    line_options o{.sources = {root_ / "in"}, .resize_workers = 2};
    o.images = [how](const rendition_options& r) { return std::make_unique<obedient_images>(r, how); };
    return o;
  }
  static line_result run(line_options o, gallery::target& target) {
    photo_line line(std::move(o), target);
    line.start();
    return line.wait();
  }
  static std::map<std::string, std::string> reasons(const line_result& r) {
    std::map<std::string, std::string> made;
    for (const auto& f : r.failures) made[fs::path(f.path).filename()] = f.reason;
    return made;
  }

  static inline int count = 0;
  fs::path root_;
};

TEST_F(isolated_line_test, makes_the_same_renditions_as_the_line_does_here) {
  for (int i = 0; i < 12; ++i) photo(std::to_string(i) + ".jpg", i);
  std::ofstream(root_ / "in" / "notes.jpg") << "a text, and no photo at all";
  gallery::store here(root_ / "here"), there(root_ / "there");
  auto o = options();
  o.images = {};
  const auto plain = run(std::move(o), here);
  const auto isolated = run({.sources = {root_ / "in"}, .images = isolated_with({})}, there);
  EXPECT_EQ(plain.published, 12u);
  EXPECT_EQ(isolated.published, 12u);
  EXPECT_EQ(isolated.renditions, plain.renditions);
  EXPECT_EQ(isolated.bytes_published, plain.bytes_published);
  EXPECT_EQ(isolated.skipped, plain.skipped);
  EXPECT_TRUE(isolated.report.sums_meet());
}

TEST_F(isolated_line_test, a_picture_that_crashes_or_hangs_its_decoder_fails_alone) {
  for (int i = 0; i < 20; ++i) photo(std::to_string(i) + ".jpg", i);
  photo("crash-1.jpg", 100, "CRASH");
  photo("crash-2.jpg", 101, "CRASH");
  photo("hang.jpg", 102, "HANG");
  gallery::store store(root_ / "gallery");
  const auto r = run(options({.deadline = 2s}), store);
  EXPECT_EQ(r.published, 20u);
  EXPECT_EQ(store.total(), 20);
  EXPECT_TRUE(r.report.sums_meet());
  auto why = reasons(r);
  EXPECT_EQ(why.size(), 3u);
  for (const char* name : {"crash-1.jpg", "crash-2.jpg"})
    EXPECT_EQ(why[name].find("the worker was killed by signal 11 (SEGV)"), 0u) << why[name];
  EXPECT_EQ(why["hang.jpg"], "the worker was killed: its deadline of 2000 ms has passed");
  for (const auto& f : r.failures) EXPECT_EQ(f.stage, "resize");
}

TEST_F(isolated_line_test, a_picture_that_eats_memory_fails_alone) {
#if defined(__SANITIZE_ADDRESS__)
  GTEST_SKIP() << "a sanitizer needs more address space than there is memory";
#endif
  for (int i = 0; i < 4; ++i) photo(std::to_string(i) + ".jpg", i);
  photo("memory.jpg", 100, "MEMORY");
  gallery::store store(root_ / "gallery");
  const auto r = run(options({.memory_bytes = std::size_t{2} << 30}), store);
  EXPECT_EQ(r.published, 4u);
  auto why = reasons(r);
  EXPECT_EQ(why["memory.jpg"], "std::bad_alloc");
}

TEST_F(isolated_line_test, a_damaged_picture_is_told_in_the_same_words) {
  photo("good.jpg", 1);
  photo("cut.jpg", 2);
  fs::resize_file(root_ / "in" / "cut.jpg", fs::file_size(root_ / "in" / "cut.jpg") / 2);
  gallery::store here(root_ / "here"), there(root_ / "there");
  auto o = options();
  o.images = {};
  const auto plain = run(std::move(o), here);
  const auto isolated = run(options(), there);
  EXPECT_EQ(plain.published, 1u);
  EXPECT_EQ(isolated.published, 1u);
  EXPECT_EQ(reasons(isolated), reasons(plain));
}

TEST_F(isolated_line_test, a_stop_ends_a_decoder_that_hangs_and_hands_back_the_photo) {
  photo("0.jpg", 0);
  photo("hang.jpg", 1, "HANG");
  gallery::store store(root_ / "gallery");
  std::stop_source stop;
  auto o = options();
  o.stop = stop.get_token();
  photo_line line(std::move(o), store);
  line.start();
  // In the hand of a worker, or on its way there: both must end.
  while (line.snapshot().delivered < 1) std::this_thread::yield();
  stop.request_stop();
  const auto r = line.wait();
  EXPECT_EQ(r.report.outcome, outcome::cancelled);
  EXPECT_EQ(r.published, 1u);
  EXPECT_EQ(r.report.failed, 0u);
  EXPECT_EQ(r.unfinished.size(), r.report.entered - 1);
}

}  // namespace
}  // namespace penstock::photos

int main(int argc, char** argv) {
  using namespace penstock::photos;
  penstock::process::serve_if_worker<probe_there, make_there, obedient_make>(argc, argv);
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
