// redirect: where one of a child's three standard descriptors leads.
//
//   auto sorted = spawn({"sort"}, {.in = redirect::pipe(), .out = redirect::to_file("words.sorted")});
//   auto unique = spawn({"uniq"}, {.in = redirect::from(other), .err = redirect::null()});
//
// pipe() is a pipe to this program: its own end is child::in(), out() or err().
#pragma once

#include <cstdint>
#include <filesystem>
#include <utility>

#include <penstock/base/unique_fd.hpp>

namespace penstock::process {

class child;

class redirect {
 public:
  static redirect inherit() { return redirect(kind::inherit); }  // this program's own
  static redirect null() { return redirect(kind::null); }
  static redirect pipe() { return redirect(kind::pipe); }
  static redirect from_file(std::filesystem::path path) { return {kind::from_file, std::move(path)}; }
  // Made or emptied; made or appended to.
  static redirect to_file(std::filesystem::path path) { return {kind::to_file, std::move(path)}; }
  static redirect append_to(std::filesystem::path path) { return {kind::append_to, std::move(path)}; }
  // Lent: REQUIRES open until the child is started. Given: closed here once the child is started, or cannot be.
  static redirect descriptor(int lent) {
    redirect made(kind::descriptor);
    made.lent_ = lent;
    return made;
  }
  static redirect descriptor(unique_fd given) {
    redirect made(kind::descriptor);
    made.lent_ = given.get();
    made.given_ = std::move(given);
    return made;
  }
  // The output of a child that was started with .out = pipe(), which then is that child's no more; the input of one
  // with .in = pipe(). Throws std::logic_error if there is no such pipe.
  static redirect from(child& other);
  static redirect to(child& other);
  // For err: the same as out.
  static redirect as_out() { return redirect(kind::as_out); }

  enum class kind : std::uint8_t { inherit, null, pipe, from_file, to_file, append_to, descriptor, as_out };
  [[nodiscard]] kind what() const noexcept { return kind_; }
  [[nodiscard]] const std::filesystem::path& path() const noexcept { return path_; }
  [[nodiscard]] int get() const noexcept { return lent_; }

 private:
  explicit redirect(kind k) noexcept : kind_(k) {}
  redirect(kind k, std::filesystem::path path) : kind_(k), path_(std::move(path)) {}

  kind kind_;
  int lent_ = -1;
  unique_fd given_;
  std::filesystem::path path_;
};

}  // namespace penstock::process
