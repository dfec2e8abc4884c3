// disk: writing so that it is still there after a power cut, and locks that end with their process.
//
// All functions throw storage_error, which says the path, the reason and what to do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include <penstock/base/unique_fd.hpp>

namespace penstock::gallery {

// The place where photos are kept failed, not the photo: another try may help once the cause is gone.
class storage_error : public std::runtime_error {
 public:
  // `reason`: an errno value.
  storage_error(int reason, std::string_view doing, const std::filesystem::path& path);
  storage_error(int reason, const std::string& message) : std::runtime_error(message), reason_(reason) {}

  [[nodiscard]] int reason() const noexcept { return reason_; }
  [[nodiscard]] bool is_full() const noexcept;       // no space, or a quota reached
  [[nodiscard]] bool is_temporary() const noexcept;  // no descriptors left, or another program holds a lock

 private:
  int reason_;
};

// Creates the file (it must not be there), writes all bytes and syncs it.
void write_durably(const std::filesystem::path& file, std::span<const std::byte> bytes);

// Makes the names in a directory durable.
void sync_directory(const std::filesystem::path& directory);

// True iff it was created, false iff it was there.
bool make_directory(const std::filesystem::path& directory);

void move_to(const std::filesystem::path& from, const std::filesystem::path& to);

[[nodiscard]] bool is_there(const std::filesystem::path& path);

[[nodiscard]] unique_fd open_directory(const std::filesystem::path& directory);

// Opens a file for reading if it is a regular file of `bytes` bytes; otherwise the descriptor is not open. Never waits
// for the other end of a FIFO, and follows no symbolic link. Throws when there are no descriptors left.
[[nodiscard]] unique_fd open_whole_file(const std::filesystem::path& file, std::uint64_t bytes);

// The bytes from `offset` on, `most` of them or as many as there are.
[[nodiscard]] std::string read_at(int descriptor, std::uint64_t offset, std::size_t most);

// An exclusive flock on a directory, for as long as the object lives. It belongs to the open descriptor: two objects
// exclude each other, in one process as in two, and the kernel takes it back when a process dies.
class directory_lock {
 public:
  // Waits until every other holder is gone.
  explicit directory_lock(const std::filesystem::path& directory);
  ~directory_lock();
  directory_lock(directory_lock&&) noexcept = default;
  directory_lock& operator=(directory_lock&&) = delete;

  // True iff the locked directory is still the one at this path.
  [[nodiscard]] bool is_at(const std::filesystem::path& directory) const noexcept;

  // Does not wait. A directory that has gone counts as held: whoever held it is done with it.
  static bool is_held(const std::filesystem::path& directory);

 private:
  unique_fd descriptor_;
};

}  // namespace penstock::gallery
