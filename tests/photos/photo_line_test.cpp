// The photo line from folder to gallery: what is published, recognised, skipped, failed; bounded memory; how it ends.
#include "apps/photos/photo_line.hpp"

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <thread>

#include <gtest/gtest.h>

#include "apps/gallery/client.hpp"
#include "apps/gallery/disk.hpp"
#include "apps/gallery/rules.hpp"
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

// A target in front of the real one that can be told to fail, hold or stop: the rest is real.
class troubled : public gallery::target {
 public:
  explicit troubled(gallery::target& real) : real_(real) {}
  bool contains(std::string_view id) override {
    if (before_contains) before_contains();
    return real_.contains(id);
  }
  publish_result publish(const gallery::photo& item) override {
    if (before) before();
    return real_.publish(item);
  }
  std::string name() const override { return real_.name(); }
  std::function<void()> before, before_contains;

 private:
  gallery::target& real_;
};

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
  EXPECT_EQ(r.failed, 2u);
  ASSERT_EQ(r.failures.size(), 2u);
  std::map<std::string, std::string> stages;
  for (const auto& f : r.failures) stages[fs::path(f.path).filename().string()] = f.stage;
  EXPECT_EQ(stages, (std::map<std::string, std::string>{{"cut.jpg", "resize"}, {"empty.jpg", "download"}}));
  EXPECT_EQ(told, (std::set<std::string>{"cut.jpg", "empty.jpg"}));
  EXPECT_EQ(r.skipped, (std::map<std::string, std::uint64_t>{{"not an image: starts like text", 1}}));
  EXPECT_EQ(r.unreadable, 0u);
  EXPECT_EQ(store.total(), 1);
}

