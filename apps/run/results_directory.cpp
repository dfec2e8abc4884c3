#include "apps/run/results_directory.hpp"

#include <array>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace penstock::runner {
namespace {

void write_all(int to, std::string_view bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(to, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw std::system_error(errno, std::generic_category(), path.string());
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
}

void write_file(const std::filesystem::path& path, std::string_view text, const unique_fd* from = nullptr) {
  unique_fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file) throw std::system_error(errno, std::generic_category(), path.string());
  if (!from || !*from) return write_all(file.get(), text, path);
  std::array<char, 65536> block;
  for (off_t at = 0;;) {
    const ssize_t got = ::pread(from->get(), block.data(), block.size(), at);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), path.string());
    if (got == 0) return;
    write_all(file.get(), {block.data(), static_cast<std::size_t>(got)}, path);
    at += got;
  }
}

bool holds_another(const std::filesystem::path& there, const std::string& item) {
  std::ifstream file(there / "item", std::ios::binary);
  return file && std::string(std::istreambuf_iterator<char>(file), {}) != item;
}

}  // namespace

results_directory::results_directory(std::filesystem::path where, bool goes_on)
    : where_(std::move(where)), goes_on_(goes_on) {
  std::error_code error;
  std::filesystem::create_directories(where_, error);
  if (error) throw std::system_error(error, where_.string());
  if (::access(where_.c_str(), W_OK) != 0) throw std::system_error(errno, std::generic_category(), where_.string());
}

void results_directory::keep(const std::string& stage, const std::string& number, const std::string& item,
                             const std::string& status, const printed& what) const {
  std::filesystem::path there = where_ / stage / number;
  for (int n = 2; goes_on_ && holds_another(there, item); ++n)
    there = where_ / stage / (number + '~' + std::to_string(n));
  std::filesystem::create_directories(there);
  write_file(there / "item", item);
  write_file(there / "stdout", what.out, &what.out_file);
  write_file(there / "stderr", what.err, &what.err_file);
  write_file(there / "status", status + '\n');
}

}  // namespace penstock::runner
