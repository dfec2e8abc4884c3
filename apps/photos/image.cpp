#include "apps/photos/image.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <functional>
#include <string_view>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <vips/vips8>

#include <penstock/base/unique_fd.hpp>

#include "apps/photos/image_color.hpp"
#include "apps/photos/image_exif.hpp"
#include "apps/photos/image_jpeg.hpp"
#include "apps/photos/image_messages.hpp"
#include "apps/photos/image_resize.hpp"
#include "apps/photos/image_vips.hpp"
#include "apps/photos/image_webp.hpp"

namespace penstock::photos {
namespace {

// Of a million photos none is longer; and the reducer's tables grow with the factor, so there must be a limit.
constexpr int longest_side = 200'000;

// A reduction by at least this much hides the colour steps that plain doubling of 4:2:0 leaves.
constexpr double hides_color_steps = 1.5;

constexpr std::array fields_on_offer{"copyright", "artist", "description", "date", "camera", "lens"};

bool is_on_its_side(int orientation) { return orientation >= 5; }

extent upright(extent stored, int orientation) {
  return is_on_its_side(orientation) ? extent{stored.height, stored.width} : stored;
}

// The extent with this longest side, of the same shape; never larger, never thinner than one pixel.
extent within(extent whole, int longest) {
  const int side = std::max(whole.width, whole.height);
  if (side <= longest) return whole;
  const double factor = static_cast<double>(longest) / side;
  const auto scaled = [&](int length) { return std::max(1, static_cast<int>(std::lround(length * factor))); };
  return {scaled(whole.width), scaled(whole.height)};
}

// What is to be made, largest first. Renditions are told apart by their width: of several with the same one only the
// largest is of use.
std::vector<extent> targets(extent whole, std::vector<int> sizes) {
  std::ranges::sort(sizes, std::greater());
  std::vector<extent> wanted;
  for (const int size : sizes) {
    const extent next = within(whole, size);
    if (wanted.empty() || wanted.back().width != next.width) wanted.push_back(next);
  }
  return wanted;
}

void refuse_if_too_large(extent size, const rendition_options& options) {
  const auto pixels = static_cast<std::uint64_t>(size.width) * static_cast<std::uint64_t>(size.height);
  const std::string what = std::to_string(size.width) + " × " + std::to_string(size.height) + " pixels";
  if (pixels > options.max_pixels) {
    throw bad_photo("too large: " + what + "; the limit is " + std::to_string(options.max_pixels) +
                    " pixels: raise --max-pixels to publish this photo");
  }
  if (std::max(size.width, size.height) > longest_side) {
    throw bad_photo("too large: " + what + "; no side may be longer than " + std::to_string(longest_side));
  }
}

// How far the decoder itself can reduce (1, 2, 4 or 8) and leave at least as many pixels as are wanted.
int decoder_factor(extent stored, extent wanted) {
  int factor = 8;
  while (factor > 1 && (stored.width / factor < wanted.width || stored.height / factor < wanted.height)) factor /= 2;
  return factor;
}

std::vector<std::byte> encode(const raster& picture, const rendition_options& options, const std::stop_token& stop) {
  const auto quality = [&](int usual) { return options.quality == 0 ? usual : options.quality; };
  switch (options.format) {
    case rendition_format::jpeg:
      return jpeg_bytes(picture, quality(82));
    case rendition_format::webp:
      return webp_bytes(picture, quality(80), stop);
    case rendition_format::avif:
      return avif_bytes(picture, quality(55));
  }
  return {};
}

const char* media_type(rendition_format format) {
  switch (format) {
    case rendition_format::jpeg:
      return "image/jpeg";
    case rendition_format::webp:
      return "image/webp";
    case rendition_format::avif:
      return "image/avif";
  }
  return "";
}

// Working memory of the encoder, per pixel of the largest rendition; measured (image_test.cpp), rounded up.
std::size_t encoder_bytes_per_pixel(rendition_format format) {
  switch (format) {
    case rendition_format::jpeg:
      return 3;
    case rendition_format::webp:
      return 8;
    case rendition_format::avif:
      return 40;
  }
  return 0;
}

// Upper bound of what make_renditions() takes. `decoded` is the size that leaves the decoder, `decoder` what it holds.
std::size_t peak_bytes(extent decoded, extent largest, std::size_t decoder, const rendition_options& options) {
  const auto width = static_cast<std::size_t>(decoded.width);
  const std::size_t factor = static_cast<std::size_t>(std::max(decoded.height / std::max(largest.height, 1),
                                                               decoded.width / std::max(largest.width, 1))) +
                             1;
  const std::size_t kept_rows = 6 * factor + 8;  // the reducer's
  const std::size_t decoder_rows = 256;          // strips, rows of coefficients, colour buffers
  const std::size_t pixels = static_cast<std::size_t>(largest.width) * static_cast<std::size_t>(largest.height);
  const std::size_t rasters =
      2 * raster::pixel_bytes * pixels;     // before and after turning, or one and the next smaller
  constexpr std::size_t fixed = 4U << 20U;  // tables, profiles, the libraries' own
  return fixed + decoder + width * raster::pixel_bytes * (kept_rows + decoder_rows) + rasters +
         encoder_bytes_per_pixel(options.format) * pixels;
}

image_info info_of(photo_kind kind, extent size, bool has_icc, std::size_t peak) {
  image_info about;
  about.format = name_of(kind);
  about.width = size.width;
  about.height = size.height;
  about.pixels = static_cast<std::uint64_t>(size.width) * static_cast<std::uint64_t>(size.height);
  about.has_icc = has_icc;
  about.peak_bytes = peak;
  return about;
}

image_info info_of(const vips_header& header, photo_kind kind, const rendition_options& options) {
  const extent size = upright(header.size, header.orientation);
  const extent largest = upright(targets(size, options.sizes).front(), header.orientation);
  return info_of(kind, size, header.has_icc, peak_bytes(header.size, largest, header.decoder_bytes, options));
}

// A photo whose header has been read, of whichever kind.
struct opened {
  photo_kind kind;
  std::unique_ptr<jpeg_source> jpeg;  // exactly one of the two
  std::unique_ptr<vips_source> other;
  extent stored;
  int orientation = 1;
  exif_facts exif;

