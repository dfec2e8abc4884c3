// ring<T>: a first-in-first-out container of fixed capacity: what a bounded_queue holds inside, and what its cancel()
// hands back.
//
//   auto left = queue.cancel();
//   for (photo& p : left) requeue(std::move(p));        // oldest first
//
// THREADS  None of its own: one thread at a time.
// MEMORY   One allocation, in the constructor; moving a ring moves no element.
#pragma once

#include <cassert>
#include <cstddef>
#include <iterator>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>

namespace penstock {

template <class T>
class ring {
 public:
  class iterator {
   public:
    using value_type = T;
    using difference_type = std::ptrdiff_t;
    using iterator_category = std::forward_iterator_tag;
    using reference = T&;
    using pointer = T*;
    iterator() = default;
    reference operator*() const noexcept { return *ring_->at(offset_); }
    pointer operator->() const noexcept { return ring_->at(offset_); }
    iterator& operator++() noexcept { return ++offset_, *this; }
    iterator operator++(int) noexcept { return iterator(ring_, offset_++); }
    bool operator==(const iterator&) const = default;

   private:
    friend class ring;
    iterator(ring* r, std::size_t offset) noexcept : ring_(r), offset_(offset) {}
    ring* ring_ = nullptr;
    std::size_t offset_ = 0;
  };

  ring() noexcept = default;  // capacity 0
  // Uninitialised room for one item.
  struct slot {
    alignas(T) std::byte bytes[sizeof(T)];
  };
  // Takes over slots in which the `size` items from index `head` on, modulo `capacity`, are alive.
  ring(std::unique_ptr<slot[]> slots, std::size_t capacity, std::size_t head, std::size_t size) noexcept
      : slots_(std::move(slots)), capacity_(capacity), head_(head), size_(size) {}
  explicit ring(std::size_t capacity) : slots_(std::make_unique_for_overwrite<slot[]>(capacity)), capacity_(capacity) {}
  ring(ring&& other) noexcept { swap(other); }
  ring& operator=(ring&& other) noexcept {
    ring(std::move(other)).swap(*this);
    return *this;
  }
  ~ring() {
    while (!empty()) pop_front();
  }

  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::size_t capacity() const noexcept { return capacity_; }
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] bool full() const noexcept { return size_ == capacity_; }

  // REQUIRES: !full(). If T's constructor throws, nothing has changed.
  template <class... Args>
  void emplace_back(Args&&... args) {
    assert(!full());
    ::new (static_cast<void*>(at(size_))) T(std::forward<Args>(args)...);
    ++size_;
  }
  // REQUIRES: !empty().
  [[nodiscard]] T& front() noexcept { return assert(!empty()), *at(0); }
  void pop_front() noexcept {
    assert(!empty());
    std::destroy_at(at(0));
    head_ = head_ + 1 == capacity_ ? 0 : head_ + 1;
    --size_;
  }

  [[nodiscard]] iterator begin() noexcept { return iterator(this, 0); }
  [[nodiscard]] iterator end() noexcept { return iterator(this, size_); }

  void swap(ring& other) noexcept {
    std::swap(slots_, other.slots_);
    std::swap(capacity_, other.capacity_);
    std::swap(head_, other.head_);
    std::swap(size_, other.size_);
  }

 private:
  // A subtraction, not %: division is the dearest thing such a ring could do, and capacities need not be powers of two.
  T* at(std::size_t offset) noexcept {
    const std::size_t to_end = capacity_ - head_;
    return std::launder(reinterpret_cast<T*>(slots_[offset < to_end ? head_ + offset : offset - to_end].bytes));
  }

  std::unique_ptr<slot[]> slots_;
  std::size_t capacity_ = 0;
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace penstock
