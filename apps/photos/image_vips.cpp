#include "apps/photos/image_vips.hpp"

#include <algorithm>
#include <cassert>
#include <cstring>
#include <string>
#include <string_view>

#include <vips/vips8>

#include "apps/photos/image.hpp"

namespace penstock::photos {
namespace {

using vips::VImage;

struct unrefs_object {
  void operator()(void* object) const noexcept { g_object_unref(object); }
};
struct unrefs_area {
  void operator()(VipsBlob* blob) const noexcept { vips_area_unref(VIPS_AREA(blob)); }
};

// libvips collects messages in one buffer for the whole process; this takes what is there. Beside another failing
// thread the text may be of both photos, never more than that.
std::string last_words() {
  const std::unique_ptr<char, decltype(&g_free)> all(vips_error_buffer_copy(), g_free);
  const std::string_view text = all ? all.get() : "";
  const std::string first(text.substr(0, text.find('\n')));
  return first.empty() ? "no reason given" : first;
}

[[noreturn]] void refuse() { throw bad_photo("damaged or cut short: " + last_words()); }

// Everything libvips refuses while a pipeline is put together or a header is read.
template <class Work>
auto guarded(Work work) {
  try {
    return work();
  } catch (const vips::VError&) {
    refuse();
  }
}

VImage load(const vips::VSource& source, photo_kind kind) {
  // "error" includes "truncated". Not "warning": TIFF readers warn of every private tag.
  auto* options = VImage::option()->set("access", VIPS_ACCESS_SEQUENTIAL)->set("fail_on", VIPS_FAIL_ON_ERROR);
  switch (kind) {
    case photo_kind::png:
      return VImage::pngload_source(source, options);
    case photo_kind::webp:
      return VImage::webpload_source(source, options);
    case photo_kind::tiff:
      return VImage::tiffload_source(source, options);
    case photo_kind::gif:
      return VImage::gifload_source(source, options);
    case photo_kind::heic:
    case photo_kind::avif:
      return VImage::heifload_source(source, options);
    case photo_kind::jpeg:
      break;
  }
  delete options;
  assert(false);
  throw bad_photo("JPEG is not read by libvips here");
}

std::vector<std::byte> blob(const VImage& image, const char* name) {
  if (image.get_typeof(name) != VIPS_TYPE_BLOB) return {};
  std::size_t size = 0;
  const void* bytes = image.get_blob(name, &size);
  const auto* first = static_cast<const std::byte*>(bytes);
  return {first, first + size};
}

bool is_16_bit(const VImage& image) { return image.format() == VIPS_FORMAT_USHORT; }

bool is_plain_rgb(const VImage& image) {
  return image.format() == VIPS_FORMAT_UCHAR && image.bands() == 3 &&
         (image.interpretation() == VIPS_INTERPRETATION_sRGB || image.interpretation() == VIPS_INTERPRETATION_RGB);
}

// On white. Wide numbers first keep their width: what follows may still change colours.
VImage opaque(const VImage& image) {
  if (!image.has_alpha()) return image;
  if (image.interpretation() == VIPS_INTERPRETATION_CMYK) return image.extract_band(0, VImage::option()->set("n", 4));
  const double white = is_16_bit(image) ? 65535 : 255;
  return image.flatten(VImage::option()->set("background", std::vector<double>{white}));
}

// Eight-bit RGB keeps its profile for later, when fewer pixels are left to change; all else is brought to sRGB here, at
// full precision.
VImage to_eight_bit_rgb(const VImage& image, bool has_icc) {
  if (is_plain_rgb(image)) return image;
  if (has_icc || image.interpretation() == VIPS_INTERPRETATION_CMYK) {
    try {  // CMYK without a profile gets libvips' own
      return image.icc_transform("srgb", VImage::option()
                                             ->set("embedded", true)
                                             ->set("intent", VIPS_INTENT_RELATIVE)
                                             ->set("black_point_compensation", true)
                                             ->set("depth", 8));
    } catch (const vips::VError&) {
      vips_error_clear();  // a profile that does not fit counts as none
    }
  }
  return image.colourspace(VIPS_INTERPRETATION_sRGB).cast(VIPS_FORMAT_UCHAR);
}

// What the decoder holds at once, beside strips: measured by image_test.cpp's memory tests, rounded up.
std::size_t held_by_decoder(const VImage& image, photo_kind kind) {
  const std::size_t pixels = static_cast<std::size_t>(image.width()) * static_cast<std::size_t>(image.height());
  const std::size_t pixel = VIPS_IMAGE_SIZEOF_PEL(image.get_image());
  switch (kind) {
    case photo_kind::png:
      return image.get_typeof("interlaced") != 0 && image.get_int("interlaced") != 0 ? pixels * pixel : 0;
    case photo_kind::webp:
      return pixels * 14;
    case photo_kind::gif:
      return pixels * 8;
    case photo_kind::tiff:
      return pixels * pixel * 2;  // a file may consist of one single strip or tile
    case photo_kind::heic:
    case photo_kind::avif:
      return pixels * (is_16_bit(image) ? 24 : 16);
    case photo_kind::jpeg:
      break;
  }
  return 0;
}

}  // namespace

struct vips_source::picture {
  VImage image;
  vips_header header;

