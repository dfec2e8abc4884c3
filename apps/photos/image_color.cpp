#include "apps/photos/image_color.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>

#include <lcms2.h>

namespace penstock::photos {
namespace {

struct closes_profile {
  void operator()(void* profile) const noexcept { cmsCloseProfile(profile); }
};
struct frees_curve {
  void operator()(cmsToneCurve* curve) const noexcept { cmsFreeToneCurve(curve); }
};
using profile_handle = std::unique_ptr<void, closes_profile>;
using curve_handle = std::unique_ptr<cmsToneCurve, frees_curve>;

profile_handle open(std::span<const std::byte> bytes) {
  if (bytes.empty() || bytes.size() > 0xffffffffU) return nullptr;
  return profile_handle(cmsOpenProfileFromMem(bytes.data(), static_cast<cmsUInt32Number>(bytes.size())));
}

double srgb_curve(double x) { return x <= 0.04045 ? x / 12.92 : std::pow((x + 0.055) / 1.055, 2.4); }

// sRGB's primaries as every profile must hold them: adapted to D50.
constexpr std::array<std::array<double, 3>, 3> srgb_primaries{
    {{0.4361, 0.2225, 0.0139}, {0.3851, 0.7169, 0.0971}, {0.1431, 0.0606, 0.7141}}};
constexpr std::array primaries{cmsSigRedColorantTag, cmsSigGreenColorantTag, cmsSigBlueColorantTag};
constexpr std::array curves{cmsSigRedTRCTag, cmsSigGreenTRCTag, cmsSigBlueTRCTag};

// Half a step of 8 bits in the middle tones; rounding in the many published sRGB profiles is an order smaller, Display
// P3 (0.515 for red) fifty times larger.
constexpr double primary_tolerance = 0.002;
constexpr double curve_tolerance = 0.004;

bool is_srgb_profile(cmsHPROFILE profile) {
  if (cmsGetColorSpace(profile) != cmsSigRgbData || cmsIsTag(profile, cmsSigAToB0Tag) != 0) return false;
  for (std::size_t i = 0; i < primaries.size(); ++i) {
    const auto* colorant = static_cast<const cmsCIEXYZ*>(cmsReadTag(profile, primaries[i]));
    const auto* curve = static_cast<const cmsToneCurve*>(cmsReadTag(profile, curves[i]));
    if (colorant == nullptr || curve == nullptr) return false;
    const auto& wanted = srgb_primaries[i];
    if (std::abs(colorant->X - wanted[0]) > primary_tolerance ||
        std::abs(colorant->Y - wanted[1]) > primary_tolerance ||
        std::abs(colorant->Z - wanted[2]) > primary_tolerance) {
      return false;
    }
    for (int step = 1; step < 16; ++step) {
      const double x = step / 16.0;
      if (std::abs(cmsEvalToneCurveFloat(curve, static_cast<float>(x)) - srgb_curve(x)) > curve_tolerance) return false;
    }
  }
  return true;
}

// How lcms is to read four bytes of a raster.
cmsUInt32Number format_of(pixel_colors colors) {
  switch (colors) {
    case pixel_colors::rgb:
      return TYPE_RGBA_8;
    case pixel_colors::grey:
      return COLORSPACE_SH(PT_GRAY) | CHANNELS_SH(1) | EXTRA_SH(3) | BYTES_SH(1);
    case pixel_colors::cmyk:
      return TYPE_CMYK_8;
    case pixel_colors::cmyk_inverted:
      return TYPE_CMYK_8_REV;
  }
  return TYPE_RGBA_8;
}

class lcms_change : public color_change {
 public:
  explicit lcms_change(cmsHTRANSFORM transform) noexcept : transform_(transform) {}
  ~lcms_change() override { cmsDeleteTransform(transform_); }
  lcms_change(const lcms_change&) = delete;
  lcms_change& operator=(const lcms_change&) = delete;

  void apply(raster& picture) const override {
    for (int y = 0; y < picture.size().height; ++y) {
      std::uint8_t* row = picture.row(y);
      cmsDoTransform(transform_, row, row, static_cast<cmsUInt32Number>(picture.size().width));
    }
  }

