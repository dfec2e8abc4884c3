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

#include "apps/photos/image.hpp"
#include "apps/photos/image_tiff.hpp"
#include "apps/photos/left_out.hpp"

namespace penstock::photos {
namespace {

constexpr std::size_t most_listed = 1000;

struct closes_directory {
  void operator()(DIR* directory) const noexcept { ::closedir(directory); }
};

std::system_error last_error(const std::filesystem::path& path) {
  return {errno, std::generic_category(), path.string()};
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

// The header of a SQLite file with the gallery's application_id.
bool begins_as_gallery_database(const std::filesystem::path& path) {
  constexpr std::string_view sqlite("SQLite format 3\0", 16);
  constexpr std::string_view ours = "pens";  // gallery/store.hpp, SCHEMA
  constexpr std::size_t id_offset = 68;
  struct stat status {};
  const unique_fd file = open_file(path, status);
  std::array<std::byte, 100> head{};
  if (fill(file.get(), head, path) < head.size()) return false;
  const std::string_view text(reinterpret_cast<const char*>(head.data()), head.size());
  return text.starts_with(sqlite) && text.substr(id_offset).starts_with(ours);
}

bool same(const found_photo& found, const struct stat& status) {
  return found.bytes == static_cast<std::uint64_t>(status.st_size) && found.modified == modified(status);
}

}  // namespace

photo_source::photo_source(std::vector<std::filesystem::path> paths) : roots_(std::move(paths)) {
  for (const auto& path : roots_) {
    struct stat status {};
    // A path that is there and cannot be read is reported by next(), so that the others are published.
    if (::stat(path.c_str(), &status) != 0 && (errno == ENOENT || errno == ENOTDIR)) throw last_error(path);
  }
  std::ranges::reverse(roots_);
}

std::optional<found_photo> photo_source::next() {
  while (true) {
    std::filesystem::path path;
    unsigned char type = DT_UNKNOWN;
    bool named = false;
    if (!open_.empty()) {
      folder& here = open_.back();
      if (here.entries.empty()) {
        open_.pop_back();
        continue;
      }
      path = here.path / here.entries.back().name;
      type = here.entries.back().type;
      here.entries.pop_back();
    } else {
      if (roots_.empty()) return {};
      path = std::move(roots_.back());
      roots_.pop_back();
      named = true;
    }
    if (auto found = visit(path, named, type)) return found;
  }
}

std::optional<found_photo> photo_source::visit(const std::filesystem::path& path, bool named, unsigned char type) {
  struct stat status {};
  const int failure = ::stat(path.c_str(), &status) == 0 ? 0 : errno;
  const bool is_folder = failure == 0 ? S_ISDIR(status.st_mode) : type == DT_DIR || type == DT_UNKNOWN;
  if (!named) {
    const std::string name = path.filename().string();
    if (const auto why = is_folder ? reason_to_leave_out_folder(name) : reason_to_leave_out_file(name)) {
      skip(path, why->reason, why->list);
      return {};
    }
  }
  if (failure != 0) {
    std::error_code ignored;
    const bool is_link = std::filesystem::is_symlink(std::filesystem::symlink_status(path, ignored));
    cannot_read(path, is_link && failure == ENOENT ? "link that leads nowhere"
                      : failure == ELOOP           ? "link that leads to itself"
                                                   : std::generic_category().message(failure));
    return {};
  }
  if (!is_folder) return visit_file(path, named);
  visit_folder(path, named, status);
  return {};
}

std::optional<found_photo> photo_source::visit_file(const std::filesystem::path& path, bool named) {
  try {
    return look(path);
  } catch (const not_a_photo& why) {
    // A RAW file is a photo to its owner.
    skip(path, why.what(), named || is_named_like_a_photo(path.filename().string()) || why.what() == raw_reason);
  } catch (const std::system_error& why) {
    cannot_read(path, why.code().message());
  }
  return {};
}

void photo_source::visit_folder(const std::filesystem::path& path, bool named, const struct stat& status) {
  // A gallery's renditions are not photos to publish, least of all those of the target itself.
  if (is_gallery(path))
    skip(path, "folder is a gallery", true);
  else if (entered_.emplace(status.st_dev, status.st_ino).second)
    enter(path, named);
  else
    skip(path, "folder seen already", false);
}

// By its database, not by the name of a file: any program may have written a gallery.db. Where the file is there and
// cannot be read, its neighbours decide, and it is reported.
bool photo_source::is_gallery(const std::filesystem::path& path) {
  const std::filesystem::path file = path / "gallery.db";
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return false;
  try {
    return begins_as_gallery_database(file);
  } catch (const std::system_error& why) {
    cannot_read(file, why.code().message());
    std::error_code ignored;
    return std::filesystem::is_directory(path / "photos", ignored) &&
           std::filesystem::is_directory(path / "tmp", ignored);
  }
}

void photo_source::enter(const std::filesystem::path& path, bool named) {
  const std::unique_ptr<DIR, closes_directory> directory(::opendir(path.c_str()));
  if (!directory) {
    cannot_read(path, "folder cannot be read: " + std::generic_category().message(errno));
    return;
  }
  folder next{path, {}};
  bool no_media = false;
  errno = 0;  // the only way to tell readdir()'s end from its failure
  while (const dirent* found = ::readdir(directory.get())) {
    const std::string_view name = found->d_name;
    if (name == ".nomedia") no_media = true;
    if (name != "." && name != "..") next.entries.push_back({std::string(name), found->d_type});
    errno = 0;
  }
  if (errno != 0) cannot_read(path, "folder cannot be read to its end: " + std::generic_category().message(errno));
  // Android's mark for pictures that no gallery shows.
  if (no_media && !named) {
    skip(path, "folder with .nomedia", true);
    return;
  }
  std::ranges::sort(next.entries, std::greater(), &entry::name);
  open_.push_back(std::move(next));
}

void photo_source::skip(const std::filesystem::path& path, const std::string& reason, bool list) {
  ++skipped_[reason];
  if (list && listed_.size() < most_listed) listed_.push_back({path, reason});
}

void photo_source::cannot_read(const std::filesystem::path& path, const std::string& reason) {
  ++unreadable_count_;
  if (unreadable_.size() < most_listed) unreadable_.push_back({path, reason});
}

found_photo look(const std::filesystem::path& path) {
  struct stat status {};
  const unique_fd file = open_file(path, status);
  found_photo found{path, static_cast<std::uint64_t>(status.st_size), modified(status)};
  std::vector<std::byte> first(first_bytes_wanted);
  first.resize(fill(file.get(), first, path));
  try {
    if (kind_of(first) == photo_kind::tiff) static_cast<void>(choose_tiff_picture(reader_of(file.get())));
  } catch (const no_content& why) {
    if (!is_named_like_a_photo(path.filename().string())) throw;
    found.damage = std::string("damaged: ") + why.what();
  } catch (const bad_photo& why) {
    found.damage = why.what();
  }
  return found;
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
