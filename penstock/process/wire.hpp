// wire: values as bytes, for the way to another process of the same program, and back.
//
//   struct photo {
//     std::string name;
//     std::vector<std::byte> pixels;
//     friend auto wire_parts(photo& p) { return std::tie(p.name, p.pixels); }     // for both directions
//   };
//   std::string bytes = to_wire(p);
//   photo same = from_wire<photo>(bytes);
//
// Strings, paths, vectors, sets, maps, optionals, pairs, tuples, what is trivially copyable, and types with wire_parts().
// Not for a disk or another machine: numbers are as this processor has them, and there is no version.
// ERRORS   from_wire: wire_error for bytes that are no T: too few, too many, a count of elements for which there
//          cannot be enough bytes, a truth value that is neither. So wrong bytes cost no more memory than right ones
//          of that length. Both directions: wire_error for types that contain themselves, nested deeper than
//          wire::max_depth.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace penstock::process {

class wire_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

namespace wire {

template <class T>
concept has_parts = requires(T& value) { wire_parts(value); };

template <class T>
constexpr bool is_vector = false;
template <class T, class A>
constexpr bool is_vector<std::vector<T, A>> = true;
// std::set and std::map.
template <class T>
constexpr bool is_set = false;
template <class K, class C, class A>
constexpr bool is_set<std::set<K, C, A>> = true;
template <class T>
constexpr bool is_map = false;
template <class K, class V, class C, class A>
constexpr bool is_map<std::map<K, V, C, A>> = true;
template <class T>
constexpr bool is_optional = false;
template <class T>
constexpr bool is_optional<std::optional<T>> = true;
template <class T>
constexpr bool is_tuple = false;
template <class... T>
constexpr bool is_tuple<std::tuple<T...>> = true;
template <class A, class B>
constexpr bool is_tuple<std::pair<A, B>> = true;

// Bytes that mean the same in another process: no pointers, as far as the type tells.
template <class T>
constexpr bool is_plain = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T> && !std::is_member_pointer_v<T> &&
                          !std::is_convertible_v<T, std::string_view> && !is_optional<T> && !is_tuple<T>;

template <class T>
constexpr bool can_travel() {
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::filesystem::path>)
    return true;
  else if constexpr (is_vector<T> || is_optional<T> || is_set<T>)
    return can_travel<typename T::value_type>();
  else if constexpr (is_map<T>)
    return can_travel<typename T::key_type>() && can_travel<typename T::mapped_type>();
  else if constexpr (is_tuple<T>)
    return []<class... Part>(std::type_identity<std::tuple<Part...>>) {
      return (can_travel<std::remove_cvref_t<Part>>() && ...);
    }(std::type_identity<decltype(std::tuple_cat(std::declval<T>()))>{});
  else
    return has_parts<T> || is_plain<T>;
}

// The fewest bytes that a T can be. Elements of containers have at least one, so that the bytes that are left limit how
// many there can be.
template <class T>
constexpr std::size_t least_bytes() {
  if constexpr (std::is_same_v<T, std::string> || std::is_same_v<T, std::filesystem::path> || is_vector<T> ||
                is_set<T> || is_map<T>)
    return sizeof(std::uint64_t);
  else if constexpr (is_optional<T>)
    return 1;
  else if constexpr (is_tuple<T>)
    return []<class... Part>(std::type_identity<std::tuple<Part...>>) {
      return (std::size_t{0} + ... + least_bytes<std::remove_cvref_t<Part>>());
    }(std::type_identity<decltype(std::tuple_cat(std::declval<T>()))>{});
  else if constexpr (has_parts<T>)
    return least_bytes<std::remove_cvref_t<decltype(wire_parts(std::declval<T&>()))>>();
  else
    return sizeof(T);
}

// Of values with wire_parts() inside such values. Each level is a few calls, so a limit keeps the stack from its end.
inline constexpr std::size_t max_depth = 500;
class deeper {
 public:
  explicit deeper(std::size_t& depth) : depth_(depth) {
    if (depth_ == max_depth) throw wire_error("penstock: a value is nested too deep for a message");
    ++depth_;
  }
  ~deeper() { --depth_; }
  deeper(const deeper&) = delete;
  deeper& operator=(const deeper&) = delete;

 private:
  std::size_t& depth_;
};

