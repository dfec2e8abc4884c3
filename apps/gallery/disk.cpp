#include "apps/gallery/disk.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace penstock::gallery {
namespace {

std::string_view advice(int reason) noexcept {
  switch (reason) {
    case ENOSPC:
    case EDQUOT:
      return "; free some space there, then publish again";
    case EACCES:
    case EPERM:
      return "; give this user the right to write there, or choose another directory";
    case EROFS:
      return "; the file system is mounted read-only";
    case EMFILE:
    case ENFILE:
      return "; raise the limit of open files (ulimit -n)";
    case EIO:
      return "; the disk reports a fault: check it before anything else";
    default:
      return "";
  }
}

void sync(int descriptor, const std::filesystem::path& path) {
  // Not retried on EINTR or EIO: after a failed fsync the kernel may have dropped the pages, and a second call that
  // succeeds would prove nothing.
  if (::fsync(descriptor) != 0) throw storage_error(errno, "cannot sync", path);
}

int lock(int descriptor, int how) {
  int result;
  do result = ::flock(descriptor, how);
  while (result != 0 && errno == EINTR);
  return result;
}

}  // namespace

storage_error::storage_error(int reason, std::string_view doing, const std::filesystem::path& path)
    : std::runtime_error(std::string(doing) + ' ' + path.string() + ": " + std::generic_category().message(reason) +
                         std::string(advice(reason))),
      reason_(reason) {}

bool storage_error::is_full() const noexcept { return reason_ == ENOSPC || reason_ == EDQUOT; }

bool storage_error::is_temporary() const noexcept { return reason_ == EMFILE || reason_ == ENFILE || reason_ == EBUSY; }

void write_durably(const std::filesystem::path& file, std::span<const std::byte> bytes) {
  const unique_fd out(::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666));
  if (!out) throw storage_error(errno, "cannot create", file);
  while (!bytes.empty()) {
    const ssize_t written = ::write(out.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) throw storage_error(errno, "cannot write", file);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
  sync(out.get(), file);
}

void sync_directory(const std::filesystem::path& directory) { sync(open_directory(directory).get(), directory); }

bool make_directory(const std::filesystem::path& directory) {
  if (::mkdir(directory.c_str(), 0777) == 0) return true;
  if (errno != EEXIST) throw storage_error(errno, "cannot make the directory", directory);
  return false;
}

void move_to(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) throw storage_error(errno, "cannot rename " + from.string() + " to", to);
}

bool is_there(const std::filesystem::path& path) {
  struct stat found = {};
  if (::lstat(path.c_str(), &found) == 0) return true;
  if (errno == ENOENT) return false;
  throw storage_error(errno, "cannot look at", path);
}

unique_fd open_directory(const std::filesystem::path& directory) {
  unique_fd descriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor) throw storage_error(errno, "cannot open the directory", directory);
  return descriptor;
}

unique_fd open_whole_file(const std::filesystem::path& file, std::uint64_t bytes) {
  // O_NONBLOCK: opening a FIFO without a writer would wait; it means nothing for a regular file.
  unique_fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
  if (!opened && (errno == EMFILE || errno == ENFILE)) throw storage_error(errno, "cannot open", file);
  struct stat status = {};
  if (!opened || ::fstat(opened.get(), &status) != 0 || !S_ISREG(status.st_mode) ||
      static_cast<std::uint64_t>(status.st_size) != bytes)
    opened.reset();
  return opened;
}

std::string read_at(int descriptor, std::uint64_t offset, std::size_t most) {
  std::string bytes(most, '\0');
  std::size_t done = 0;
  while (done < most) {
    const ssize_t got = ::pread(descriptor, bytes.data() + done, most - done, static_cast<off_t>(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw storage_error(errno, "cannot read a file of the gallery: " + std::generic_category().message(errno));
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

directory_lock::directory_lock(const std::filesystem::path& directory) : descriptor_(open_directory(directory)) {
  if (lock(descriptor_.get(), LOCK_EX) != 0) throw storage_error(errno, "cannot lock", directory);
}

directory_lock::~directory_lock() {
  // Explicitly, not by close(): a child process being started at this moment holds a copy of the descriptor until it
  // execs, and the lock would live on in it.
  if (descriptor_) lock(descriptor_.get(), LOCK_UN);
}

bool directory_lock::is_at(const std::filesystem::path& directory) const noexcept {
  struct stat ours = {}, found = {};
  return ::fstat(descriptor_.get(), &ours) == 0 && ::stat(directory.c_str(), &found) == 0 &&
         ours.st_dev == found.st_dev && ours.st_ino == found.st_ino;
}

bool directory_lock::is_held(const std::filesystem::path& directory) {
  const unique_fd descriptor(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!descriptor && errno == ENOENT) return true;
  if (!descriptor) throw storage_error(errno, "cannot open the directory", directory);
  if (lock(descriptor.get(), LOCK_EX | LOCK_NB) == 0) {
    lock(descriptor.get(), LOCK_UN);
    return false;
  }
  if (errno == EWOULDBLOCK) return true;
  throw storage_error(errno, "cannot lock", directory);
}

}  // namespace penstock::gallery
