#include <algorithm>
#include <cerrno>
#include <system_error>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <penstock/process/descriptors.hpp>
#include <penstock/process/shared_bytes.hpp>

namespace penstock::process {
namespace {

// All pages at once: one by one each would be a fault.
std::byte* map(int fd, std::size_t size, int protection) {
  void* const at = ::mmap(nullptr, size, protection, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (at == MAP_FAILED) throw std::system_error(errno, std::generic_category(), "mapping shared memory");
  return static_cast<std::byte*>(at);
}

}  // namespace

shared_bytes::shared_bytes(std::size_t size) {
  if (size == 0) return;
  // Not a socket to hand the descriptor over: the worker would need a second channel, in step with the first.
  file_ = moved_above(unique_fd(::memfd_create("penstock", MFD_CLOEXEC)));
  if (!file_ || ::ftruncate(file_.get(), static_cast<off_t>(size)) != 0)
    throw std::system_error(errno, std::generic_category(), "shared memory of " + std::to_string(size) + " bytes");
  address_ = map(file_.get(), size, PROT_READ | PROT_WRITE);
  mapped_ = size;
  size_ = size;
  where_ = "/proc/" + std::to_string(::getpid()) + "/fd/" + std::to_string(file_.get());
}

shared_bytes::~shared_bytes() {
  if (address_) ::munmap(address_, mapped_);
}

std::span<const std::byte> shared_bytes::bytes() const {
  if (!address_ && size_) {
    const unique_fd file(::open(where_.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw std::system_error(errno, std::generic_category(), "the shared memory " + where_);
    // Bytes beyond the end of the file could be mapped, and a look at them would be a crash.
    struct stat about {};
    if (::fstat(file.get(), &about) != 0 || size_ > static_cast<std::uint64_t>(std::max<off_t>(0, about.st_size)))
      throw std::system_error(EOVERFLOW, std::generic_category(), "the shared memory " + where_);
    address_ = map(file.get(), size(), PROT_READ);
    mapped_ = size();
  }
  return {address_, size()};
}

}  // namespace penstock::process