class writer {
 public:
  explicit writer(std::string& out) noexcept : out_(out) {}
  template <class T>
  void put(const T& value) {
    static_assert(can_travel<T>(), "penstock: this type cannot go to another process: give it a function wire_parts()");
    if constexpr (std::is_same_v<T, std::string>) {
      put(static_cast<std::uint64_t>(value.size()));
      out_ += value;
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      put(value.native());
    } else if constexpr (is_vector<T>) {
      using element = typename T::value_type;
      put(static_cast<std::uint64_t>(value.size()));
      if constexpr (is_plain<element> && !std::is_same_v<element, bool> && !has_parts<element>)
        bytes(value.data(), value.size() * sizeof(element));
      else
        for (const auto& each : value) put_element(static_cast<const element&>(each));
    } else if constexpr (is_set<T>) {
      put(static_cast<std::uint64_t>(value.size()));
      for (const auto& each : value) put_element(each);
    } else if constexpr (is_map<T>) {
      put(static_cast<std::uint64_t>(value.size()));
      for (const auto& [key, mapped] : value) put_element(std::tie(key, mapped));
    } else if constexpr (is_optional<T>) {
      put(value.has_value());
      if (value) put(*value);
    } else if constexpr (is_tuple<T>) {
      std::apply([this](const auto&... part) { (this->put(part), ...); }, value);
    } else if constexpr (has_parts<T>) {
      const deeper level(depth_);
      // One function for both directions, so that they cannot disagree; what is written is not changed by it.
      std::apply([this](const auto&... part) { (this->put(part), ...); }, wire_parts(const_cast<T&>(value)));
    } else {
      bytes(&value, sizeof value);
    }
  }

 private:
  template <class T>
  void put_element(const T& value) {
    put(value);
    if constexpr (least_bytes<T>() == 0) out_ += '\0';
  }
  void bytes(const void* from, std::size_t count) {
    if (count) out_.append(static_cast<const char*>(from), count);
  }
  std::string& out_;
  std::size_t depth_ = 0;
};

class reader {
 public:
  explicit reader(std::string_view in) noexcept : in_(in) {}
  template <class T>
  void get(T& value) {
    if constexpr (std::is_same_v<T, std::string>) {
      value = take(size());
    } else if constexpr (std::is_same_v<T, std::filesystem::path>) {
      value = std::string(take(size()));
    } else if constexpr (is_vector<T>) {
      using element = typename T::value_type;
      const std::size_t count = count_of<element>();
      value.clear();
      if constexpr (is_plain<element> && !std::is_same_v<element, bool> && !has_parts<element>) {
        value.resize(count);
        bytes(value.data(), count * sizeof(element));
      } else {
        for (std::size_t i = 0; i < count; ++i) {
          element each{};
          get_element(each);
          value.push_back(std::move(each));
        }
      }
    } else if constexpr (is_set<T>) {
      value.clear();
      for (std::size_t left = count_of<typename T::value_type>(); left > 0; --left) {
        typename T::value_type each{};
        get_element(each);
        value.insert(value.end(), std::move(each));
      }
    } else if constexpr (is_map<T>) {
      value.clear();
      for (std::size_t left = count_of<std::pair<typename T::key_type, typename T::mapped_type>>(); left > 0; --left) {
        std::pair<typename T::key_type, typename T::mapped_type> each{};
        get_element(each);
        value.insert_or_assign(value.end(), std::move(each.first), std::move(each.second));
      }
    } else if constexpr (is_optional<T>) {
      bool there = false;
      get(there);
      value.reset();
      if (there) get(value.emplace());
    } else if constexpr (is_tuple<T>) {
      std::apply([this](auto&... part) { (this->get(part), ...); }, value);
    } else if constexpr (has_parts<T>) {
      const deeper level(depth_);
      std::apply([this](auto&... part) { (this->get(part), ...); }, wire_parts(value));
    } else if constexpr (std::is_same_v<T, bool>) {
      const char byte = take(1).front();
      if (byte != 0 && byte != 1) throw wire_error("penstock: a truth value in a message is neither");
      value = byte != 0;
    } else {
      bytes(&value, sizeof value);
    }
  }
  [[nodiscard]] bool at_end() const noexcept { return in_.empty(); }

 private:
  std::size_t size() {
    std::uint64_t n = 0;
    get(n);
    return static_cast<std::size_t>(n);
  }
  // A number of elements, for which the bytes that are left can be enough.
  template <class T>
  std::size_t count_of() {
    const std::size_t count = size();
    if (count > in_.size() / std::max<std::size_t>(1, least_bytes<T>()))
      throw wire_error("penstock: a message is too short");
    return count;
  }
  template <class T>
  void get_element(T& value) {
    get(value);
    if constexpr (least_bytes<T>() == 0) take(1);
  }
  std::string_view take(std::size_t count) {
    if (count > in_.size()) throw wire_error("penstock: a message is too short");
    const std::string_view taken = in_.substr(0, count);
    in_.remove_prefix(count);
    return taken;
  }
  void bytes(void* to, std::size_t count) {
    const std::string_view from = take(count);
    if (count) std::memcpy(to, from.data(), count);
  }
  std::string_view in_;
  std::size_t depth_ = 0;
};

}  // namespace wire

// True iff to_wire takes a T.
template <class T>
concept wireable = wire::can_travel<T>();

template <wireable T>
[[nodiscard]] std::string to_wire(const T& value) {
  std::string bytes;
  wire::writer(bytes).put(value);
  return bytes;
}
// REQUIRES T can be made empty and moved.
template <wireable T>
[[nodiscard]] T from_wire(std::string_view bytes) {
  T value{};
  wire::reader in(bytes);
  in.get(value);
  if (!in.at_end()) throw wire_error("penstock: a message is too long");
  return value;
}

}  // namespace penstock::process
