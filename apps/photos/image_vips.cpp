#include "apps/photos/image_vips.hpp"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <vips/vips8>

#include <penstock/base/unique_fd.hpp>

#include "apps/photos/image.hpp"
#include "apps/photos/image_messages.hpp"
#include "apps/photos/image_tiff.hpp"

namespace penstock::photos {
namespace {

using vips::VImage;

struct unrefs_object {
  void operator()(void* object) const noexcept { g_object_unref(object); }
};
struct unrefs_area {
  void operator()(VipsBlob* blob) const noexcept { vips_area_unref(VIPS_AREA(blob)); }
};

[[noreturn]] void refuse() { throw bad_photo("damaged or cut short: " + decoder_cause()); }

// Everything libvips refuses while a pipeline is put together or a header is read.
template <class Work>
auto guarded(Work work) {
  try {
    return work();
  } catch (const vips::VError&) {
    refuse();
  }
}

VImage load(const vips::VSource& source, photo_kind kind, const tiff_picture& tiff) {
  // "error" includes "truncated". Not "warning": TIFF readers warn of every private tag.
  auto* options = VImage::option()->set("access", VIPS_ACCESS_SEQUENTIAL)->set("fail_on", VIPS_FAIL_ON_ERROR);
  switch (kind) {
    case photo_kind::png:
      return VImage::pngload_source(source, options);
    case photo_kind::webp:
      return VImage::webpload_source(source, options);
    case photo_kind::tiff:
      options->set("page", tiff.page);
      if (tiff.subifd >= 0) options->set("subifd", tiff.subifd);
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

// The numbers that stand for none and for full of a colour.
struct number_range {
  double none;
  double full;
};

// Which numbers mean what, where the format alone does not say it: writers of 32-bit and signed files store the whole
// range of the format, or 0 to 1, or the values of an 8-bit or 16-bit photo. So the largest number of the photo decides.
number_range range_of(const tiff_picture& tiff, double least, double most) {
  if (tiff.format == number_format::floating) {
    // Up to sixteen times full: highlights of a photo whose range is 0 to 1.
    constexpr double brightest_highlight = 16;
    if (!(most > brightest_highlight)) return {0, 1};
    return {0, most <= 255.5 ? 255.0 : most <= 65535.5 ? 65535.0 : most};
  }
  const double half = std::ldexp(1.0, static_cast<int>(tiff.bits) - 1);
  const bool is_signed = tiff.format == number_format::signed_integer;
  if (is_signed && least < 0) return {-half, half - 1};
  for (const double full : {255.0, 32767.0, 65535.0}) {
    if (full == 32767.0 && !is_signed) continue;
    if (most <= full && full < half) return {0, full};
  }
  return {0, is_signed ? half - 1 : 2 * half - 1};
}

// Whether read() has to look at all numbers before it knows what they mean.
bool needs_range(const VImage& image, const tiff_picture& tiff) {
  return tiff.plain && image.format() != VIPS_FORMAT_UCHAR && image.format() != VIPS_FORMAT_USHORT;
}

// As unsigned 16-bit numbers, which everything after this understands.
VImage in_range(const VImage& image, const tiff_picture& tiff, number_range range) {
  // libvips has turned unsigned numbers already.
  if (tiff.white_is_zero && tiff.format != number_format::unsigned_integer) std::swap(range.none, range.full);
  const double factor = 65535 / (range.full - range.none);
  const bool cmyk = image.interpretation() == VIPS_INTERPRETATION_CMYK;
  return image.linear(factor, 0.5 - range.none * factor)
      .cast(VIPS_FORMAT_USHORT)
      .copy(VImage::option()->set("interpretation", cmyk                ? VIPS_INTERPRETATION_CMYK
                                                    : image.bands() < 3 ? VIPS_INTERPRETATION_GREY16
                                                                        : VIPS_INTERPRETATION_RGB16));
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
      forget_decoder_messages();  // a profile that does not fit counts as none
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

// A file as a source of libvips that keeps the error of a failed read: libvips would report what follows from it, and an
// unreadable file would count as a damaged one. Nor is it mapped into memory, where a card that is pulled out kills the
// process.
class file_source {
 public:
  explicit file_source(const std::filesystem::path& path)
      : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)) {
    if (!file_) throw std::system_error(errno, std::generic_category(), path.string());
    g_signal_connect(source_.get_source(), "read", G_CALLBACK(&read), this);
    g_signal_connect(source_.get_source(), "seek", G_CALLBACK(&seek), this);
  }
  file_source(const file_source&) = delete;
  file_source& operator=(const file_source&) = delete;

  [[nodiscard]] const vips::VSource& source() const noexcept { return source_; }
  [[nodiscard]] random_reader reader() const { return reader_of(file_.get()); }
  void throw_read_error() const {
    if (error_ != 0) throw std::system_error(error_, std::generic_category(), path_.string());
  }

 private:
  class custom_source : public vips::VSource {
   public:
    custom_source() : VSource(VIPS_SOURCE(vips_source_custom_new()), vips::STEAL) {}
  };

  static gint64 read(VipsSourceCustom*, void* into, gint64 size, file_source* self) {
    ssize_t got;
    do got = ::read(self->file_.get(), into, static_cast<std::size_t>(size));
    while (got < 0 && errno == EINTR);
    if (got < 0) self->error_ = errno;
    return got;
  }
  static gint64 seek(VipsSourceCustom*, gint64 offset, int whence, file_source* self) {
    const off_t at = ::lseek(self->file_.get(), offset, whence);
    if (at < 0) self->error_ = errno == EINVAL ? self->error_ : errno;  // EINVAL: a damaged file names such an offset
    return at;
  }

  const std::filesystem::path path_;
  const unique_fd file_;
  int error_ = 0;
  custom_source source_;
};

}  // namespace

struct vips_source::picture {
  const photo_kind kind;
  const tiff_picture tiff;
  const vips::VSource source;
  VImage image;  // set up by the constructor, or by read() where it must see all numbers first
  vips_header header;

