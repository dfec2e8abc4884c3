// jpeg_source, jpeg_bytes: JPEG in and out, directly on libjpeg-turbo.
//
//   jpeg_source source(bytes);                              // reads the header
//   reducer small(source.reduced_by(2), target);
//   source.read(2, small, stop);                            // rows of half the size
//   raster picture = small.take();
//   ... = jpeg_bytes(picture, 82);
//
// Directly because JPEG is nearly all there is in a photo stream, and the decoded rows then go from the decoder into
// the reducer while they are in the cache: half the processor time of libvips here (bench/photos.py). The decoder can
// also leave out detail at once (1/2, 1/4, 1/8, in vector code); its other fractions, such as 5/8, are plain code and
// slower than decoding everything.
//
// ERRORS   bad_photo for what is damaged or ends too early, also where libjpeg only warns and paints the rest grey.
//          Warnings that good photos of real cameras cause are no errors: see harmless() in the source.
// THREADS  One object is for one thread.
// MEMORY   A few rows; for progressive JPEG also all coefficients: header().coefficient_bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

#include "apps/photos/image_color.hpp"
#include "apps/photos/image_resize.hpp"

namespace penstock::photos {

struct jpeg_header {
  extent size;                              // as stored, before any turning
  pixel_colors colors = pixel_colors::rgb;  // what read() delivers
  std::size_t coefficient_bytes = 0;        // 0 for baseline
  std::vector<std::byte> icc;               // empty for none
  std::vector<std::byte> exif;              // empty for none
};

class jpeg_source {
 public:
  // REQUIRES: bytes stay as they are while the object lives.
  explicit jpeg_source(std::span<const std::byte> bytes);
  ~jpeg_source();
  jpeg_source(const jpeg_source&) = delete;
  jpeg_source& operator=(const jpeg_source&) = delete;

  [[nodiscard]] const jpeg_header& header() const noexcept;

  // The size of what read(factor) delivers. REQUIRES: factor is 1, 2, 4 or 8.
  [[nodiscard]] extent reduced_by(int factor) const noexcept;

  // Decodes into `out`, whose source size is reduced_by(factor). Once per object. `smooth_colors` interpolates the
  // colours of 4:2:0, which is lost work when the picture is made much smaller afterwards. Throws bad_photo, cancelled.
  void read(int factor, bool smooth_colors, reducer& out, const std::stop_token& stop);

 private:
  struct decoder;
  std::unique_ptr<decoder> decoder_;
};

// Returns the picture as a JPEG file without any metadata: 4:2:0, baseline. REQUIRES: red, green, blue, unused.
[[nodiscard]] std::vector<std::byte> jpeg_bytes(const raster& picture, int quality);

}  // namespace penstock::photos