 private:
  cmsHTRANSFORM transform_;
};

// Curve, matrix, curve: linear light in 15 bits in between, weights with 12 bits of fraction.
class matrix_change : public color_change {
 public:
  // None if the profile is not made that way.
  static std::unique_ptr<color_change> of(cmsHPROFILE profile) {
    if (cmsGetColorSpace(profile) != cmsSigRgbData || cmsGetPCS(profile) != cmsSigXYZData ||
        cmsIsTag(profile, cmsSigAToB0Tag) != 0) {
      return nullptr;
    }
    auto change = std::make_unique<matrix_change>();
    for (std::size_t from = 0; from < primaries.size(); ++from) {
      const auto* colorant = static_cast<const cmsCIEXYZ*>(cmsReadTag(profile, primaries[from]));
      const auto* curve = static_cast<const cmsToneCurve*>(cmsReadTag(profile, curves[from]));
      if (colorant == nullptr || curve == nullptr) return nullptr;
      for (std::size_t to = 0; to < 3; ++to) {
        const auto& row = xyz_to_srgb[to];
        const double weight = row[0] * colorant->X + row[1] * colorant->Y + row[2] * colorant->Z;
        // Real spaces stay below 2.1; a damaged profile may hold anything, and three of them must fit an int.
        if (!(std::abs(weight) < 5)) return nullptr;
        change->weight_[to][from] = static_cast<int>(std::lround(weight * weight_one));
      }
      for (std::size_t i = 0; i < 256; ++i) {
        const double light = cmsEvalToneCurveFloat(curve, static_cast<float>(i) / 255.0F);
        if (!(light >= 0 && light <= 1.001)) return nullptr;
        change->light_[from][i] = static_cast<int>(std::lround(light * full_light));
      }
    }
    for (std::size_t i = 0; i < change->srgb_.size(); ++i) {
      const double light = static_cast<double>(i) / static_cast<double>(change->srgb_.size() - 1);
      const double value = light <= 0.0031308 ? 12.92 * light : 1.055 * std::pow(light, 1 / 2.4) - 0.055;
      change->srgb_[i] = static_cast<std::uint8_t>(std::lround(255 * value));
    }
    return change;
  }

  void apply(raster& picture) const override {
    for (int y = 0; y < picture.size().height; ++y) {
      std::uint8_t* pixel = picture.row(y);
      const std::uint8_t* end = pixel + picture.row_bytes();
      for (; pixel != end; pixel += raster::pixel_bytes) {
        const int r = light_[0][pixel[0]], g = light_[1][pixel[1]], b = light_[2][pixel[2]];
        for (std::size_t to = 0; to < 3; ++to) {
          const auto& w = weight_[to];
          const int light = (w[0] * r + w[1] * g + w[2] * b + weight_one / 2) / weight_one;
          pixel[to] = srgb_[static_cast<std::size_t>(std::clamp(light, 0, full_light) / light_per_entry)];
        }
      }
    }
  }

 private:
  static constexpr int weight_one = 1 << 12;  // three weights below 5 times full light fit 31 bits
  static constexpr int full_light = 32767;
  static constexpr int light_per_entry = 4;  // fine enough that neighbouring entries differ by one step at most
  // From D50's XYZ, in which profiles keep their primaries, to linear sRGB.
  static constexpr std::array<std::array<double, 3>, 3> xyz_to_srgb{
      {{3.1338561, -1.6168667, -0.4906146}, {-0.9787684, 1.9161415, 0.0334540}, {0.0719453, -0.2289914, 1.4052427}}};

  std::array<std::array<int, 3>, 3> weight_{};
  std::array<std::array<int, 256>, 3> light_{};
  std::array<std::uint8_t, full_light / light_per_entry + 1> srgb_{};
};

// None if the profile is for other colors than these.
std::unique_ptr<color_change> to_srgb(cmsHPROFILE from, pixel_colors colors) {
  if (colors == pixel_colors::rgb) {
    if (auto change = matrix_change::of(from)) return change;
  }
  const profile_handle srgb(cmsCreate_sRGBProfile());
  // Relative colorimetric with black point compensation: what browsers and editors do, so the photo looks as it did
  // there. No cache: it is one pixel wide, and photos seldom repeat a pixel.
  cmsHTRANSFORM transform =
      cmsCreateTransform(from, format_of(colors), srgb.get(), TYPE_RGBA_8, INTENT_RELATIVE_COLORIMETRIC,
                         cmsFLAGS_BLACKPOINTCOMPENSATION | cmsFLAGS_NOCACHE);
  return transform == nullptr ? nullptr : std::make_unique<lcms_change>(transform);
}

}  // namespace

bool is_srgb(std::span<const std::byte> bytes) {
  const profile_handle profile = open(bytes);
  return profile && is_srgb_profile(profile.get());
}

std::unique_ptr<color_change> color_change::of(std::span<const std::byte> bytes, pixel_colors colors,
                                               std::span<const std::byte> fallback_cmyk) {
  const profile_handle profile = open(bytes);
  if (profile && is_srgb_profile(profile.get())) return nullptr;
  auto change = profile ? to_srgb(profile.get(), colors) : nullptr;
  if (!change && (colors == pixel_colors::cmyk || colors == pixel_colors::cmyk_inverted)) {
    if (const profile_handle fallback = open(fallback_cmyk)) change = to_srgb(fallback.get(), colors);
  }
  return change;
}

std::unique_ptr<color_change> color_change::of_adobe_rgb() {
  constexpr cmsCIExyY d65{0.3127, 0.3290, 1.0};
  constexpr cmsCIExyYTRIPLE adobe{{0.64, 0.33, 1.0}, {0.21, 0.71, 1.0}, {0.15, 0.06, 1.0}};
  const curve_handle gamma(cmsBuildGamma(nullptr, 563.0 / 256.0));
  cmsToneCurve* const channels[] = {gamma.get(), gamma.get(), gamma.get()};
  const profile_handle profile(cmsCreateRGBProfile(&d65, &adobe, channels));
  return profile ? to_srgb(profile.get(), pixel_colors::rgb) : nullptr;
}

}  // namespace penstock::photos
