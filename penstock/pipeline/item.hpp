// How a pipeline sees an item: two questions that a type can answer, and the envelope in which it travels.
//
//   struct photo {
//     std::string name;
//     std::vector<std::byte> bytes;
//     friend std::string item_label(const photo& p) { return p.name; }           // names it in errors and reports
//     friend std::size_t item_bytes(const photo& p) { return p.bytes.size(); }   // for stage_options::capacity_bytes
//   };
//
// Both are optional and found by argument-dependent lookup; strings, paths and numbers, and contiguous ranges for
// item_bytes, have an answer already.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace penstock {

template <class T>
concept has_own_label = requires(const T& item) {
  { item_label(item) } -> std::convertible_to<std::string>;
};
template <class T>
concept has_label = has_own_label<T> || std::convertible_to<const T&, std::string_view> ||
                    std::same_as<T, std::filesystem::path> || (std::is_arithmetic_v<T> && !std::same_as<T, bool>);

// The text that names `item`; empty when its type has none.
template <class T>
std::string label_of(const T& item) {
  if constexpr (has_own_label<T>)
    return item_label(item);
  else if constexpr (std::convertible_to<const T&, std::string_view>)
    return std::string(std::string_view(item));
  else if constexpr (std::same_as<T, std::filesystem::path>)
    return item.string();
  else if constexpr (has_label<T>)
    return std::to_string(item);
  else
    return {};
}

template <class T>
concept has_own_bytes = requires(const T& item) {
  { item_bytes(item) } -> std::convertible_to<std::size_t>;
};
template <class T>
concept has_bytes = has_own_bytes<T> || (std::ranges::contiguous_range<const T> && std::ranges::sized_range<const T>);

// The size of `item` in bytes, payload on the heap included. REQUIRES has_bytes<T>.
template <class T>
  requires has_bytes<T>
std::size_t bytes_of(const T& item) {
  if constexpr (has_own_bytes<T>)
    return item_bytes(item);
  else
    return std::ranges::size(item) * sizeof(std::ranges::range_value_t<const T>);
}

// box<T>: a T that moves without throwing: itself if it can, on the heap if not. It makes every step of an item between
// two stages free of exceptions; what may throw is its way into the box, once, where the stage that made it can answer
// for it.
template <class T, bool = std::is_nothrow_move_constructible_v<T>>
class box {
 public:
  explicit box(T&& value) noexcept : value_(std::move(value)) {}
  T& operator*() noexcept { return value_; }

 private:
  T value_;
};
template <class T>
class box<T, false> {
 public:
  explicit box(T&& value) : value_(std::make_unique<T>(std::move(value))) {}
  T& operator*() noexcept { return *value_; }

 private:
  std::unique_ptr<T> value_;
};

template <class T>
struct envelope {
  box<T> item;
  std::uint64_t number = 0;     // of the item at the source, from 1; what a stage expands it into keeps it
  std::int64_t entered_ns = 0;  // steady clock, when it left the source; 0: this one is not timed
  std::size_t bytes = 0;        // as the next stage's queue counts it
};

// An item that could not go its way, with its type erased so that those of all stages fit into one list.
//
//   for (auto& left : report.unfinished) if (auto* p = left.get<photo>()) retry_later(std::move(*p));
class erased_item {
 public:
  erased_item() = default;
  template <class T>
  explicit erased_item(box<T>&& item) : holder_(std::make_unique<holding<T>>(std::move(item))) {}

  // The item if it is a T, else null.
  template <class T>
  [[nodiscard]] T* get() noexcept {
    auto* held = dynamic_cast<holding<T>*>(holder_.get());
    return held ? &*held->item : nullptr;
  }
  [[nodiscard]] bool has_value() const noexcept { return holder_ != nullptr; }

 private:
  struct base {
    virtual ~base() = default;
  };
  template <class T>
  struct holding : base {
    explicit holding(box<T>&& i) : item(std::move(i)) {}
    box<T> item;
  };
  std::unique_ptr<base> holder_;
};

}  // namespace penstock
