// expected<T, E>: a T, or the reason why there is none. std::expected where the library has it; here the part of it
// that we use.
//
//   if (auto item = queue.try_pop()) use(*item); else if (item.error() == conqueue_status::closed) return;
#pragma once

#include <version>

#if defined(__cpp_lib_expected)

#include <expected>
#include <memory>
#include <utility>

namespace penstock {
using std::expected;
using std::unexpected;

// Makes the value of `out` in place. If that throws, out holds E{}. (std::expected::emplace takes only what cannot
// throw.)
template <class T, class E, class... Args>
void emplace_value(expected<T, E>& out, Args&&... args) {
  std::destroy_at(&out);
  try {
    std::construct_at(&out, std::in_place, std::forward<Args>(args)...);
  } catch (...) {
    std::construct_at(&out, std::unexpect, E{});
    throw;
  }
}
}  // namespace penstock

#else

#include <cassert>
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
  [[nodiscard]] T value_or(U&& otherwise) && {
    return std::move(value_).value_or(std::forward<U>(otherwise));
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

#endif
