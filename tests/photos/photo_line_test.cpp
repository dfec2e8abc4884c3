// The photo line from folder to gallery: what is published, recognised, skipped, failed; bounded memory; how it ends.
#include "apps/photos/photo_line.hpp"

#include <atomic>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>

#include <gtest/gtest.h>

#include "apps/gallery/client.hpp"
#include "apps/gallery/server.hpp"
#include "apps/gallery/store.hpp"
#include "apps/photos/dimensions.hpp"
#include "tests/photos/photo_files.hpp"

namespace penstock::photos {
namespace {

namespace fs = std::filesystem;
using gallery::publish_result;

class photo_line_test : public ::testing::Test {
 protected:
  void SetUp() override {
    test_files::start_library();
    root_ = fs::temp_directory_path() / ("penstock-line-" + std::to_string(::getpid()) + "-" + std::to_string(++count));
    fs::create_directories(root_ / "in");
  }
  void TearDown() override { fs::remove_all(root_); }

  void write(const std::string& name, const test_files::file_bytes& bytes) const {
    fs::create_directories((root_ / "in" / name).parent_path());
    std::ofstream(root_ / "in" / name, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  // A photo that is like no other.
  static test_files::file_bytes photo(int number, int width = 400, int height = 300) {
    auto image = test_files::scenery(width, height);
    test_files::paint(image, number % 50, number / 50, 5, 5, {255, 0, 0});
    return test_files::saved(image, ".jpg[Q=90]");
  }
  [[nodiscard]] line_options options() const { return {.sources = {root_ / "in"}, .resize_workers = 2}; }
  static line_result run(line_options o, gallery::target& target) {
    photo_line line(std::move(o), target);
    line.start();
    return line.wait();
  }

  static inline int count = 0;
  fs::path root_;
};

TEST_F(photo_line_test, publishes_every_photo_once_and_a_second_run_changes_nothing) {
  for (int i = 0; i < 12; ++i)
    write("day" + std::to_string(i % 3) + "/IMG_" + std::to_string(i) + ".jpg", photo(i, 400 + i));
  gallery::store store(root_ / "gallery");
  const auto first = run(options(), store);
  EXPECT_EQ(first.found, 12u);
  EXPECT_EQ(first.published, 12u);
  EXPECT_EQ(first.renditions, 24u);  // 320, and its own size
  EXPECT_EQ(store.total(), 12);
  EXPECT_TRUE(first.report.sums_meet());
  const auto second = run(options(), store);
  EXPECT_EQ(second.published, 0u);
  EXPECT_EQ(second.already_there, 12u);
  EXPECT_EQ(store.total(), 12);
}

TEST_F(photo_line_test, the_same_contents_under_two_names_are_one_photo) {
  write("a.jpg", photo(1));
  write("b.jpg", photo(1));
  write("c.jpg", photo(2));
  gallery::store store(root_ / "gallery");
  const auto r = run(options(), store);
  EXPECT_EQ(r.published, 2u);
  EXPECT_EQ(r.twice, 1u);
}

TEST_F(photo_line_test, what_is_no_photo_is_skipped_with_its_reason_and_what_is_damaged_fails_alone) {
  write("good.jpg", photo(1));
  write("notes.jpg", test_files::bytes_of("dear diary, this is a text and no photo at all"));
  write("empty.jpg", {});
  auto cut = photo(2, 900, 700);
  cut.resize(cut.size() / 2);
  write("cut.jpg", cut);
  gallery::store store(root_ / "gallery");
  std::mutex m;
  std::set<std::string> told;
  auto o = options();
  o.on_failure = [&](const std::string& path, const std::string& reason) {
    const std::scoped_lock lock(m);
    told.insert(fs::path(path).filename().string());
    EXPECT_FALSE(reason.empty());
  };
  const auto r = run(std::move(o), store);
  EXPECT_EQ(r.published, 1u);
  EXPECT_EQ(r.report.failed, 1u);
  ASSERT_EQ(r.failures.size(), 1u);
  EXPECT_EQ(fs::path(r.failures[0].path).filename(), "cut.jpg");
  EXPECT_EQ(r.failures[0].stage, "resize");
  EXPECT_EQ(told, std::set<std::string>{"cut.jpg"});
  std::uint64_t skipped = 0;
  for (const auto& [reason, n] : r.skipped) skipped += n;
  EXPECT_EQ(skipped, 2u);
  EXPECT_EQ(store.total(), 1);
}

TEST_F(photo_line_test, fail_fast_ends_at_the_first_failure_and_tells_what_was_left) {
  auto cut = photo(2, 900, 700);
  cut.resize(cut.size() / 2);
  write("a.jpg", cut);
  for (int i = 0; i < 30; ++i) write("b" + std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  auto o = options();
  o.fail_fast = true;
  const auto r = run(std::move(o), store);
  EXPECT_NE(r.error.find("a.jpg"), std::string::npos) << r.error;
  EXPECT_EQ(r.published + r.unfinished.size() + 1, r.report.entered);
  EXPECT_LT(r.published, 30u);
}

TEST_F(photo_line_test, memory_in_flight_stays_below_its_limit) {
  for (int i = 0; i < 30; ++i) write(std::to_string(i) + ".jpg", photo(i, 1200, 900));
  const image_info info = probe(root_ / "in" / "0.jpg");
  gallery::store store(root_ / "gallery");
  auto o = options();
  o.memory_bytes = 2 * (info.peak_bytes + fs::file_size(root_ / "in" / "0.jpg")) + 1000;
  const auto limit = o.memory_bytes;
  const auto r = run(std::move(o), store);
  EXPECT_EQ(r.published, 30u);
  EXPECT_LE(r.peak_bytes, limit);
  EXPECT_GT(r.peak_bytes, 0u);
}

TEST_F(photo_line_test, a_photo_that_needs_more_than_the_limit_fails_with_advice) {
  write("large.jpg", photo(1, 1200, 900));
  gallery::store store(root_ / "gallery");
  auto o = options();
  o.memory_bytes = 1000;
  const auto r = run(std::move(o), store);
  ASSERT_EQ(r.failures.size(), 1u);
  EXPECT_NE(r.failures[0].reason.find("raise --memory"), std::string::npos) << r.failures[0].reason;
}

TEST_F(photo_line_test, a_dry_run_tells_and_publishes_nothing) {
  write("a.jpg", photo(1));
  write("b.jpg", photo(2));
  gallery::store store(root_ / "gallery");
  auto o = options();
  o.dry_run = true;
  std::atomic<int> told = 0;
  o.on_would_publish = [&](const std::string&) { ++told; };
  const auto r = run(std::move(o), store);
  EXPECT_EQ(r.published, 2u);
  EXPECT_EQ(told, 2);
  EXPECT_EQ(store.total(), 0);
}

// A target in front of the real one that can be told to fail, hold or stop: the rest is real.
class troubled : public gallery::target {
 public:
  explicit troubled(gallery::target& real) : real_(real) {}
  bool contains(std::string_view id) override { return real_.contains(id); }
  publish_result publish(const gallery::photo& item) override {
    if (before) before();
    return real_.publish(item);
  }
  std::string name() const override { return real_.name(); }
  std::function<void()> before;

 private:
  gallery::target& real_;
};

TEST_F(photo_line_test, a_server_that_is_busy_for_a_moment_costs_nothing) {
  for (int i = 0; i < 4; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  troubled target(store);
  std::atomic<int> calls = 0;
  target.before = [&] {
    if (++calls == 1) throw gallery::retryable_error("busy");
  };
  const auto r = run(options(), target);
  EXPECT_EQ(r.published, 4u);
  EXPECT_EQ(r.report.failed, 0u);
  EXPECT_EQ(r.report.stages.back().retried, 1u);
}

TEST_F(photo_line_test, a_drain_finishes_what_entered_and_a_rerun_the_rest) {
  for (int i = 0; i < 40; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  std::stop_source drain;
  troubled target(store);
  target.before = [&] { drain.request_stop(); };
  auto o = options();
  o.drain = drain.get_token();
  const auto r = run(std::move(o), target);
  EXPECT_EQ(r.report.outcome, outcome::drained);
  EXPECT_EQ(r.published, r.report.entered);
  EXPECT_LT(r.published, 40u);
  const auto rest = run(options(), store);
  EXPECT_EQ(r.published + rest.published, 40u);
}

TEST_F(photo_line_test, a_stop_hands_back_paths_and_a_rerun_finishes_them) {
  for (int i = 0; i < 40; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  std::stop_source stop;
  troubled target(store);
  target.before = [&] { stop.request_stop(); };
  auto o = options();
  o.stop = stop.get_token();
  const auto r = run(std::move(o), target);
  EXPECT_EQ(r.report.outcome, outcome::cancelled);
  EXPECT_EQ(r.published + r.unfinished.size() + r.report.filtered, r.report.entered);
  for (const auto& path : r.unfinished) EXPECT_TRUE(fs::exists(path));
  const auto rest = run(options(), store);
  EXPECT_EQ(store.total(), 40);
  EXPECT_EQ(r.published + rest.published, 40u);
}

TEST_F(photo_line_test, publishes_to_a_server_over_http) {
  for (int i = 0; i < 6; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  gallery::server_options serving;
  serving.port = 0;
  serving.token = "a-token-that-is-long-enough";
  serving.measure = dimensions_of;
  gallery::server server(store, std::move(serving));
  gallery::client client(server.url(), {.token = "a-token-that-is-long-enough"});
  EXPECT_EQ(run(options(), client).published, 6u);
  EXPECT_EQ(store.total(), 6);
  EXPECT_EQ(run(options(), client).already_there, 6u);
  gallery::client stranger(server.url(), {.token = "not-the-right-token-at-all"});
  write("new.jpg", photo(99));
  const auto refused = run(options(), stranger);
  EXPECT_EQ(refused.report.failed, 1u);
  EXPECT_EQ(refused.report.stages.back().retried, 0u) << "a refusal is not tried again";
}

TEST_F(photo_line_test, knows_the_total_once_all_has_been_seen) {
  for (int i = 0; i < 5; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  troubled target(store);
  photo_line line(options(), target);
  target.before = [&] {
    while (!line.total()) std::this_thread::yield();
  };
  line.start();
  EXPECT_EQ(line.wait().published, 5u);
  EXPECT_EQ(line.total(), 5u);
}

TEST_F(photo_line_test, refuses_what_makes_no_sense_before_it_starts) {
  gallery::store store(root_ / "gallery");
  EXPECT_THROW(photo_line({}, store), std::invalid_argument);
  EXPECT_THROW(photo_line({.sources = {root_ / "not there"}}, store), std::system_error);
  EXPECT_THROW(photo_line({.sources = {root_}, .renditions = {.quality = 1000}}, store), std::invalid_argument);
}

}  // namespace
}  // namespace penstock::photos
