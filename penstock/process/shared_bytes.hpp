// shared_bytes: a block of bytes that goes to a worker process without being copied: the worker looks at the same memory.
//
//   shared_bytes file(size);                          // here: made, filled, part of an item
//   read_into(file.writable());
//   ...
//   raster decode(const picture& p) {                 // there, isolated: what wire_parts() brought leads to it
//     return decode_jpeg(p.file.bytes());
//   }
//   struct picture {
//     shared_bytes file;
//     friend auto wire_parts(picture& p) { return std::tie(p.file); }
//   };
//
// What travels is where the memory is; the worker maps it when it first looks, to read only. Worth it from some hundred
// kilobytes on: below, copying is cheaper than mapping.
//
// LIFE     It is there for a worker as long as the object it was made as lives: the item of a stage does, while a function
//          is called with it. A worker that has looked keeps it until its own object ends.
// TRUST    A worker maps it to read only: a stray write is a crash there, not a change here. Who may look is who may look
//          at this process's descriptors: the same user, so it guards against mistakes and not against malice.
// COST     New memory costs a millisecond for each megabyte: whoever has many blocks to send keeps one and resizes it.
// MEMORY   The size, rounded up to pages; not on any disk (but in swap, as all memory). One descriptor.
// THREADS  As any value, but in a worker the first bytes() counts as a change. Move-only.
// ERRORS   std::system_error, and for a worker that comes too late.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include <penstock/base/unique_fd.hpp>

namespace penstock::process {

class shared_bytes {
 public:
  shared_bytes() noexcept = default;        // none
  explicit shared_bytes(std::size_t size);  // zeros
  shared_bytes(shared_bytes&& other) noexcept { swap(other); }
  shared_bytes& operator=(shared_bytes&& other) noexcept {
    shared_bytes(std::move(other)).swap(*this);
    return *this;
  }
  ~shared_bytes();

  // REQUIRES made here, not come by wire.
  [[nodiscard]] std::span<std::byte> writable() noexcept { return {address_, size()}; }
  [[nodiscard]] std::span<const std::byte> bytes() const;
  [[nodiscard]] std::size_t size() const noexcept { return static_cast<std::size_t>(size_); }
  // So many bytes count from now on; more than before are what they were when they last counted. REQUIRES at most capacity().
  void resize(std::size_t size) noexcept { size_ = size; }
  // The size that it was made with.
  [[nodiscard]] std::size_t capacity() const noexcept { return mapped_; }

  friend auto wire_parts(shared_bytes& b) { return std::tie(b.where_, b.size_); }

 private:
  void swap(shared_bytes& other) noexcept {
    std::swap(file_, other.file_);
    std::swap(where_, other.where_);
    std::swap(size_, other.size_);
    std::swap(address_, other.address_);
    std::swap(mapped_, other.mapped_);
  }

  unique_fd file_;
  std::string where_;  // a path to the descriptor, for other processes
  std::uint64_t size_ = 0;
  mutable std::byte* address_ = nullptr;  // of `mapped_` bytes; in a worker none until it looks
  mutable std::size_t mapped_ = 0;
};

}  // namespace penstock::process