  picture(const vips::VSource& source, photo_kind kind) {
    const VImage loaded = guarded([&] { return load(source, kind); });
    header.size = {loaded.width(), loaded.height()};
    header.orientation = vips_image_get_orientation(loaded.get_image());
    header.exif = blob(loaded, VIPS_META_EXIF_NAME);
    header.icc = blob(loaded, VIPS_META_ICC_NAME);
    header.has_icc = !header.icc.empty();
    header.decoder_bytes = held_by_decoder(loaded, kind);
    guarded([&] {
      const VImage flat = opaque(loaded);
      if (!is_plain_rgb(flat)) header.icc.clear();
      image = to_eight_bit_rgb(flat, header.has_icc).bandjoin_const({255});
    });
    if (image.bands() != static_cast<int>(raster::pixel_bytes)) throw bad_photo("its colors are of no known kind");
  }
};

vips_source::vips_source(std::span<const std::byte> bytes, photo_kind kind)
    : picture_(std::make_unique<picture>(
          guarded([&] { return vips::VSource::new_from_memory(bytes.data(), bytes.size()); }), kind)) {}

vips_source::vips_source(const std::filesystem::path& file, photo_kind kind)
    : picture_(std::make_unique<picture>(guarded([&] { return vips::VSource::new_from_file(file.c_str()); }), kind)) {}

vips_source::~vips_source() = default;

const vips_header& vips_source::header() const noexcept { return picture_->header; }

void vips_source::read(reducer& out, const std::stop_token& stop) {
  constexpr int strip = 64;
  const VImage& image = picture_->image;
  const std::unique_ptr<VipsRegion, unrefs_object> region(vips_region_new(image.get_image()));
  if (!region) refuse();
  for (int top = 0; top < image.height(); top += strip) {
    if (stop.stop_requested()) throw cancelled();
    const VipsRect area{0, top, image.width(), std::min(strip, image.height() - top)};
    if (vips_region_prepare(region.get(), &area) != 0) refuse();
    for (int y = top; y < top + area.height; ++y) {
      std::memcpy(out.row(), VIPS_REGION_ADDR(region.get(), 0, y),
                  raster::pixel_bytes * static_cast<std::size_t>(image.width()));
      out.row_done();
    }
  }
}

namespace {

VImage three_bands(const raster& picture) {
  // libvips' memory images are not const; it only reads them.
  return VImage::new_from_memory(const_cast<std::uint8_t*>(picture.row(0)), picture.bytes(), picture.size().width,
                                 picture.size().height, static_cast<int>(raster::pixel_bytes), VIPS_FORMAT_UCHAR)
      .extract_band(0, VImage::option()->set("n", 3))
      .copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_sRGB));
}

std::vector<std::byte> bytes_of(VipsBlob* blob) {
  const std::unique_ptr<VipsBlob, unrefs_area> owner(blob);
  std::size_t size = 0;
  const auto* first = static_cast<const std::byte*>(vips_blob_get(blob, &size));
  return {first, first + size};
}

}  // namespace

std::vector<std::byte> avif_bytes(const raster& picture, int quality) {
  try {
    // Effort 0: the default takes thirty times as long for files a tenth smaller (photos of 2048 pixels: 4.8 s against
    // 0.15 s).
    return bytes_of(three_bands(picture).heifsave_buffer(VImage::option()
                                                             ->set("Q", quality)
                                                             ->set("compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1)
                                                             ->set("effort", 0)
                                                             ->set("strip", true)));
  } catch (const vips::VError&) {
    throw std::runtime_error("cannot write AVIF: " + last_words());
  }
}

std::vector<std::byte> standard_cmyk_profile() {
  VipsBlob* loaded = nullptr;
  return vips_profile_load("cmyk", &loaded, nullptr) != 0 ? std::vector<std::byte>() : bytes_of(loaded);
}

}  // namespace penstock::photos
