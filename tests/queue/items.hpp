// What the tests put into queues: types that differ in what a queue may do with them, each of which carries a number
// and can tell whether it arrived whole.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>

namespace penstock::testing {

using number = std::uint64_t;
using boxed = std::unique_ptr<number>;  // movable only
using text = std::string;               // short ones inside, long ones on the heap

struct large {
  std::array<number, 512> all;  // one page: copying it takes time in which another thread may look
};
struct alignas(128) aligned {
  number value;
};

// Moves that take their time, so that other threads meet a queue whose places are being filled and vacated: otherwise a
// matter of nanoseconds, in which no test ever looks.
struct dawdling {
  static void dawdle() noexcept {
    static thread_local std::uint32_t state = 1;
    state = state * 1664525u + 1013904223u;
    const std::uint32_t choice = state >> 24;
    if (choice < 64) {
      std::this_thread::yield();
    } else if (choice < 128) {
      for (std::atomic<std::uint32_t> spin = choice; spin > 0; --spin) {
      }
    }
  }
  explicit dawdling(number n) : value(n) {}
  dawdling(dawdling&& other) noexcept : value(~number{0}) {
    const number n = std::exchange(other.value, ~number{0});
    dawdle();
    value = n;
  }
  dawdling& operator=(dawdling&&) = default;
  number value;
};

// Copies and moves fail when the test says so; the fuses belong to one thread, like the tests that light them.
struct fuse {
  int steps = -1;  // how many more succeed; -1: all
  void burn() {
    if (steps >= 0 && steps-- == 0) throw std::runtime_error("burnt");
  }
};
struct copies_throw {
  static inline thread_local fuse copying;
  explicit copies_throw(number n) : value(n) {}
  copies_throw(const copies_throw& other) : value(other.value) { copying.burn(); }
  copies_throw(copies_throw&& other) noexcept : value(std::exchange(other.value, ~number{0})) {}
  copies_throw& operator=(copies_throw&&) = default;
  number value;
};
struct moves_throw {
  static inline thread_local fuse moving;
  explicit moves_throw(number n) : value(n) {}
  moves_throw(const moves_throw& other) : value(other.value) {}
  moves_throw(moves_throw&& other) : value(other.value) {
    moving.burn();
    other.value = ~number{0};
  }
  moves_throw& operator=(moves_throw&&) = default;
  number value;
};

template <class T>
T make_item(number n) {
  return T(n);
}
template <>
inline boxed make_item<boxed>(number n) {
  return std::make_unique<number>(n);
}
template <>
inline text make_item<text>(number n) {
  return std::string(n % 3 == 0 ? 40 : 0, '0') + std::to_string(n);
}
template <>
inline large make_item<large>(number n) {
  large item;
  item.all.fill(n);
  return item;
}
template <>
inline aligned make_item<aligned>(number n) {
  return aligned{n};
}

inline constexpr number broken = ~number{0};  // of an item that is not what was made, or that was moved from

inline number number_of(number item) { return item; }
inline number number_of(const boxed& item) { return item ? *item : broken; }
inline number number_of(const text& item) { return item.empty() ? broken : std::stoull(item); }
inline number number_of(const large& item) {
  for (const number n : item.all)
    if (n != item.all[0]) return broken;
  return item.all[0];
}
inline number number_of(const aligned& item) {
  return reinterpret_cast<std::uintptr_t>(&item) % alignof(aligned) == 0 ? item.value : broken;
}
inline number number_of(const dawdling& item) { return item.value; }
inline number number_of(const copies_throw& item) { return item.value; }
inline number number_of(const moves_throw& item) { return item.value; }

}  // namespace penstock::testing
