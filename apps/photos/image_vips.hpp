// vips_source, avif_bytes: the kinds of photo other than JPEG, by libvips.
//
//   vips_source source(bytes, photo_kind::heic);
//   reducer small(source.header().size, target);
//   source.read(small, stop);
//
// The kind is given, not guessed again: libvips would also accept what kind_of() refuses.
//
// Of a TIFF file with several pictures it reads the photo (image_tiff.hpp). Numbers of any format mean the same: grey of
// 0.5, of 128 among 0 to 255, and of 0 among -32768 to 32767 are one grey.
// A floating-point photo without a profile is in sRGB like any other, not in linear light.
//
// ERRORS   bad_photo for what is damaged or cut short, with the decoder's reason (image_messages.hpp); not_a_photo for a
//          camera's RAW file.
// THREADS  One object is for one thread. Decoding happens on that thread, one strip of rows at a time, without libvips'
//          own workers.
// MEMORY   header().decoder_bytes.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "apps/photos/image_color.hpp"
#include "apps/photos/image_kind.hpp"
#include "apps/photos/image_resize.hpp"

namespace penstock::photos {

struct vips_header {
  extent size;          // as stored, before any turning
  int orientation = 1;  // 1 to 8; 1 where the decoder turns the picture itself (HEIC, AVIF)
  bool has_icc = false;
  std::vector<std::byte> icc;     // the profile that read()'s pixels are in; empty: sRGB
  std::vector<std::byte> exif;    // empty for none
  std::size_t decoder_bytes = 0;  // upper bound of what the decoder holds
};

class vips_source {
 public:
  // REQUIRES: bytes stay as they are while the object lives; kind is not jpeg.
  vips_source(std::span<const std::byte> bytes, photo_kind kind);
  ~vips_source();
  vips_source(const vips_source&) = delete;
  vips_source& operator=(const vips_source&) = delete;

  // Of a file, of which no more is read than the decoder needs for it. Throws not_a_photo, bad_photo, and
  // std::system_error where the file cannot be read.
  [[nodiscard]] static vips_header header_of(const std::filesystem::path& path, photo_kind kind);

  [[nodiscard]] const vips_header& header() const noexcept;

  // Decodes into `out`, whose source size is header().size: red, green, blue, unused; what is transparent is on white.
  // Throws bad_photo, cancelled.
  void read(reducer& out, const std::stop_token& stop);

 private:
  struct picture;
  std::unique_ptr<picture> picture_;
};

// Returns the picture as an AVIF file without any metadata. REQUIRES: red, green, blue, unused.
[[nodiscard]] std::vector<std::byte> avif_bytes(const raster& picture, int quality);

// The profile that stands in for CMYK photos without one.
[[nodiscard]] std::vector<std::byte> standard_cmyk_profile();

}  // namespace penstock::photos
