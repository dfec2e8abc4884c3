// What the process tests share: after each of them this program has as many descriptors as before and no child, alive or
// dead; and a few programs of the system under short names.
#pragma once

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <penstock/process/run.hpp>

namespace penstock::process {

// A sanitizer needs more address space than there is memory.
inline constexpr bool limits_memory =
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    false;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    false;
#else
    true;
#endif
#else
    true;
#endif

// number: what it is.
inline std::map<int, std::string> open_descriptors() {
  std::map<int, std::string> found;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
    std::error_code gone;
    const auto what = std::filesystem::read_symlink(entry.path(), gone);
    if (!gone && what.native().find("/proc/") != 0) found[std::stoi(entry.path().filename())] = what;
  }
  return found;
}
inline bool has_children() {
  siginfo_t info{};
  return ::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 || errno != ECHILD;
}

// The same each time, and without a pattern that a lost or doubled block could hide in.
inline std::string much_text(std::size_t bytes) {
  std::string text(bytes, '\0');
  std::uint32_t x = 1;
  for (char& c : text) c = static_cast<char>('a' + (x = x * 1664525u + 1013904223u) % 26);
  return text;
}

class nothing_left : public ::testing::Test {
 protected:
  void SetUp() override { before_ = open_descriptors(); }
  void TearDown() override {
    EXPECT_EQ(open_descriptors(), before_);
    EXPECT_FALSE(has_children());
  }

 private:
  std::map<int, std::string> before_;
};

class scratch_directory {
 public:
  scratch_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "penstock-process-XXXXXX").string();
    if (!::mkdtemp(name.data())) throw std::runtime_error("mkdtemp");
    path_ = std::filesystem::canonical(name);
  }
  ~scratch_directory() { std::filesystem::remove_all(path_); }
  scratch_directory(const scratch_directory&) = delete;
  scratch_directory& operator=(const scratch_directory&) = delete;
  [[nodiscard]] std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

inline std::string contents(const std::filesystem::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}
inline void write_file(const std::filesystem::path& path, const std::string& text, bool executable = false) {
  std::ofstream(path) << text;
  if (executable) std::filesystem::permissions(path, std::filesystem::perms::owner_all);
}

template <class T>
void move_onto_itself(T& x) {
  T& same = x;
  x = std::move(same);
}

// Reads one line from a blocking descriptor; what a child says before the test goes on.
inline std::string line_from(const unique_fd& fd) {
  std::string line;
  for (char c = 0; ::read(fd.get(), &c, 1) == 1 && c != '\n';) line += c;
  return line;
}
// True iff nobody holds the other end of the pipe any more. Waits for it.
inline bool reaches_end(const unique_fd& fd) {
  char c = 0;
  ssize_t n = 0;
  while ((n = ::read(fd.get(), &c, 1)) > 0) {
  }
  return n == 0;
}

}  // namespace penstock::process
