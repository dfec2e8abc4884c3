// The items that travel: made from a number and read back as it, so that what arrives can be summed up. Each type has
// one value that is no item: the end, for queues that have none of their own.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <string>

namespace bench {

inline constexpr std::uint64_t no_number = std::numeric_limits<std::uint64_t>::max();

template <std::size_t Bytes>
struct large {
  std::array<std::uint64_t, Bytes / sizeof(std::uint64_t)> words;
};

// How an item of type T is made from a number and read back; number() of the end is no_number.
template <class T>
struct item_traits;

template <>
struct item_traits<std::uint64_t> {
  static std::uint64_t make(std::uint64_t n) { return n; }
  static std::uint64_t number(const std::uint64_t& item) { return item; }
};
template <std::size_t Bytes>
struct item_traits<large<Bytes>> {
  static large<Bytes> make(std::uint64_t n) {
    large<Bytes> item;
    item.words.fill(n);
    return item;
  }
  // The last word, so that the whole has to be there.
  static std::uint64_t number(const large<Bytes>& item) { return item.words.back(); }
};
template <>
struct item_traits<std::unique_ptr<std::uint64_t>> {
  static std::unique_ptr<std::uint64_t> make(std::uint64_t n) {
    return n == no_number ? nullptr : std::make_unique<std::uint64_t>(n);
  }
  static std::uint64_t number(const std::unique_ptr<std::uint64_t>& item) { return item ? *item : no_number; }
};
// Forty characters: too long for the string to hold without an allocation.
template <>
struct item_traits<std::string> {
  static std::string make(std::uint64_t n) {
    if (n == no_number) return {};
    std::string item(40, ' ');
    std::memcpy(item.data(), &n, sizeof n);
    return item;
  }
  static std::uint64_t number(const std::string& item) {
    if (item.empty()) return no_number;
    std::uint64_t n = 0;
    std::memcpy(&n, item.data(), sizeof n);
    return n;
  }
};

template <class T>
T make_item(std::uint64_t n) {
  return item_traits<T>::make(n);
}
template <class T>
std::uint64_t number_of(const T& item) {
  return item_traits<T>::number(item);
}
template <class T>
T end_item() {
  return make_item<T>(no_number);
}
template <class T>
bool is_end(const T& item) {
  return number_of(item) == no_number;
}

}  // namespace bench