  opened(std::span<const std::byte> bytes, photo_kind what) : kind(what) {
    if (kind == photo_kind::jpeg) {
      jpeg = std::make_unique<jpeg_source>(bytes);
      stored = jpeg->header().size;
      exif = read_exif(jpeg->header().exif);
      orientation = exif.orientation;
    } else {
      other = std::make_unique<vips_source>(bytes, kind);
      stored = other->header().size;
      orientation = other->header().orientation;
      // A TIFF file is the structure that EXIF is written in.
      exif = read_exif(kind == photo_kind::tiff ? bytes : std::span<const std::byte>(other->header().exif));
    }
  }

  [[nodiscard]] extent size() const { return upright(stored, orientation); }
  [[nodiscard]] bool has_icc() const { return jpeg ? !jpeg->header().icc.empty() : other->header().has_icc; }

  // What the largest rendition measures before it is turned upright.
  [[nodiscard]] extent first_target(const rendition_options& options) const {
    return upright(targets(size(), options.sizes).front(), orientation);
  }

  [[nodiscard]] int factor(const rendition_options& options) const {
    return jpeg ? decoder_factor(stored, first_target(options)) : 1;
  }

  [[nodiscard]] image_info info(const rendition_options& options) const {
    if (!jpeg) return info_of(other->header(), kind, options);
    const extent decoded = jpeg->reduced_by(factor(options));
    return info_of(kind, size(), has_icc(),
                   peak_bytes(decoded, first_target(options), jpeg->header().coefficient_bytes, options));
  }

  // The pixels of the largest rendition, upright and in sRGB.
  raster largest(const rendition_options& options, const std::stop_token& stop) {
    const extent wanted = first_target(options);
    const extent decoded = jpeg ? jpeg->reduced_by(factor(options)) : stored;
    raster picture;
    {
      reducer out(decoded, wanted);
      if (jpeg) {
        jpeg->read(factor(options), decoded.width < hides_color_steps * wanted.width, out, stop);
      } else {
        other->read(out, stop);
      }
      picture = out.take();
    }
    if (const auto change = to_srgb()) change->apply(picture);
    jpeg.reset();
    other.reset();
    return turn(std::move(picture), orientation);
  }

