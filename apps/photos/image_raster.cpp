#include "apps/photos/image_raster.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

namespace penstock::photos {
namespace {

// Orientations 5 to 8 exchange width and height: rows become columns. Done in blocks, so that both sides stay in the
// first-level cache. Eight rows of the source and no more: rows of 2048 pixels lie a multiple of 4096 bytes apart, so
// that all of them compete for the eight places of one cache set.
constexpr int block_rows = 16;
constexpr int block_columns = 8;

std::uint32_t pixel(const raster& r, int x, int y) {
  std::uint32_t value;
  std::memcpy(&value, r.row(y) + raster::pixel_bytes * static_cast<std::size_t>(x), sizeof value);
  return value;
}

raster transposed(const raster& source, bool mirror_x, bool mirror_y) {
  const auto [width, height] = source.size();
  raster out({height, width});
  for (int left = 0; left < height; left += block_columns) {
    for (int top = 0; top < width; top += block_rows) {
      for (int y = top; y < std::min(top + block_rows, width); ++y) {
        std::uint8_t* to = out.row(y) + raster::pixel_bytes * static_cast<std::size_t>(left);
        for (int x = left; x < std::min(left + block_columns, height); ++x, to += raster::pixel_bytes) {
          const std::uint32_t value = pixel(source, mirror_x ? width - 1 - y : y, mirror_y ? height - 1 - x : x);
          std::memcpy(to, &value, sizeof value);
        }
      }
    }
  }
  return out;
}

void swap_pixels(std::uint8_t* a, std::uint8_t* b) { std::swap_ranges(a, a + raster::pixel_bytes, b); }

void mirror_rows(raster& r) {
  for (int y = 0; y < r.size().height; ++y) {
    std::uint8_t* left = r.row(y);
    std::uint8_t* right = left + r.row_bytes() - raster::pixel_bytes;
    for (; left < right; left += raster::pixel_bytes, right -= raster::pixel_bytes) swap_pixels(left, right);
  }
}

void mirror_columns(raster& r) {
  for (int top = 0, bottom = r.size().height - 1; top < bottom; ++top, --bottom) {
    std::swap_ranges(r.row(top), r.row(top) + r.row_bytes(), r.row(bottom));
  }
}

}  // namespace

raster turn(raster source, int orientation) {
  assert(orientation >= 1 && orientation <= 8);
  if (orientation == 2 || orientation == 3) mirror_rows(source);
  if (orientation == 3 || orientation == 4) mirror_columns(source);
  switch (orientation) {
    case 5:
      return transposed(source, false, false);
    case 6:
      return transposed(source, false, true);
    case 7:
      return transposed(source, true, true);
    case 8:
      return transposed(source, true, false);
    default:
      return source;
  }
}

}  // namespace penstock::photos
