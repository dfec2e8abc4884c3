// scratch: raw memory of one thread for one batch of items of whatever type, used again for the next: it stays in the
// cache of the processor that the thread runs on.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <new>

namespace penstock {

class scratch {
 public:
  // Room for `count` objects, none of them made yet. What was there before must have been destroyed.
  template <class T>
  T* room_for(std::size_t count) {
    const std::size_t bytes = count * sizeof(T);
    if (bytes > size_ || alignof(T) > alignment_) {
      const std::size_t alignment = std::max<std::size_t>(64, alignof(T));
      const std::size_t size = std::max<std::size_t>(bytes, 4096);
      memory_ = {static_cast<std::byte*>(::operator new(size, std::align_val_t(alignment))), {alignment}};
      size_ = size;
      alignment_ = alignment;
    }
    return reinterpret_cast<T*>(memory_.get());
  }

 private:
  struct free_it {
    std::size_t alignment;
    void operator()(std::byte* memory) const noexcept { ::operator delete(memory, std::align_val_t(alignment)); }
  };
  std::unique_ptr<std::byte, free_it> memory_;
  std::size_t size_ = 0;
  std::size_t alignment_ = 0;
};

}  // namespace penstock