  [[nodiscard]] std::unique_ptr<color_change> to_srgb() const {
    if (!jpeg) return color_change::of(other->header().icc, pixel_colors::rgb);
    const jpeg_header& header = jpeg->header();
    const bool cmyk = header.colors == pixel_colors::cmyk || header.colors == pixel_colors::cmyk_inverted;
    if (cmyk) return color_change::of(header.icc, header.colors, standard_cmyk_profile());
    if (header.icc.empty() && exif.adobe_rgb && header.colors == pixel_colors::rgb) return color_change::of_adobe_rgb();
    return color_change::of(header.icc, header.colors);
  }
};

void stop_point(const std::stop_token& stop) {
  if (stop.stop_requested()) throw cancelled();
}

// As much of a file's beginning as asked for, or all of it.
std::vector<std::byte> beginning(const std::filesystem::path& file, std::size_t most) {
  const unique_fd opened_file(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!opened_file) throw std::system_error(errno, std::generic_category(), file.string());
  std::vector<std::byte> bytes(most);
  std::size_t size = 0;
  while (size < most) {
    const ssize_t got = ::read(opened_file.get(), bytes.data() + size, most - size);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), file.string());
    if (got == 0) break;
    size += static_cast<std::size_t>(got);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace

image_library::image_library() {
  keep_decoder_warnings();
  if (VIPS_INIT("penstock") != 0) throw std::runtime_error("libvips cannot start: " + decoder_cause());
  // No reader that libvips' authors would not put before a stranger's file: SVG, PDF, ImageMagick and a dozen more.
  vips_block_untrusted_set(TRUE);
  // The pipeline's workers are the parallelism. One operation is never asked for twice, so a cache would only hold
  // memory.
  vips_concurrency_set(1);
  vips_cache_set_max(0);
  vips_cache_set_max_mem(0);
  vips_cache_set_max_files(0);
}

image_library::~image_library() { vips_shutdown(); }

void check(const rendition_options& options) {
  if (options.sizes.empty()) throw std::invalid_argument("no sizes: name at least one, such as 2048");
  for (const int size : options.sizes) {
    if (size < 16 || size > 16384)
      throw std::invalid_argument("size " + std::to_string(size) + " is not between 16 and 16384 pixels");
  }
  if (options.quality < 0 || options.quality > 100) {
    throw std::invalid_argument("quality " + std::to_string(options.quality) + " is not between 1 and 100");
  }
  for (const std::string& name : options.keep) {
    if (std::ranges::find(fields_on_offer, name) == fields_on_offer.end()) {
      throw std::invalid_argument("cannot keep '" + name +
                                  "': choose among copyright, artist, description, date, camera, lens");
    }
  }
}

image_info probe(std::span<const std::byte> bytes, const rendition_options& options) {
  check(options);
  const opened photo(bytes, kind_of(bytes));
  refuse_if_too_large(photo.stored, options);
  return photo.info(options);
}

image_info probe(const std::filesystem::path& file, const rendition_options& options) {
  check(options);
  // A JPEG's header is seldom longer: EXIF with its thumbnail 64 KB, a profile. Where it is, the whole file is looked
  // at.
  constexpr std::size_t usual_header = 256U << 10U;
  std::vector<std::byte> bytes = beginning(file, usual_header);
  const photo_kind kind = kind_of(bytes);
  if (kind == photo_kind::jpeg) {
    try {
      return probe(bytes, options);
    } catch (const bad_photo&) {
      if (bytes.size() < usual_header) throw;
      bytes = beginning(file, std::filesystem::file_size(file));
      return probe(bytes, options);
    }
  }
  const vips_header header = vips_source::header_of(file, kind);
  refuse_if_too_large(header.size, options);
  return info_of(header, kind, options);
}

rendition_set make_renditions(std::span<const std::byte> bytes, const rendition_options& options,
                              const std::stop_token& stop) {
  check(options);
  stop_point(stop);
  opened photo(bytes, kind_of(bytes));
  refuse_if_too_large(photo.stored, options);

  rendition_set result;
  for (const std::string& name : options.keep) {
    if (const auto field = photo.exif.fields.find(name); field != photo.exif.fields.end()) result.fields.insert(*field);
  }
  raster picture;
  for (const extent size : targets(photo.size(), options.sizes)) {
    picture = result.renditions.empty() ? photo.largest(options, stop) : reduced(picture, size);
    stop_point(stop);
    result.renditions.push_back({size.width, size.height, media_type(options.format), encode(picture, options, stop)});
  }
  stop_point(stop);
  return result;
}

}  // namespace penstock::photos
