// Photos for the tests, made on the spot: written by libvips, bent by hand where no program writes what is needed.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <vips/vips8>

#include "apps/gallery/photo.hpp"

namespace penstock::photos::test_files {

using file_bytes = std::vector<std::byte>;
using color = std::array<double, 3>;

// The whole process's image_library; tests call it before anything else.
void start_library();

[[nodiscard]] vips::VImage flat(int width, int height, color c);
// Colours that change smoothly over the picture: compresses like a photo, and no two places look alike.
[[nodiscard]] vips::VImage scenery(int width, int height);
void paint(vips::VImage& image, int left, int top, int width, int height, color c);

// As libvips writes it: suffix as in ".jpg[Q=95]".
[[nodiscard]] file_bytes saved(const vips::VImage& image, const std::string& suffix);
[[nodiscard]] file_bytes profile(const std::string& name);  // built into libvips: srgb, p3, cmyk
[[nodiscard]] file_bytes system_profile(
    const std::string& name);  // of the package colord-data, without ".icc"; empty if it is not there
[[nodiscard]] vips::VImage with_profile(const vips::VImage& image, const file_bytes& icc);

// A block of EXIF in a JPEG: tags of the first directory, of the EXIF directory and of the position's.
struct exif_text {
  std::map<std::uint16_t, std::string> first = {};
  std::map<std::uint16_t, std::string> exif = {};
  std::map<std::uint16_t, std::string> position = {};
  std::map<std::uint16_t, std::string> interoperability = {};
  int orientation = 0;  // 0: none
};
[[nodiscard]] file_bytes exif_block(const exif_text& tags);
[[nodiscard]] file_bytes with_exif(const file_bytes& jpeg, const file_bytes& block);

// A PNG whose header says this and whose pixels are missing.
[[nodiscard]] file_bytes png_header(std::uint32_t width, std::uint32_t height);

[[nodiscard]] file_bytes bytes_of(std::string_view text);
[[nodiscard]] std::string text_of(std::span<const std::byte> bytes);

// Decoded by libvips, as somebody else's browser would.
[[nodiscard]] vips::VImage decoded(const gallery::rendition& r);
[[nodiscard]] color color_at(const vips::VImage& image, double x,
                             double y);  // 0 to 1 across and down; mean of a few pixels

}  // namespace penstock::photos::test_files
