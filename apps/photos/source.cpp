#include "apps/photos/source.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <string_view>
#include <system_error>

#include <dirent.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/base/unique_fd.hpp>

namespace penstock::photos {
namespace {

constexpr std::size_t most_listed = 1000;

struct closes_directory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

std::system_error last_error(const std::filesystem::path& path) {
  return {errno, std::generic_category(), path.string()};
}

std::string lower_extension(std::string_view name) {
  const auto dot = name.rfind('.');
  if (dot == std::string_view::npos) return {};
  std::string extension(name.substr(dot + 1));
  std::ranges::transform(extension, extension.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return extension;
}

bool one_of(std::string_view wanted, std::span<const std::string_view> list) {
  return std::ranges::find(list, wanted) != list.end();
}

constexpr std::array<std::string_view, 5> unfinished{"tmp", "part", "partial", "crdownload", "download"};
constexpr std::array<std::string_view, 10> sidecars{"xmp", "json", "aae", "pp3", "dop",
                                                    "thm", "xml",  "ini", "db",  "txt"};
constexpr std::array<std::string_view, 13> videos{"mp4",  "mov", "m4v",  "avi", "mkv", "webm", "mts",
                                                  "m2ts", "mpg", "mpeg", "3gp", "wmv", "lrv"};
constexpr std::array<std::string_view, 11> photos{"jpg",  "jpeg", "jpe", "png",  "webp", "heic",
                                                  "heif", "avif", "tif", "tiff", "gif"};

// Why a file with this name is not even opened; empty: it is.
std::string reason_by_name(std::string_view name) {
  if (name.starts_with('.')) return "hidden file";
  const std::string extension = lower_extension(name);
  if (one_of(extension, unfinished)) return "unfinished download or copy";
  if (one_of(extension, sidecars)) return "sidecar";
  if (one_of(extension, videos)) return "video";
  return {};
}

std::chrono::nanoseconds modified(const struct stat& status) {
  return std::chrono::seconds(status.st_mtim.tv_sec) + std::chrono::nanoseconds(status.st_mtim.tv_nsec);
}

unique_fd open_file(const std::filesystem::path& path, struct stat& status) {
  // Not to wait for a writer, should it have become a pipe since it was listed.
  unique_fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!file || ::fstat(file.get(), &status) != 0) throw last_error(path);
  if (!S_ISREG(status.st_mode)) throw not_a_photo("not a regular file");
  return file;
}

// Reads until `into` is full or the file ends; returns how much came.
std::size_t fill(int file, std::span<std::byte> into, const std::filesystem::path& path) {
  std::size_t size = 0;
  while (size < into.size()) {
    const ssize_t got = ::read(file, into.data() + size, into.size() - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw last_error(path);
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  return size;
}

bool same(const found_photo& found, const struct stat& status) {
  return found.bytes == static_cast<std::uint64_t>(status.st_size) && found.modified == modified(status);
}

}  // namespace

photo_source::photo_source(std::vector<std::filesystem::path> paths) : roots_(std::move(paths)) {
  for (const auto& path : roots_) {
    struct stat status {};
    if (::stat(path.c_str(), &status) != 0) throw last_error(path);
  }
  std::ranges::reverse(roots_);
}

std::optional<found_photo> photo_source::next() {
  while (true) {
    std::filesystem::path path;
    bool named = false;
    if (!open_.empty()) {
      folder& here = open_.back();
      if (here.names.empty()) {
        open_.pop_back();
        continue;
      }
      path = here.path / here.names.back();
      here.names.pop_back();
    } else {
      if (roots_.empty()) return {};
      path = std::move(roots_.back());
      roots_.pop_back();
      named = true;
    }
    if (auto found = visit(path, named)) return found;
  }
}

std::optional<found_photo> photo_source::visit(const std::filesystem::path& path, bool named) {
  const std::string name = path.filename().string();
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    // A link that leads nowhere, or a file that went while we were on our way: nothing to publish, and no fault of the
    // run.
    const int why = errno;
    struct stat link {};
    const bool is_link = ::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode);
    skip(path, is_link ? "link that leads nowhere" : std::generic_category().message(why),
         named || reason_by_name(name).empty());
    return {};
  }
  if (S_ISDIR(status.st_mode)) {
    if (!named && name.starts_with('.')) {
      skip(path, "hidden folder", false);
    } else if (std::error_code ignored; std::filesystem::exists(path / "gallery.db", ignored)) {
      // What a gallery publishes is made of photos, but it is not photos to publish: least of all the target itself.
      skip(path, "folder is a gallery", true);
    } else if (entered_.emplace(status.st_dev, status.st_ino).second) {
      enter(path);
    } else {
      skip(path, "folder seen already", false);
    }
    return {};
  }
  if (!named) {
    if (const std::string reason = reason_by_name(name); !reason.empty()) {
      skip(path, reason, false);
      return {};
    }
  }
  try {
    return look(path);
  } catch (const not_a_photo& why) {
    // A RAW file is a photo to its owner.
    skip(path, why.what(),
         named || one_of(lower_extension(name), photos) || std::string_view(why.what()).starts_with("camera RAW"));
  } catch (const std::system_error& why) {
    skip(path, "cannot be read: " + why.code().message(), true);
  }
  return {};
}

void photo_source::enter(const std::filesystem::path& path) {
  const std::unique_ptr<DIR, closes_directory> directory(::opendir(path.c_str()));
  if (!directory) {
    skip(path, "folder cannot be read: " + std::generic_category().message(errno), true);
    return;
  }
  folder next{path, {}};
  errno = 0;  // the only way to tell readdir()'s end from its failure
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") next.names.emplace_back(name);
    errno = 0;
  }
  if (errno != 0) skip(path, "folder cannot be read to its end: " + std::generic_category().message(errno), true);
  std::ranges::sort(next.names, std::greater());
  open_.push_back(std::move(next));
}

void photo_source::skip(const std::filesystem::path& path, const std::string& reason, bool list) {
  ++skipped_[reason];
  if (list && listed_.size() < most_listed) listed_.push_back({path, reason});
}

found_photo look(const std::filesystem::path& path) {
  struct stat status {};
  const unique_fd file = open_file(path, status);
  std::vector<std::byte> first(first_bytes_wanted);
  first.resize(fill(file.get(), first, path));
  static_cast<void>(kind_of(first));
  return {path, static_cast<std::uint64_t>(status.st_size), modified(status)};
}

void read_whole(const found_photo& found, std::span<std::byte> room) {
  struct stat status {};
  const unique_fd file = open_file(found.path, status);
  // One byte more than there should be: it does not come unless the file grew.
  const std::size_t size = fill(file.get(), room.first(static_cast<std::size_t>(found.bytes) + 1), found.path);
  // Asked afterwards: what it was before the first byte was read, found knows.
  if (::fstat(file.get(), &status) != 0) throw last_error(found.path);
  if (size != found.bytes || !same(found, status)) throw still_being_written("still being written");
}

std::vector<std::byte> read_whole(const found_photo& found) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(found.bytes) + 1);
  read_whole(found, bytes);
  bytes.pop_back();
  return bytes;
}

std::string sha256(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1) {
    throw std::runtime_error("SHA-256 is not available from this OpenSSL");
  }
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < size; ++i) {
    text += digits[digest[i] >> 4U];
    text += digits[digest[i] & 15U];
  }
  return text;
}

}  // namespace penstock::photos
