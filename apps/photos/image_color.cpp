#include "apps/photos/image_color.hpp"

#include <array>
#include <cmath>
#include <type_traits>

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

// None if the profile is for other colors than the format.
cmsHTRANSFORM to_srgb(cmsHPROFILE from, cmsUInt32Number format) {
  const profile_handle srgb(cmsCreate_sRGBProfile());
  // Relative colorimetric with black point compensation: what browsers and editors do, so the photo looks like it did
  // there. No cache: it is one pixel wide, and photos seldom repeat a pixel.
  return cmsCreateTransform(from, format, srgb.get(), TYPE_RGBA_8, INTENT_RELATIVE_COLORIMETRIC,
                            cmsFLAGS_BLACKPOINTCOMPENSATION | cmsFLAGS_NOCACHE);
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
  cmsHTRANSFORM transform = profile ? to_srgb(profile.get(), format_of(colors)) : nullptr;
  if (transform == nullptr && (colors == pixel_colors::cmyk || colors == pixel_colors::cmyk_inverted)) {
    const profile_handle fallback = open(fallback_cmyk);
    if (fallback) transform = to_srgb(fallback.get(), format_of(colors));
  }
  return transform == nullptr ? nullptr : std::unique_ptr<color_change>(new color_change(transform));
}

std::unique_ptr<color_change> color_change::of_adobe_rgb() {
  constexpr cmsCIExyY d65{0.3127, 0.3290, 1.0};
  constexpr cmsCIExyYTRIPLE adobe{{0.64, 0.33, 1.0}, {0.21, 0.71, 1.0}, {0.15, 0.06, 1.0}};
  const curve_handle gamma(cmsBuildGamma(nullptr, 563.0 / 256.0));
  cmsToneCurve* const channels[] = {gamma.get(), gamma.get(), gamma.get()};
  const profile_handle profile(cmsCreateRGBProfile(&d65, &adobe, channels));
  cmsHTRANSFORM transform = profile ? to_srgb(profile.get(), TYPE_RGBA_8) : nullptr;
  return transform == nullptr ? nullptr : std::unique_ptr<color_change>(new color_change(transform));
}

color_change::~color_change() { cmsDeleteTransform(transform_); }

void color_change::apply(raster& picture) const {
  for (int y = 0; y < picture.size().height; ++y) {
    cmsDoTransform(transform_, picture.row(y), picture.row(y), static_cast<cmsUInt32Number>(picture.size().width));
  }
}

}  // namespace penstock::photos
