// fixtures: what the gallery's tests share: directories that go away, photos made of nothing, a client that speaks raw
// bytes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <sys/types.h>

#include <penstock/base/unique_fd.hpp>

#include "apps/gallery/photo.hpp"
#include "apps/gallery/store.hpp"

namespace penstock::gallery {

class temporary_directory {
 public:
  temporary_directory();
  ~temporary_directory();
  temporary_directory(const temporary_directory&) = delete;
  temporary_directory& operator=(const temporary_directory&) = delete;

  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] std::filesystem::path operator/(std::string_view name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// The same seed makes the same photo, in every process: 640 x 480 and 320 x 240, `bytes` bytes the larger one.
[[nodiscard]] photo photo_of(std::uint64_t seed, std::size_t bytes = 3000);
[[nodiscard]] std::string id_of(std::uint64_t seed);

// What is on the disk of a gallery, whether visible or not.
[[nodiscard]] std::set<std::string> directories_on_disk(const std::filesystem::path& gallery);  // ids under photos/
[[nodiscard]] std::vector<std::filesystem::path> drafts_on_disk(
    const std::filesystem::path& gallery);  // all under tmp/*/

[[nodiscard]] std::string text_of(const std::filesystem::path& file);
[[nodiscard]] std::string text_of(const rendition& item);

// "" iff every rendition of the photo is in the store, byte for byte; otherwise what is wrong.
[[nodiscard]] std::string difference(store& gallery, const photo& item);

// The program tests/gallery/process.cpp, in a process of its own; see there for its arguments.
class child_process {
 public:
  explicit child_process(std::vector<std::string> arguments);
  ~child_process();  // kills
  child_process(const child_process&) = delete;
  child_process& operator=(const child_process&) = delete;

  void kill();  // SIGKILL
  void close_input();
  [[nodiscard]] std::string read_line();  // from its standard output; "" at the end
  std::string read_all();
  int wait();  // the exit code; 128 + signal when it was killed

 private:
  pid_t pid_ = -1;
  unique_fd input_;
  unique_fd output_;
  std::string buffered_;
  int status_ = -1;
};

struct raw_reply {
  int status = 0;
  std::multimap<std::string, std::string> headers;  // names in lower case
  std::string body;

  [[nodiscard]] std::string header(const std::string& name) const;  // "" when missing
};

// A connection to a server on 127.0.0.1 that sends exactly what it is told to.
class raw_connection {
 public:
  explicit raw_connection(std::uint16_t port);

  bool send(std::string_view bytes);                          // false: the server has closed
  void send_end();                                            // shuts the sending direction down
  [[nodiscard]] raw_reply read_reply(bool with_body = true);  // status 0: the connection ended before a whole reply
  [[nodiscard]] std::string read_line();                      // without its end; "" also at the end of the stream
  [[nodiscard]] bool is_at_end();                             // waits for more bytes, or the end

  [[nodiscard]] raw_reply ask(std::string_view bytes) {
    send(bytes);
    return read_reply();
  }

 private:
  bool fill();

  unique_fd socket_;
  std::string buffered_;
};

// "GET <target>", with Host, the token and what `more` has (each line ended by \r\n).
[[nodiscard]] std::string get(std::string_view target, std::string_view more = "");
[[nodiscard]] std::string get_without_token(std::string_view target, std::string_view more = "");
[[nodiscard]] std::string put(const photo& item, std::string_view token, std::string_view more = "");

inline constexpr std::string_view test_token = "a-token-for-tests-only";

}  // namespace penstock::gallery
