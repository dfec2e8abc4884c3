// raster: pixels in memory, four bytes each: red, green, blue and one unused, or cyan, magenta, yellow, black.
//
// Four bytes also where three would do: a pixel is then one aligned word. Resizing and turning handle whole pixels, and
// libjpeg-turbo reads and writes this order as fast as the packed one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

namespace penstock::photos {

struct extent {
  int width = 0;
  int height = 0;
  friend bool operator==(const extent&, const extent&) = default;
};

class raster {
 public:
  static constexpr std::size_t pixel_bytes = 4;

  raster() = default;
  explicit raster(extent size)
      // Not zeroed: every byte is written before it is read, and zeroing 12 MB per photo would be lost work.
      : size_(size), pixels_(std::make_unique_for_overwrite<std::uint8_t[]>(bytes())) {}

  [[nodiscard]] extent size() const noexcept { return size_; }
  [[nodiscard]] std::size_t row_bytes() const noexcept { return pixel_bytes * static_cast<std::size_t>(size_.width); }
  [[nodiscard]] std::size_t bytes() const noexcept { return row_bytes() * static_cast<std::size_t>(size_.height); }
  [[nodiscard]] std::uint8_t* row(int y) noexcept { return pixels_.get() + static_cast<std::size_t>(y) * row_bytes(); }
  [[nodiscard]] const std::uint8_t* row(int y) const noexcept {
    return pixels_.get() + static_cast<std::size_t>(y) * row_bytes();
  }

 private:
  extent size_;
  std::unique_ptr<std::uint8_t[]> pixels_;
};

// Returns `upright` turned and mirrored as EXIF's orientation (1 to 8) asks, so that it is to be shown as it is.
[[nodiscard]] raster turn(raster source, int orientation);

}  // namespace penstock::photos