TEST_F(photo_line_test, a_photo_that_goes_away_after_it_was_found_is_unreadable_and_not_failed) {
  for (int i = 0; i < 6; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  troubled target(store);
  std::once_flag once;
  // Called when the first photo is looked up in the gallery: by then the folder has been listed.
  target.before_contains = [&] {
    std::call_once(once, [&] {
      for (int i = 3; i < 6; ++i) fs::remove(root_ / "in" / (std::to_string(i) + ".jpg"));
    });
  };
  std::mutex m;
  std::set<std::string> told;
  auto o = options();
  o.download_workers = 1;
  o.on_failure = [&](const std::string& path, const std::string&) {
    const std::scoped_lock lock(m);
    told.insert(fs::path(path).filename().string());
  };
  const auto r = run(std::move(o), target);
  EXPECT_EQ(r.published, 3u);
  EXPECT_EQ(r.failed, 0u);
  EXPECT_TRUE(r.failures.empty());
  EXPECT_EQ(r.unreadable, 3u);
  std::set<std::string> listed;
  for (const auto& f : r.unreadable_files) {
    listed.insert(f.path.filename().string());
    EXPECT_EQ(f.reason, "No such file or directory");
  }
  EXPECT_EQ(listed, (std::set<std::string>{"3.jpg", "4.jpg", "5.jpg"}));
  EXPECT_EQ(told, listed);
}

TEST_F(photo_line_test, fail_fast_ends_at_what_cannot_be_read) {
  for (int i = 0; i < 6; ++i) write(std::to_string(i) + ".jpg", photo(i));
  fs::create_symlink("nowhere", root_ / "in" / "0-link.jpg");
  gallery::store store(root_ / "gallery");
  auto o = options();
  o.fail_fast = true;
  const auto r = run(std::move(o), store);
  EXPECT_NE(r.error.find("0-link.jpg"), std::string::npos) << r.error;
  EXPECT_EQ(r.unreadable, 1u);
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
  EXPECT_EQ(refused.failed, 0u) << "the photo is not to blame";
  EXPECT_EQ(refused.not_tried, 7u) << "nor is a stranger told what is there";
  EXPECT_NE(refused.target_error.find("token"), std::string::npos) << refused.target_error;
  EXPECT_EQ(refused.published + refused.already_there, 0u) << "a stranger is not told either what is there";
  EXPECT_EQ(refused.report.stages.back().retried, 0u) << "a refusal is not tried again";
}

// --- a target that takes no photos, and a photo that no target takes ---

// Runs 60 photos; publish() fails with this error from the eleventh call on. Then runs again without the trouble.
struct broken_run {
  line_result first, second;
  std::int64_t total = 0;
  int calls = 0;  // of publish() that failed
};

class failing_target_test : public photo_line_test {
 protected:
  static constexpr int photos = 60, good = 10;
  broken_run run_with(const std::function<void()>& fail, const std::function<void()>& fail_contains = {},
                      std::size_t upload_workers = 2) {
    for (int i = 0; i < photos; ++i) write(std::to_string(i) + ".jpg", photo(i));
    gallery::store store(root_ / "gallery");
    broken_run out;
    {
      troubled target(store);
      std::atomic<int> calls = 0;
      std::atomic<bool> is_broken = false;
      target.before = [&] {
        if (++calls <= good) return;
        is_broken = true;
        fail();
      };
      target.before_contains = [&] {
        if (is_broken && fail_contains) fail_contains();
      };
      auto o = options();
      o.upload_workers = upload_workers;
      out.first = run(std::move(o), target);
      out.calls = calls - good;
    }
    out.second = run(options(), store);
    out.total = store.total();
    return out;
  }
  static void expect_stopped_once(const broken_run& r) {
    EXPECT_EQ(r.first.published, 10u);
    EXPECT_EQ(r.first.failed, 0u) << "no photo is to blame";
    EXPECT_EQ(r.first.not_tried, 50u);
    EXPECT_FALSE(r.first.target_error.empty());
    EXPECT_EQ(r.first.error, r.first.target_error);
    EXPECT_LT(r.first.report.entered, 60u) << "nothing more was read";
    EXPECT_EQ(r.second.published, 50u);
    EXPECT_EQ(r.total, 60);
  }
};

TEST_F(failing_target_test, a_full_disk_stops_the_run_once) {
  const auto r = run_with([] { throw gallery::storage_error(ENOSPC, "cannot write", "/srv/gallery/tmp/1"); });
  expect_stopped_once(r);
  EXPECT_LE(r.calls, 2) << "one attempt for each worker at most";
  EXPECT_NE(r.first.target_error.find("free some space"), std::string::npos) << r.first.target_error;
}

TEST_F(failing_target_test, every_fault_of_the_storage_stops_the_run_once) {
  for (const int reason : {EACCES, EROFS, EIO, ENOENT, EDQUOT, ESTALE}) {
    SCOPED_TRACE(reason);
    expect_stopped_once(run_with([=] { throw gallery::storage_error(reason, "cannot write", "/srv/gallery/tmp/1"); }));
    TearDown();
    SetUp();
  }
}

TEST_F(failing_target_test, a_refusal_that_is_not_about_the_photo_stops_the_run_once) {
  for (const long status : {401L, 403L, 404L, 301L, 421L, 0L}) {
    SCOPED_TRACE(status);
    const auto r = run_with([=] { throw gallery::permanent_error("refused", status); });
    expect_stopped_once(r);
    EXPECT_LE(r.calls, 2);
    TearDown();
    SetUp();
  }
}

TEST_F(failing_target_test, a_server_whose_disk_is_full_stops_the_run_at_the_first_reply) {
  const auto r = run_with([] { throw gallery::retryable_error("disk full", std::nullopt, 507); });
  expect_stopped_once(r);
  EXPECT_LE(r.calls, 2);
}

TEST_F(failing_target_test, a_server_that_is_gone_stops_the_run_after_the_last_attempt) {
  const auto gone = [] { throw gallery::retryable_error("connection refused"); };
  expect_stopped_once(run_with(gone, gone));
}

TEST_F(failing_target_test, the_third_failure_in_a_row_stops_a_run_whose_target_still_answers) {
  // One worker: a second one's failure at the moment of the stop is handed back.
  const auto r = run_with([] { throw std::runtime_error("out of order"); }, {}, 1);
  EXPECT_EQ(r.first.published, 10u);
  EXPECT_EQ(r.first.failed, 2u);
  EXPECT_EQ(r.first.not_tried, 48u);
  EXPECT_EQ(r.second.published, 50u);
}

// Every third photo fails with this error.
TEST_F(failing_target_test, a_photo_that_is_refused_fails_alone) {
  const std::vector<std::function<void()>> refusals{
      [] { throw gallery::permanent_error("too large", 413); },
      [] { throw gallery::permanent_error("not an image", 422); },
      [] { throw gallery::permanent_error("bad request", 400); },
      [] { throw gallery::invalid_photo("a field is too long"); },
      [] { throw std::runtime_error("this one and no other"); },
  };
  for (const auto& refuse : refusals) {
    for (int i = 0; i < 30; ++i) write(std::to_string(i) + ".jpg", photo(i));
    gallery::store store(root_ / "gallery");
    troubled target(store);
    std::atomic<int> calls = 0;
    target.before = [&] {
      if (++calls % 3 == 0) refuse();
    };
    auto o = options();
    o.upload_workers = 1;
    const auto r = run(std::move(o), target);
    EXPECT_EQ(r.published, 20u);
    EXPECT_EQ(r.failed, 10u);
    EXPECT_EQ(r.not_tried, 0u);
    EXPECT_TRUE(r.target_error.empty()) << r.target_error;
    TearDown();
    SetUp();
  }
}

TEST_F(failing_target_test, any_number_of_refused_photos_in_a_row_is_no_failing_target) {
  for (int i = 0; i < 12; ++i) write(std::to_string(i) + ".jpg", photo(i));
  gallery::store store(root_ / "gallery");
  troubled target(store);
  target.before = [] { throw gallery::permanent_error("too large", 413); };
  const auto r = run(options(), target);
  EXPECT_EQ(r.failed, 12u);
  EXPECT_TRUE(r.target_error.empty());
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
