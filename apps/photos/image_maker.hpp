// image_maker: what is done to a photo's bytes (image.hpp), and where: in this process, or in one that may die of them.
//
//   images_here here(options);                       isolated_images there(options, {.deadline = 60s});
//   auto info = here.probe(path, stop);
//   auto file = here.read(found);                    // where the maker can use it
//   auto result = here.make(file, stop);
//
// isolated_images: a picture that crashes a decoder, or hangs it, or lets it eat all memory, costs that picture, and the
// reason says how its worker died: "the worker was killed by signal 11 (SEGV)". main() must begin with
// serve_images(argc, argv), because a worker is this program, executed anew (penstock/process/isolated.hpp).
//
// THREADS  images_here from any number at a time; isolated_images one at a time: it has a process of its own.
// ERRORS   As image.hpp; from a worker bad_photo for whatever an exception said there, and worker_died.
// COST     A file is read into memory that the worker looks at, too; renditions are copied. `script/bench line` measures it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <system_error>
#include <tuple>
#include <utility>
#include <vector>

#include <penstock/base/mutex.hpp>
#include <penstock/process/isolated.hpp>
#include <penstock/process/shared_bytes.hpp>

#include "apps/photos/image.hpp"
#include "apps/photos/source.hpp"

namespace penstock::gallery {
inline auto wire_parts(rendition& r) { return std::tie(r.width, r.height, r.media_type, r.bytes); }
}  // namespace penstock::gallery

namespace penstock::photos {

// For isolated_images.
inline auto wire_parts(rendition_options& o) { return std::tie(o.sizes, o.format, o.quality, o.max_pixels, o.keep); }
inline auto wire_parts(image_info& i) {
  return std::tie(i.format, i.width, i.height, i.pixels, i.has_icc, i.peak_bytes);
}
inline auto wire_parts(rendition_set& s) { return std::tie(s.renditions, s.fields); }

// Blocks of shared memory that go from photo to photo: new ones would cost a millisecond for each megabyte.
// THREADS  Every member at the same time.
class spare_memory {
 public:
  struct give_back {
    std::shared_ptr<spare_memory> to;
    void operator()(process::shared_bytes* block) const noexcept;
  };
  using block = std::unique_ptr<process::shared_bytes, give_back>;
  spare_memory() { spare_.reserve(most_spare); }
  [[nodiscard]] static block take(const std::shared_ptr<spare_memory>& from, std::size_t size);

 private:
  static constexpr std::size_t least_size = 8 << 20, most_spare = 4;

  mutex mutex_;  // guards what follows
  std::vector<std::unique_ptr<process::shared_bytes>> spare_ PENSTOCK_GUARDED_BY(mutex_);
};

// A file's contents, in one of two kinds of memory.
class photo_file {
 public:
  photo_file() = default;
  explicit photo_file(std::vector<std::byte> own) : own_(std::move(own)) {}
  explicit photo_file(spare_memory::block shared) noexcept : shared_(std::move(shared)) {}
  [[nodiscard]] std::span<const std::byte> bytes() const {
    return shared_ ? std::as_const(*shared_).bytes() : std::span<const std::byte>(own_);
  }
  // REQUIRES made of shared memory.
  [[nodiscard]] process::shared_bytes& shared() noexcept { return *shared_; }

 private:
  std::vector<std::byte> own_;
  spare_memory::block shared_;
};

class image_maker {
 public:
  image_maker() = default;
  image_maker(const image_maker&) = delete;
  image_maker& operator=(const image_maker&) = delete;
  virtual ~image_maker() = default;
  // Throws not_a_photo, bad_photo, std::system_error; as make() what a worker's death or a stop has for an exception.
  virtual image_info probe(const std::filesystem::path& file, const std::stop_token& stop) = 0;
  // As read_whole().
  virtual photo_file read(const found_photo& found) = 0;
  // REQUIRES `file` comes from read() of a maker of the same kind.
  virtual rendition_set make(photo_file& file, const std::stop_token& stop) = 0;
};

class images_here : public image_maker {
 public:
  explicit images_here(rendition_options options) : options_(std::move(options)) {}
  image_info probe(const std::filesystem::path& file, const std::stop_token& stop) override;
  photo_file read(const found_photo& found) override;
  rendition_set make(photo_file& file, const std::stop_token& stop) override;

 private:
  const rendition_options options_;
};

// --- in a worker ---

struct probe_request {
  std::filesystem::path file;
  rendition_options options;
  friend auto wire_parts(probe_request& r) { return std::tie(r.file, r.options); }
};
struct probe_answer {
  std::optional<image_info> info;  // none: it is no photo,
  std::string reason;              // ... and why,
  int unreadable = 0;              // or the errno of a read that failed
  friend auto wire_parts(probe_answer& a) { return std::tie(a.info, a.reason, a.unreadable); }
};
struct make_request {
  process::shared_bytes file;
  rendition_options options;
  friend auto wire_parts(make_request& r) { return std::tie(r.file, r.options); }
};
[[nodiscard]] photo_file read_shared(const found_photo& found, const std::shared_ptr<spare_memory>& spare);
probe_answer probe_there(const probe_request& request);
rendition_set make_there(const make_request& request);

// First thing in main().
inline void serve_images(int argc, char** argv) { process::serve_if_worker<probe_there, make_there>(argc, argv); }

// Make: make_there, or in a test what dies when it is told to.
template <auto Make = make_there>
class isolated_images_with : public image_maker {
 public:
  // spare: may be shared with others of its kind.
  isolated_images_with(rendition_options options, const process::isolation& how,
                       std::shared_ptr<spare_memory> spare = std::make_shared<spare_memory>())
      : options_(std::move(options)), spare_(std::move(spare)), probe_(how), make_(how) {}

  image_info probe(const std::filesystem::path& file, const std::stop_token& stop) override {
    auto answer = told_as_bad_photo([&] { return probe_({file, options_}, stop); });
    if (answer.unreadable != 0) throw std::system_error(answer.unreadable, std::generic_category(), file.string());
    if (!answer.info) throw not_a_photo(answer.reason);
    return *std::move(answer.info);
  }
  photo_file read(const found_photo& found) override { return read_shared(found, spare_); }
  rendition_set make(photo_file& file, const std::stop_token& stop) override {
    make_request request{std::move(file.shared()), options_};
    const struct give_back {
      make_request& from;
      photo_file& to;
      ~give_back() { to.shared() = std::move(from.file); }
    } afterwards{request, file};
    return told_as_bad_photo([&] { return make_(request, stop); });
  }

 private:
  template <class F>
  static auto told_as_bad_photo(F f) {
    try {
      return f();
    } catch (const process::request_failed& e) {
      throw bad_photo(e.what());
    }
  }

  const rendition_options options_;
  const std::shared_ptr<spare_memory> spare_;
  // Two processes, each started when it is first needed: a worker of a stage asks one of them only.
  process::isolated_call<probe_there> probe_;
  process::isolated_call<Make> make_;
};
using isolated_images = isolated_images_with<>;

// One heap for the whole process, which keeps up to 128 MiB of what one photo leaves for the next. A heap per thread would
// keep the buffers of the largest photo each of them ever saw; giving every large buffer back at once costs a page fault
// for every 4 KiB of the next photo (5,000 per photo, an eighth of all processor time).
void limit_heap();

}  // namespace penstock::photos
