// Renditions: from a photo as the camera wrote it to the smaller pictures that are published.
//
//   image_library library;                                     // once, in main()
//   auto result = make_renditions(bytes, {.sizes = {2048, 320}}, stop);
//   publish(result.renditions, result.fields);
//
// A rendition is upright (EXIF orientation is applied to the pixels), in sRGB, on white where the photo was
// transparent, and has no metadata at all: no EXIF, no position, no camera, no profile, no thumbnail. What the owner
// wants to publish is named in rendition_options::keep and comes back beside the renditions, as text. Animations and
// documents of several pages give their first picture.
//
// Photos are JPEG, PNG, WebP, HEIC, AVIF, TIFF and GIF, by content. A photo that is cut short or damaged is refused:
// libraries paint what is missing grey and call it success, and then a half-copied file is published for good.
//
// THREADS  Everything may be called at the same time, the image_library's constructor and destructor excepted. Work is
//          done on the calling thread; a caller who wants two at a time calls from two threads.
// ENDING   A requested stop ends the work with `cancelled` at the next rows; where a library handles the whole picture
//          in one call (HEIC, AVIF, WebP and GIF in; AVIF out), after that call: tenths of a second.
// MEMORY   At most image_info::peak_bytes beside the file's own bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <stdexcept>
#include <stop_token>
#include <string>
#include <vector>

#include "apps/gallery/photo.hpp"
#include "apps/photos/image_kind.hpp"

namespace penstock::photos {

// Damaged, cut short, or too large: what() says which. A file that may still be growing is worth another look; others
// are not.
class bad_photo : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class cancelled : public std::exception {
 public:
  [[nodiscard]] const char* what() const noexcept override { return "cancelled"; }
};

// Prepares the image libraries of the process: no threads of their own beyond need, no caches, and no readers of
// formats that are dangerous to read from strangers (SVG, PDF, whatever ImageMagick knows). REQUIRES: one per process,
// made before and destroyed after every other use of this header.
class image_library {
 public:
  image_library();
  ~image_library();
  image_library(const image_library&) = delete;
  image_library& operator=(const image_library&) = delete;
};

enum class rendition_format { jpeg, webp, avif };

struct rendition_options {
  // Longest sides in pixels. Never enlarged: a photo smaller than a size is published at its own size, once.
  std::vector<int> sizes = {2048, 1024, 320};
  rendition_format format = rendition_format::jpeg;
  int quality = 0;                         // 1 to 100; 0: a good one for the format (JPEG 82, WebP 80, AVIF 55)
  std::uint64_t max_pixels = 250'000'000;  // larger photos are refused before they are decoded
  std::set<std::string> keep = {};         // among: copyright, artist, description, date, camera, lens
};

struct image_info {
  std::string format;  // "JPEG", "HEIC", ...
  int width = 0;       // pixels, upright
  int height = 0;      // pixels, upright
  std::uint64_t pixels = 0;
  bool has_icc = false;
  std::size_t peak_bytes = 0;  // an upper bound for the memory that make_renditions() with the same options takes
};

struct rendition_set {
  std::vector<gallery::rendition> renditions;  // at least one, largest first, no two of the same width
  std::map<std::string, std::string> fields;   // those of rendition_options::keep that the photo has
};

// Throws std::invalid_argument that says what is wrong with the options and what they may be.
void check(const rendition_options& options);

// What a photo is, from its header only. Throws not_a_photo, bad_photo.
[[nodiscard]] image_info probe(std::span<const std::byte> bytes, const rendition_options& options = {});
// The same of a file, of which only the header is read. Throws std::system_error where it cannot be.
[[nodiscard]] image_info probe(const std::filesystem::path& file, const rendition_options& options = {});

// Throws not_a_photo, bad_photo, cancelled, and std::invalid_argument as check() does.
[[nodiscard]] rendition_set make_renditions(std::span<const std::byte> bytes, const rendition_options& options = {},
                                            const std::stop_token& stop = {});

}  // namespace penstock::photos
