// expected<T, E>: a T, or the reason why there is none.
//
//   if (auto item = queue.try_pop()) use(*item); else if (item.error() == conqueue_status::closed) return;
//
// The names and meanings of std::expected (C++23), as far as penstock uses them. Always this class, where the library has
// std::expected, too: translation units compiled as C++20 and as C++23 come into one program, and there a function that
// returns an expected is one function. It converts to a std::expected, and to every class made like it:
//
//   std::expected<photo, penstock::conqueue_status> item = queue.try_pop();
//
// REFUSED  std::expected where the library has it: the same function would then return two types, and the linker keeps
//          one of the two bodies without a word. An inline namespace per language version: then a library compiled as
//          C++20 could not be called from C++23.
#pragma once

#include <cassert>
#include <concepts>
#include <optional>
#include <utility>

namespace penstock {

template <class E>
class unexpected {
 public:
  constexpr explicit unexpected(E error) : error_(std::move(error)) {}
  [[nodiscard]] constexpr const E& error() const noexcept { return error_; }

 private:
  E error_;
};
template <class E>
unexpected(E) -> unexpected<E>;

template <class T, class E>
class expected;

namespace detail {
// std::expected<T, E>, recognised by its parts, because a header of C++20 cannot name it.
template <class Other, class T, class E>
concept made_like_expected =
    !std::same_as<Other, expected<T, E>> && std::same_as<typename Other::value_type, T> &&
    std::same_as<typename Other::error_type, E> && std::constructible_from<Other, std::in_place_t, T> &&
    std::constructible_from<Other, typename Other::unexpected_type>;
}  // namespace detail

// REQUIRES: * and -> only with a value, error() only without.
template <class T, class E>
class [[nodiscard]] expected {
 public:
  using value_type = T;
  using error_type = E;

  expected(T value) : value_(std::move(value)) {}
  expected(unexpected<E> reason) : error_(reason.error()) {}

  [[nodiscard]] bool has_value() const noexcept { return value_.has_value(); }
  explicit operator bool() const noexcept { return value_.has_value(); }

  T& operator*() & noexcept { return assert(value_), *value_; }
  const T& operator*() const& noexcept { return assert(value_), *value_; }
  T&& operator*() && noexcept { return assert(value_), *std::move(value_); }
  T* operator->() noexcept { return assert(value_), &*value_; }
  const T* operator->() const noexcept { return assert(value_), &*value_; }
  [[nodiscard]] const E& error() const noexcept { return assert(!value_), error_; }
  expected& operator=(unexpected<E> reason) {
    value_.reset();
    error_ = reason.error();
    return *this;
  }
  template <class U>
  [[nodiscard]] T value_or(U&& otherwise) const& {
    return value_.value_or(std::forward<U>(otherwise));
  }
  template <class U>
  [[nodiscard]] T value_or(U&& otherwise) && {
    return std::move(value_).value_or(std::forward<U>(otherwise));
  }

  template <class Other>
    requires detail::made_like_expected<Other, T, E>
  operator Other() && {
    if (value_) return Other(std::in_place, *std::move(value_));
    return Other(typename Other::unexpected_type(std::move(error_)));
  }

 private:
  template <class T2, class E2, class... Args>
  friend void emplace_value(expected<T2, E2>& out, Args&&... args);

  std::optional<T> value_;
  E error_{};
};

// Makes the value of `out` in place. If that throws, out holds its old error.
template <class T, class E, class... Args>
void emplace_value(expected<T, E>& out, Args&&... args) {
  out.value_.emplace(std::forward<Args>(args)...);
}

}  // namespace penstock
