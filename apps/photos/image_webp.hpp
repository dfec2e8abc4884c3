// webp_bytes: a picture as a WebP file without any metadata.
//
// Directly on libwebp: libvips 8.14, told to strip, still writes an EXIF block of its own making. And libwebp asks on
// its way whether to go on.
#pragma once

#include <cstddef>
#include <stop_token>
#include <vector>

#include "apps/photos/image_raster.hpp"

namespace penstock::photos {

// REQUIRES: red, green, blue, unused. Throws cancelled.
[[nodiscard]] std::vector<std::byte> webp_bytes(const raster& picture, int quality, const std::stop_token& stop);

}  // namespace penstock::photos