  picture(const vips::VSource& from, photo_kind what, const tiff_picture& which)
      : kind(what), tiff(which), source(from) {
    const VImage loaded = guarded([&] { return load(source, kind, tiff); });
    header.size = {loaded.width(), loaded.height()};
    header.orientation = kind == photo_kind::tiff ? tiff.orientation : vips_image_get_orientation(loaded.get_image());
    header.exif = blob(loaded, VIPS_META_EXIF_NAME);
    header.icc = blob(loaded, VIPS_META_ICC_NAME);
    header.has_icc = !header.icc.empty();
    header.decoder_bytes = held_by_decoder(loaded, kind);
    if (needs_range(loaded, tiff))
      header.icc.clear();
    else
      finish(loaded);
  }

  void finish(const VImage& loaded) {
    guarded([&] {
      const VImage flat = opaque(loaded);
      if (!is_plain_rgb(flat)) header.icc.clear();
      image = to_eight_bit_rgb(flat, header.has_icc).bandjoin_const({255});
    });
    if (image.bands() != static_cast<int>(raster::pixel_bytes)) throw bad_photo("its colors are of no known kind");
  }

  // Two passes, because a decoder gives its rows once.
  void find_range_and_finish() {
    const number_range range = guarded([&] {
      const VImage numbers = load(source, kind, tiff).stats();  // first row: all bands; least, most, ...
      return range_of(tiff, *numbers.getpoint(0, 0).begin(), *numbers.getpoint(1, 0).begin());
    });
    finish(guarded([&] { return in_range(load(source, kind, tiff), tiff, range); }));
  }
};

vips_source::vips_source(std::span<const std::byte> bytes, photo_kind kind) {
  forget_decoder_messages();
  const tiff_picture tiff = kind == photo_kind::tiff ? choose_tiff_picture(reader_of(bytes)) : tiff_picture{};
  picture_ = std::make_unique<picture>(
      guarded([&] { return vips::VSource::new_from_memory(bytes.data(), bytes.size()); }), kind, tiff);
}

vips_source::~vips_source() = default;

vips_header vips_source::header_of(const std::filesystem::path& path, photo_kind kind) {
  forget_decoder_messages();
  file_source file(path);
  try {
    const tiff_picture tiff = kind == photo_kind::tiff ? choose_tiff_picture(file.reader()) : tiff_picture{};
    return picture(file.source(), kind, tiff).header;
  } catch (const bad_photo&) {
    file.throw_read_error();
    throw;
  }
}

const vips_header& vips_source::header() const noexcept { return picture_->header; }

void vips_source::read(reducer& out, const std::stop_token& stop) {
  constexpr int strip = 64;
  if (picture_->image.is_null()) picture_->find_range_and_finish();
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
  forget_decoder_messages();
  try {
    // Effort 0: the default takes thirty times as long for files a tenth smaller (photos of 2048 pixels: 4.8 s against
    // 0.15 s).
    return bytes_of(three_bands(picture).heifsave_buffer(VImage::option()
                                                             ->set("Q", quality)
                                                             ->set("compression", VIPS_FOREIGN_HEIF_COMPRESSION_AV1)
                                                             ->set("effort", 0)
                                                             ->set("strip", true)));
  } catch (const vips::VError&) {
    throw std::runtime_error("cannot write AVIF: " + decoder_cause());
  }
}

std::vector<std::byte> standard_cmyk_profile() {
  VipsBlob* loaded = nullptr;
  return vips_profile_load("cmyk", &loaded, nullptr) != 0 ? std::vector<std::byte>() : bytes_of(loaded);
}

}  // namespace penstock::photos
