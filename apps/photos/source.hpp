// photo_source: the photos below some folders, one after the other, in an order that repeats.
//
//   photo_source source({"/media/card/DCIM", "one.jpg"});
//   while (auto found = source.next()) {
//     auto bytes = read_whole(*found);                 // throws still_being_written: look(path) again later
//     auto id = sha256(bytes);
//   }
//   report(source.skipped(), source.listed());         // not photos
//   report(source.unreadable());                       // may be photos
//
// Content decides, never the name alone: text renamed .jpg is no photo, and a photo without an extension is one. By name
// are left out only other programs' files and folders (left_out.hpp) and what is not finished. A path that is given to
// the constructor is looked at whatever its name.
//
// UNREADABLE  A file or folder that could not be read to its end, for whatever reason: no permission, a fault of the
//          card, a file or a whole share that has disappeared since its folder was listed, a link that leads nowhere or
//          to itself. It is never counted as skipped: a photo may be behind it, and its owner may be about to delete
//          the card.
// EMPTY    A file that is named like a photo and holds nothing (no bytes, only zeros, nothing that is known) is found
//          like any photo, with the reason in found_photo::damage: it is a photo that failed, not some other file.
// ORDER    Folder by folder, names in byte order, a folder's contents where its own name stands.
// ENDING   next() returns none once everything was seen, from then on for good. A folder that cannot be read is
//          reported and left out. Each folder is entered once, by whatever links it is reached: loops end.
// THREADS  One object is for one thread; the free functions are for any.
// MEMORY   The names in the folders between the root and the present file, and two numbers per folder.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "apps/photos/image_kind.hpp"

struct stat;

namespace penstock::photos {

struct found_photo {
  std::filesystem::path path;
  std::uint64_t bytes = 0;
  std::chrono::nanoseconds modified{};  // since 1970; only to be compared
  std::string damage = {};              // why it cannot be published, if its first bytes say so already
};

struct skipped_file {
  std::filesystem::path path;
  std::string reason;  // "not an image: starts like text"
};

class photo_source {
 public:
  // Folders and files. One that is named here is looked at whatever its name. Throws std::system_error if one does not
  // exist.
  explicit photo_source(std::vector<std::filesystem::path> paths);

  [[nodiscard]] std::optional<found_photo> next();

  // How many were left out, by reason.
  [[nodiscard]] const std::map<std::string, std::uint64_t>& skipped() const noexcept { return skipped_; }
  // Those that an owner will ask about: named like a photo, or asked for by name. The first thousand.
  [[nodiscard]] const std::vector<skipped_file>& listed() const noexcept { return listed_; }
  // Files and folders that could not be read. The first thousand; unreadable_count() counts all.
  [[nodiscard]] const std::vector<skipped_file>& unreadable() const noexcept { return unreadable_; }
  [[nodiscard]] std::uint64_t unreadable_count() const noexcept { return unreadable_count_; }

 private:
  struct entry {
    std::string name;
    unsigned char type;  // readdir()'s d_type
  };
  struct folder {
    std::filesystem::path path;
    std::vector<entry> entries;  // in reverse: the next one is at the back
  };

  void enter(const std::filesystem::path& path, bool named);
  std::optional<found_photo> visit(const std::filesystem::path& path, bool named, unsigned char type);
  std::optional<found_photo> visit_file(const std::filesystem::path& path, bool named);
  void visit_folder(const std::filesystem::path& path, bool named, const struct stat& status);
  bool is_gallery(const std::filesystem::path& path);
  void skip(const std::filesystem::path& path, const std::string& reason, bool list);
  void cannot_read(const std::filesystem::path& path, const std::string& reason);

  std::vector<std::filesystem::path> roots_;                   // in reverse
  std::vector<folder> open_;                                   // from a root down to where we are
  std::set<std::pair<std::uint64_t, std::uint64_t>> entered_;  // device and number of every folder so far
  std::map<std::string, std::uint64_t> skipped_;
  std::vector<skipped_file> listed_;
  std::vector<skipped_file> unreadable_;
  std::uint64_t unreadable_count_ = 0;
};

// The file changed between two looks, or while it was read. Worth another look() a little later.
class still_being_written : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Returns what the file is now. Throws not_a_photo (by content), std::system_error (cannot be opened or read).
// Not thrown but found_photo::damage: bad_photo, and no_content if the file is named like a photo.
[[nodiscard]] found_photo look(const std::filesystem::path& file);

// Returns the file's contents, exactly found.bytes of them. Throws still_being_written if the file is not what was
// found, or changes meanwhile, and std::system_error if it cannot be read.
[[nodiscard]] std::vector<std::byte> read_whole(const found_photo& found);
// The same into the first found.bytes of `room`. REQUIRES one byte more than that.
void read_whole(const found_photo& found, std::span<std::byte> room);

// 64 lower-case hexadecimal digits.
[[nodiscard]] std::string sha256(std::span<const std::byte> bytes);

}  // namespace penstock::photos
