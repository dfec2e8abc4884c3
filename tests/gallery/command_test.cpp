#include "apps/gallery/command.hpp"

#include <condition_variable>
#include <cstdlib>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "apps/gallery/client.hpp"
#include "apps/gallery/token.hpp"
#include "tests/gallery/fixtures.hpp"

namespace penstock::gallery {
namespace {

namespace fs = std::filesystem;

TEST(gallery_token, comes_from_a_file_without_its_line_feed) {
  const temporary_directory directory;
  const auto file = directory / "token";
  std::ofstream(file) << test_token << "\r\n";
  ::chmod(file.c_str(), 0600);
  const auto found = read_token(file);
  ASSERT_TRUE(found);
  EXPECT_EQ(found->token, test_token);
  EXPECT_EQ(found->warning, "");
  ::chmod(file.c_str(), 0644);
  EXPECT_NE(read_token(file)->warning.find("chmod 600"), std::string::npos);
}

TEST(gallery_token, comes_from_the_environment_when_there_is_no_file) {
  ::unsetenv("PENSTOCK_TOKEN");
  EXPECT_FALSE(read_token(""));
  ::setenv("PENSTOCK_TOKEN", std::string(test_token).c_str(), 1);
  EXPECT_EQ(read_token("")->token, test_token);
  ::setenv("PENSTOCK_TOKEN", "short", 1);
  EXPECT_THROW(static_cast<void>(read_token("")), std::runtime_error);
  ::unsetenv("PENSTOCK_TOKEN");
}

TEST(gallery_token, that_is_missing_short_or_unfit_is_refused_without_being_told) {
  const temporary_directory directory;
  EXPECT_THROW(static_cast<void>(read_token(directory / "nowhere")), std::runtime_error);
  EXPECT_THROW(static_cast<void>(read_token(directory.path())), std::runtime_error);
  for (const std::string text : {"", "fifteen-letters", "has a space in the middle", "two-lines-of-text\nin-the-file",
                                 "ä-letter-not-ascii", "    fifteen-letters    "}) {
    std::ofstream(directory / "token") << text;
    try {
      static_cast<void>(read_token(directory / "token"));
      ADD_FAILURE() << text;
    } catch (const std::runtime_error& refused) {
      if (!text.empty()) {
        EXPECT_EQ(std::string(refused.what()).find(text), std::string::npos);
      }
    }
  }
  std::ofstream(directory / "token") << std::string(10'000, 'x');
  EXPECT_THROW(static_cast<void>(read_token(directory / "token")), std::runtime_error);
}

// What serve_command() prints, for a thread that waits for it.
class printed : public std::stringbuf {
 public:
  std::string wait_for_line() {
    std::unique_lock lock(mutex_);
    flushed_.wait(lock, [&] { return !line_.empty(); });
    return line_;
  }

 protected:
  int sync() override {
    const std::lock_guard lock(mutex_);
    line_ = str();
    flushed_.notify_all();
    return 0;
  }

 private:
  std::mutex mutex_;
  std::condition_variable flushed_;
  std::string line_;
};

TEST(gallery_command, serves_until_it_is_asked_to_stop) {
  const temporary_directory directory;
  printed output;
  std::ostream out(&output);
  int code = -1;
  std::jthread command([&](std::stop_token stop) {
    server_options options;
    options.port = 0;
    options.token = test_token;
    code = serve_command(directory / "gallery", options, out, std::move(stop));
  });
  const std::string line = output.wait_for_line();
  const auto begin = line.find("http://127.0.0.1:");
  ASSERT_NE(begin, std::string::npos) << line;
  EXPECT_EQ(line.find(test_token), std::string::npos);
  client there(line.substr(begin, line.find_first_of(" \n", begin) - begin), {.token = std::string(test_token)});
  EXPECT_EQ(there.publish(photo_of(1)), publish_result::published);
  command.request_stop();
  command.join();
  EXPECT_EQ(code, 0);
  EXPECT_TRUE(fs::is_empty(directory / "gallery" / "tmp"));
}

TEST(gallery_command, a_stop_that_was_requested_before_the_start_ends_it_too) {
  const temporary_directory directory;
  std::ostringstream out;
  std::stop_source stop;
  stop.request_stop();
  server_options options;
  options.port = 0;
  EXPECT_EQ(serve_command(directory.path(), options, out, stop.get_token()), 0);
  EXPECT_NE(out.str().find("no uploads"), std::string::npos) << out.str();
}

TEST(gallery_command, shows_a_gallery_that_another_process_publishes_into) {
  const temporary_directory directory;
  child_process publisher({"hold", directory.path(), "1"});
  ASSERT_EQ(publisher.read_line(), "open");
  printed output;
  std::ostream out(&output);
  std::jthread command([&](std::stop_token stop) {
    server_options options;
    options.port = 0;
    static_cast<void>(serve_command(directory.path(), options, out, std::move(stop)));
  });
  const std::string line = output.wait_for_line();
  const auto port = line.find("127.0.0.1:") + 10;
  raw_connection connection(static_cast<std::uint16_t>(std::stoi(line.substr(port))));
  EXPECT_EQ(connection.ask(get("/api/photos/" + id_of(1))).status, 200);
  EXPECT_EQ(connection.ask(put(photo_of(2), "")).status, 403);
}

}  // namespace
}  // namespace penstock::gallery
