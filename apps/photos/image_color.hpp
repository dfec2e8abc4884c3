// color_change: from the colours a photo was written in to sRGB, which every browser shows right without a profile.
//
//   if (const auto change = color_change::of(icc_profile, pixel_colors::rgb)) change->apply(picture);
//
// Works on the reduced raster, not on the original: the result differs by less than rounding does, for a quarter of the
// pixels or fewer. Profiles that consist of three curves and a matrix (Display P3 of every phone, Adobe RGB, ProPhoto)
// are computed here in integers: 3 million pixels in a third of the time that lcms or vips_icc_transform() take. What
// has tables, and CMYK and grey, goes through lcms.
//
// THREADS  One object is for one thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "apps/photos/image_raster.hpp"

namespace penstock::photos {

// grey: the same number in red, green and blue. cmyk_inverted: 255 is no ink, as Adobe's programs write CMYK JPEG.
enum class pixel_colors { rgb, grey, cmyk, cmyk_inverted };

class color_change {
 public:
  // Returns the change to sRGB, or none when the colours are sRGB as they stand. A profile that is damaged or meant for
  // other colours (CMYK for RGB pixels, say) is taken for absent, as browsers do; without one RGB and grey are sRGB,
  // and `fallback_cmyk` stands in for CMYK.
  static std::unique_ptr<color_change> of(std::span<const std::byte> profile, pixel_colors colors,
                                          std::span<const std::byte> fallback_cmyk = {});
  // From Adobe RGB (1998), which cameras name in EXIF and do not embed.
  static std::unique_ptr<color_change> of_adobe_rgb();

  color_change() = default;
  virtual ~color_change() = default;
  color_change(const color_change&) = delete;
  color_change& operator=(const color_change&) = delete;

  virtual void apply(raster& picture) const = 0;
};

// True iff pixels with this profile may be shown as sRGB: no transform could change them visibly. Decided by what the
// profile does (primaries, white, curves), not by its name: dozens of profiles are called sRGB, and some others are
// too.
[[nodiscard]] bool is_srgb(std::span<const std::byte> profile);

}  // namespace penstock::photos
