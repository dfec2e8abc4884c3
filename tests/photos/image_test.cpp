#include "apps/photos/image.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <malloc.h>
#include <unistd.h>

// After <cstdio>: jpeglib.h uses FILE and does not declare it.
#include <jpeglib.h>

#include "tests/photos/photo_files.hpp"

#if defined(__SANITIZE_ADDRESS__)
#define PENSTOCK_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PENSTOCK_TEST_SANITIZED 1
#endif
#endif
#ifndef PENSTOCK_TEST_SANITIZED
#define PENSTOCK_TEST_SANITIZED 0
#endif

namespace penstock::photos {
namespace {

using namespace test_files;
using vips::VImage;

class image : public testing::Test {
 protected:
  image() { start_library(); }
};

// Formats as libvips' savers are asked for them. HEIC and AVIF at their fastest; lossless where the format has it, so
// that colours can be compared.
struct written_format {
  const char* name;
  const char* suffix;
};
const std::array<written_format, 8> formats{{{"JPEG", ".jpg[Q=92]"},
                                             {"JPEG", ".jpg[Q=92,interlace=true]"},
                                             {"PNG", ".png"},
                                             {"WebP", ".webp[Q=90]"},
                                             {"TIFF", ".tif[compression=lzw]"},
                                             {"GIF", ".gif"},
                                             {"HEIC", ".heic[Q=80,effort=0]"},
                                             {"AVIF", ".avif[Q=80,effort=0]"}}};

void expect_near(color is, color wanted, double tolerance) {
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(is.at(i), wanted.at(i), tolerance)
        << "channel " << i << " of (" << is[0] << " " << is[1] << " " << is[2] << ")";
  }
}

std::string reason_of_not_a_photo(const file_bytes& bytes) {
  try {
    static_cast<void>(make_renditions(bytes));
  } catch (const not_a_photo& why) {
    return why.what();
  }
  return "published";
}

std::string reason_of_bad_photo(const file_bytes& bytes, const rendition_options& options = {}) {
  try {
    static_cast<void>(make_renditions(bytes, options));
  } catch (const bad_photo& why) {
    return why.what();
  }
  return "published";
}

const rendition_options one_small{.sizes = {64}};

// ---- what is a photo

TEST_F(image, what_is_no_photo_is_told_apart_with_a_reason) {
  EXPECT_EQ(reason_of_not_a_photo({}), "empty file");
  EXPECT_EQ(reason_of_not_a_photo(bytes_of("Dear diary,\nno photo today.\n")), "not an image: starts like text");
  EXPECT_EQ(reason_of_not_a_photo(bytes_of("<?xml version='1.0'?><svg xmlns='http://www.w3.org/2000/svg'/>")),
            "SVG is not a photo");
  EXPECT_EQ(reason_of_not_a_photo(bytes_of("%PDF-1.7\n")), "PDF is not a photo");
  EXPECT_EQ(reason_of_not_a_photo(bytes_of(std::string_view("\0\0\0\x14"
                                                            "ftypisom\0\0\0\0mp41",
                                                            20))),
            "video");
  EXPECT_EQ(reason_of_not_a_photo(bytes_of(std::string_view("\0\0\0\x14"
                                                            "ftypcrx \0\0\0\0crx ",
                                                            20))),
            "camera RAW is not supported: publish the JPEG beside it");
  for (const std::string_view raw :
       {std::string_view("II\x1a\0\0\0HEAPCCDR\x02\0\x01\0", 18), std::string_view("\0MRM\0\1\2\3", 8),
        std::string_view("FUJIFILMCCD-RAW 0201"), std::string_view("FOVb\0\0\3\0", 8)})
    EXPECT_EQ(reason_of_not_a_photo(bytes_of(raw)), raw_reason);
  EXPECT_EQ(reason_of_not_a_photo(file_bytes(5000)), "nothing but zero bytes");
  EXPECT_EQ(reason_of_not_a_photo(file_bytes(5000, std::byte{0xff})), "nothing but 0xff bytes");
  EXPECT_EQ(reason_of_not_a_photo(bytes_of("\x03\x01\x04\x01\x05")), "not an image: unknown content");
}

TEST_F(image, a_raw_file_is_not_published_as_the_thumbnail_that_it_starts_with) {
  // A TIFF whose first directory says "reduced resolution version of another picture" (254 = 1), as NEF, ARW and DNG
  // do.
  const file_bytes raw =
      bytes_of(std::string_view("MM\0*\0\0\0\x08\0\x01\0\xfe\0\x04\0\0\0\x01\0\0\0\x01\0\0\0\0", 26));
  EXPECT_EQ(reason_of_not_a_photo(raw), "camera RAW is not supported: publish the JPEG beside it");
}

TEST_F(image, libvips_opens_no_file_that_is_dangerous_from_strangers) {
  const std::string svg = "<svg xmlns='http://www.w3.org/2000/svg' width='10' height='10'/>";
  EXPECT_THROW(VImage::new_from_buffer(svg.data(), svg.size(), ""), vips::VError);
  const auto path =
      std::filesystem::path(testing::TempDir()) / ("penstock_blocked_" + std::to_string(getpid()) + ".ppm");
  std::ofstream(path, std::ios::binary) << "P5 1 1 255 x";
  EXPECT_THROW(VImage::new_from_file(path.c_str()), vips::VError);
  std::filesystem::remove(path);
}

TEST_F(image, every_format_is_read_and_described) {
  for (const auto& [name, suffix] : formats) {
    SCOPED_TRACE(suffix);
    const file_bytes file = saved(scenery(300, 200), suffix);
    const image_info info = probe(file);
    EXPECT_EQ(info.format, name);
    EXPECT_EQ(info.width, 300);
    EXPECT_EQ(info.height, 200);
    EXPECT_EQ(info.pixels, 60000U);
    const auto made = make_renditions(file, {.sizes = {150}});
    ASSERT_EQ(made.renditions.size(), 1U);
    EXPECT_EQ(made.renditions[0].width, 150);
    EXPECT_EQ(made.renditions[0].height, 100);
    EXPECT_EQ(made.renditions[0].media_type, "image/jpeg");
    const VImage out = decoded(made.renditions[0]);
    EXPECT_EQ(out.width(), 150);
    EXPECT_EQ(out.height(), 100);
    expect_near(color_at(out, 0.25, 0.75), {85, 175, color_at(out, 0.25, 0.75)[2]}, 8);
  }
}

TEST_F(image, a_file_and_its_bytes_are_described_alike) {
  const auto path = std::filesystem::path(testing::TempDir()) / ("penstock_probe_" + std::to_string(getpid()));
  for (const auto& [name, suffix] : formats) {
    const file_bytes file = saved(scenery(300, 200), suffix);
    std::ofstream(path, std::ios::binary) << text_of(file);
    const image_info from_file = probe(path);
    const image_info from_bytes = probe(file);
    EXPECT_EQ(from_file.format, name);
    EXPECT_EQ(from_file.width, from_bytes.width);
    EXPECT_EQ(from_file.height, from_bytes.height);
    EXPECT_EQ(from_file.peak_bytes, from_bytes.peak_bytes);
  }
  std::filesystem::remove(path);
  EXPECT_THROW(static_cast<void>(probe(path)), std::system_error);
}

// ---- sizes

std::vector<std::pair<int, int>> sizes_of(const file_bytes& file, const rendition_options& options) {
  std::vector<std::pair<int, int>> sizes;
  for (const auto& r : make_renditions(file, options).renditions) {
    sizes.emplace_back(r.width, r.height);
    const VImage out = decoded(r);
    EXPECT_EQ(out.width(), r.width);
    EXPECT_EQ(out.height(), r.height);
  }
  return sizes;
}

TEST_F(image, sizes_are_longest_sides_largest_first) {
  using list = std::vector<std::pair<int, int>>;
  EXPECT_EQ(sizes_of(saved(scenery(2400, 1600), ".jpg"), {}), (list{{2048, 1365}, {1024, 683}, {320, 213}}));
  EXPECT_EQ(sizes_of(saved(scenery(800, 1200), ".jpg"), {.sizes = {320, 1024}}), (list{{683, 1024}, {213, 320}}));
}

TEST_F(image, a_photo_is_never_enlarged_and_equal_sizes_collapse) {
  using list = std::vector<std::pair<int, int>>;
  EXPECT_EQ(sizes_of(saved(scenery(200, 100), ".jpg"), {}), (list{{200, 100}}));
  EXPECT_EQ(sizes_of(saved(scenery(1000, 500), ".jpg"), {}), (list{{1000, 500}, {320, 160}}));
  EXPECT_EQ(sizes_of(saved(scenery(400, 400), ".jpg"), {.sizes = {64, 64}}), (list{{64, 64}}));
}

TEST_F(image, the_thinnest_photo_keeps_at_least_one_pixel) {
  using list = std::vector<std::pair<int, int>>;
  // One width means one file name: of the renditions one pixel wide only the largest is made.
  EXPECT_EQ(sizes_of(saved(scenery(1, 5000), ".png"), {}), (list{{1, 2048}}));
  EXPECT_EQ(sizes_of(saved(scenery(5000, 1), ".jpg"), {}), (list{{2048, 1}, {1024, 1}, {320, 1}}));
  EXPECT_EQ(sizes_of(saved(scenery(1, 1), ".jpg"), {}), (list{{1, 1}}));
}

TEST_F(image, every_format_can_be_published) {
  const file_bytes file = saved(scenery(300, 200), ".jpg[Q=95]");
  for (const auto& [format, type] : {std::pair{rendition_format::jpeg, "image/jpeg"},
                                     {rendition_format::webp, "image/webp"},
                                     {rendition_format::avif, "image/avif"}}) {
    const auto made = make_renditions(file, {.sizes = {150, 64}, .format = format});
    ASSERT_EQ(made.renditions.size(), 2U);
    EXPECT_EQ(made.renditions[0].media_type, type);
    const VImage out = decoded(made.renditions[0]);
    EXPECT_EQ(out.width(), 150);
    expect_near(color_at(out, 0.25, 0.75), {85, 175, color_at(out, 0.25, 0.75)[2]}, 10);
    EXPECT_EQ(out.get_typeof(VIPS_META_ICC_NAME), 0U);
  }
}

TEST_F(image, better_quality_is_a_larger_file) {
  const file_bytes file = saved(scenery(600, 400), ".jpg[Q=95]");
  for (const auto format : {rendition_format::jpeg, rendition_format::webp, rendition_format::avif}) {
    const auto size = [&](int quality) {
      return make_renditions(file, {.sizes = {600}, .format = format, .quality = quality}).renditions[0].bytes.size();
    };
    EXPECT_LT(size(30), size(95));
  }
}

// ---- which way is up

TEST_F(image, all_eight_orientations_end_upright) {
  constexpr color red{220, 30, 30}, blue{30, 30, 220}, grey{128, 128, 128};
  // Where the stored top left and top right corners are seen, as corners (0 or 1 across, 0 or 1 down).
  using corner = std::pair<double, double>;
  struct turned {
    corner red_at, blue_at;
  };
  const std::array<turned, 8> wanted{{{{0, 0}, {1, 0}},
                                      {{1, 0}, {0, 0}},
                                      {{1, 1}, {0, 1}},
                                      {{0, 1}, {1, 1}},
                                      {{0, 0}, {0, 1}},
                                      {{1, 0}, {1, 1}},
                                      {{1, 1}, {1, 0}},
                                      {{0, 1}, {0, 0}}}};
  VImage stored = flat(240, 160, grey);
  paint(stored, 0, 0, 60, 60, red);
  paint(stored, 180, 0, 60, 60, blue);
  const file_bytes jpeg = saved(stored, ".jpg[Q=95]");
  for (int orientation = 1; orientation <= 8; ++orientation) {
    SCOPED_TRACE(orientation);
    const file_bytes file = with_exif(jpeg, exif_block({.orientation = orientation}));
    const bool on_its_side = orientation >= 5;
    EXPECT_EQ(probe(file).width, on_its_side ? 160 : 240);
    EXPECT_EQ(probe(file).height, on_its_side ? 240 : 160);
    for (const auto& r : make_renditions(file, {.sizes = {2048, 120}}).renditions) {
      const VImage out = decoded(r);
      EXPECT_EQ(out.width() > out.height(), !on_its_side);
      const auto [red_at, blue_at] = wanted.at(static_cast<std::size_t>(orientation - 1));
      const auto inside = [](double c) { return 0.05 + 0.9 * c; };
      expect_near(color_at(out, inside(red_at.first), inside(red_at.second)), red, 8);
      expect_near(color_at(out, inside(blue_at.first), inside(blue_at.second)), blue, 8);
      expect_near(color_at(out, 0.5, 0.5), grey, 8);
      EXPECT_EQ(vips_image_get_orientation(out.get_image()), 1) << "a viewer would turn it again";
    }
  }
}

TEST_F(image, png_webp_and_tiff_are_turned_too) {
  VImage stored = flat(240, 160, {128, 128, 128});
  paint(stored, 0, 0, 60, 60, {220, 30, 30});
  const file_bytes block = exif_block({.orientation = 6});
  stored.set(VIPS_META_EXIF_NAME, static_cast<VipsCallbackFn>(nullptr), const_cast<std::byte*>(block.data()),
             block.size());
  stored.set(VIPS_META_ORIENTATION, 6);
  for (const char* suffix : {".png", ".webp[Q=95]", ".tif"}) {
    SCOPED_TRACE(suffix);
    const VImage out = decoded(make_renditions(saved(stored, suffix)).renditions[0]);
    EXPECT_EQ(out.width(), 160);
    expect_near(color_at(out, 0.95, 0.05), {220, 30, 30}, 10);
  }
}

// ---- colours

using matrix = std::array<std::array<double, 3>, 3>;

// The numbers that a space writes for an sRGB colour, by its definition (linear light through a matrix, then a power).
// Independent of lcms.
color written_in(const matrix& from_srgb, double power, color srgb) {
  color linear{}, out{};
  for (std::size_t i = 0; i < 3; ++i) {
    const double v = srgb.at(i) / 255;
    linear.at(i) = v <= 0.04045 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
  }
  for (std::size_t i = 0; i < 3; ++i) {
    const double v = from_srgb.at(i)[0] * linear[0] + from_srgb.at(i)[1] * linear[1] + from_srgb.at(i)[2] * linear[2];
    const double curved = power > 0        ? std::pow(v, 1 / power)
                          : v <= 0.0031308 ? 12.92 * v
                                           : 1.055 * std::pow(v, 1 / 2.4) - 0.055;
    out.at(i) = std::round(255 * curved);
  }
  return out;
}

constexpr matrix to_adobe{{{0.71512, 0.28488, 0}, {0, 1, 0}, {0, 0.04116, 0.95884}}};
constexpr matrix to_p3{{{0.82246, 0.17754, 0}, {0.03319, 0.96681, 0}, {0.01708, 0.07240, 0.91052}}};
constexpr matrix to_prophoto{{{0.52928, 0.33007, 0.14064}, {0.09837, 0.87347, 0.02816}, {0.01687, 0.11767, 0.86546}}};

TEST_F(image, photos_in_wide_color_spaces_look_the_same_in_srgb) {
  const color wanted{200, 60, 90};
  struct space {
    const char* name;
    file_bytes icc;
    matrix from_srgb;
    double power;
  };
  for (const space& s : {space{"Adobe RGB", system_profile("AdobeRGB1998"), to_adobe, 563.0 / 256},
                         space{"Display P3", profile("p3"), to_p3, 0},
                         space{"ProPhoto RGB", system_profile("ProPhotoRGB"), to_prophoto, 1.8}}) {
    SCOPED_TRACE(s.name);
    ASSERT_FALSE(s.icc.empty()) << "package colord-data";
    const color stored = written_in(s.from_srgb, s.power, wanted);
    ASSERT_GT(std::abs(stored[0] - wanted[0]) + std::abs(stored[1] - wanted[1]), 15) << "else this test could not fail";
    const VImage picture = with_profile(flat(200, 150, stored), s.icc);
    for (const char* suffix : {".jpg[Q=98,subsample-mode=off]", ".png", ".webp[lossless=true]", ".tif"}) {
      SCOPED_TRACE(suffix);
      const file_bytes file = saved(picture, suffix);
      EXPECT_TRUE(probe(file).has_icc);
      const VImage out = decoded(make_renditions(file, {.quality = 98}).renditions[0]);
      expect_near(color_at(out, 0.5, 0.5), wanted, 3);
      EXPECT_EQ(out.get_typeof(VIPS_META_ICC_NAME), 0U);
    }
    // Sixteen bits take another road: colours are changed before they are rounded to eight.
    const VImage wide = with_profile((flat(200, 150, stored) * 257.0)
                                         .cast(VIPS_FORMAT_USHORT)
                                         .copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_RGB16)),
                                     s.icc);
    expect_near(color_at(decoded(make_renditions(saved(wide, ".png"), {.quality = 98}).renditions[0]), 0.5, 0.5),
                wanted, 3);
  }
}

TEST_F(image, adobe_rgb_without_a_profile_is_believed_where_exif_says_so) {
  const color wanted{200, 60, 90};
  const file_bytes jpeg =
      saved(flat(200, 150, written_in(to_adobe, 563.0 / 256, wanted)), ".jpg[Q=98,subsample-mode=off]");
  const file_bytes marked = with_exif(jpeg, exif_block({.interoperability = {{1, "R03"}}}));
  expect_near(color_at(decoded(make_renditions(marked, {.quality = 98}).renditions[0]), 0.5, 0.5), wanted, 3);
}

TEST_F(image, a_damaged_profile_counts_as_none) {
  const color c{200, 60, 90};
  const file_bytes garbage = bytes_of(std::string(500, 'x'));
  for (const char* suffix : {".jpg[Q=98]", ".tif"}) {
    const VImage out = decoded(make_renditions(saved(with_profile(flat(64, 64, c), garbage), suffix)).renditions[0]);
    expect_near(color_at(out, 0.5, 0.5), c, 4);
  }
}

TEST_F(image, cmyk_is_brought_to_srgb_with_and_without_a_profile) {
  for (const color c : {color{200, 60, 90}, color{60, 140, 80}, color{250, 250, 250}}) {
    const VImage cmyk = flat(120, 90, c).icc_export(VImage::option()->set("output_profile", "cmyk")->set("depth", 8));
    // Ink is a smaller world than light: colours come back near, not exactly. How near is the profile's affair, so
    // libvips is asked too.
    const color wanted = color_at(cmyk.icc_transform("srgb", VImage::option()
                                                                 ->set("embedded", true)
                                                                 ->set("intent", VIPS_INTENT_RELATIVE)
                                                                 ->set("black_point_compensation", true)),
                                  0.5, 0.5);
    expect_near(wanted, c, 40);
    for (const char* suffix : {".jpg[Q=98]", ".jpg[Q=98,strip]", ".tif", ".tif[strip]"}) {
      SCOPED_TRACE(suffix);
      const VImage out = decoded(make_renditions(saved(cmyk, suffix)).renditions[0]);
      EXPECT_EQ(out.bands(), 3);
      expect_near(color_at(out, 0.5, 0.5), wanted, 4);
    }
  }
}

TEST_F(image, grey_sixteen_bit_and_transparent_pictures_become_plain_ones) {
  const VImage grey = flat(100, 80, {90, 90, 90})
                          .extract_band(0)
                          .copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_B_W));
  for (const char* suffix : {".jpg[Q=95]", ".png", ".tif"}) {
    expect_near(color_at(decoded(make_renditions(saved(grey, suffix)).renditions[0]), 0.5, 0.5), {90, 90, 90}, 3);
  }
  const VImage wide = (flat(100, 80, {200, 60, 90}) * 257.0)
                          .cast(VIPS_FORMAT_USHORT)
                          .copy(VImage::option()->set("interpretation", VIPS_INTERPRETATION_RGB16));
  for (const char* suffix : {".png", ".tif", ".heic[Q=95,bitdepth=10]"}) {
    expect_near(color_at(decoded(make_renditions(saved(wide, suffix)).renditions[0]), 0.5, 0.5), {200, 60, 90}, 4);
  }
  VImage half = flat(100, 80, {200, 0, 0}).bandjoin_const({128});
  VImage clear = flat(100, 80, {0, 0, 0}).bandjoin_const({0});
  for (const char* suffix : {".png", ".webp[lossless=true]", ".tif"}) {
    SCOPED_TRACE(suffix);
    expect_near(color_at(decoded(make_renditions(saved(half, suffix)).renditions[0]), 0.5, 0.5), {227, 127, 127}, 4);
    expect_near(color_at(decoded(make_renditions(saved(clear, suffix)).renditions[0]), 0.5, 0.5), {255, 255, 255}, 2);
  }
}

TEST_F(image, of_an_animation_the_first_picture_is_published) {
  VImage both = flat(80, 160, {200, 30, 30});
  paint(both, 0, 80, 80, 80, {30, 30, 200});
  both.set("page-height", 80);
  for (const char* suffix : {".gif", ".webp[Q=95]"}) {
    SCOPED_TRACE(suffix);
    const auto made = make_renditions(saved(both, suffix));
    EXPECT_EQ(made.renditions[0].height, 80);
    expect_near(color_at(decoded(made.renditions[0]), 0.5, 0.5), {200, 30, 30}, 12);
  }
}

// ---- what is published besides pixels

exif_text telling() {
  return {.first = {{0x010e, "Our house"},
                    {0x010f, "Acme"},
                    {0x0110, "Acme Snap 3"},
                    {0x013b, " J\xf6rg "},
                    {0x8298, "(c) J\xc3\xb6rg"}},
          .exif = {{0x9003, "2024:05:17 08:09:10"}, {0x9011, "+02:00"}, {0xa434, "35mm F2"}},
          .position = {{0x0001, "N"}, {0x001d, "2024:05:17"}}};
}

TEST_F(image, nothing_but_pixels_is_published) {
  const std::string private_text = "Exif GPS Acme house http://ns.adobe.com photoshop";
  for (const char* suffix : {".jpg", ".webp", ".png"}) {
    VImage picture = scenery(400, 300);
    const file_bytes block = exif_block(telling());
    const file_bytes xmp = bytes_of("<x:xmpmeta>http://ns.adobe.com Acme house</x:xmpmeta>");
    const auto keep_bytes = static_cast<VipsCallbackFn>(nullptr);
    picture.set(VIPS_META_EXIF_NAME, keep_bytes, const_cast<std::byte*>(block.data()), block.size());
    picture.set(VIPS_META_XMP_NAME, keep_bytes, const_cast<std::byte*>(xmp.data()), xmp.size());
    const file_bytes file = saved(picture, suffix);
    ASSERT_NE(text_of(file).find("Acme"), std::string::npos) << "else this test could not fail";
    for (const auto format : {rendition_format::jpeg, rendition_format::webp, rendition_format::avif}) {
      for (const auto& r : make_renditions(file, {.format = format, .keep = {"artist"}}).renditions) {
        const std::string raw = text_of(r.bytes);
        for (const char* word : {"Exif", "GPS", "Acme", "house", "adobe", "Snap", "2024", "ICC"}) {
          EXPECT_EQ(raw.find(word), std::string::npos) << word << " in " << r.media_type;
        }
        const VImage out = decoded(r);
        for (const char* name : {VIPS_META_EXIF_NAME, VIPS_META_XMP_NAME, VIPS_META_IPTC_NAME, VIPS_META_ICC_NAME}) {
          EXPECT_EQ(out.get_typeof(name), 0U) << name << " in " << r.media_type;
        }
      }
    }
  }
}

TEST_F(image, exiftool_finds_no_metadata_in_what_is_published) {
  const file_bytes file = with_exif(saved(scenery(400, 300), ".jpg"), exif_block(telling()));
  const auto path =
      std::filesystem::path(testing::TempDir()) / ("penstock_exiftool_" + std::to_string(getpid()) + ".jpg");
  const auto groups = [&](std::span<const std::byte> bytes) {
    std::ofstream(path, std::ios::binary) << text_of(bytes);
    std::string out;
    FILE* tool = popen(("exiftool -G0 -s " + path.string() + " 2>&1").c_str(), "r");
    for (int c = tool == nullptr ? EOF : std::fgetc(tool); c != EOF; c = std::fgetc(tool)) out += static_cast<char>(c);
    if (tool != nullptr) pclose(tool);
    std::filesystem::remove(path);
    return out;
  };
  const std::string before = groups(file);
  if (before.find("[File]") == std::string::npos) GTEST_SKIP() << "exiftool is not installed";
  ASSERT_NE(before.find("[EXIF]"), std::string::npos);
  const std::string after = groups(make_renditions(file).renditions[0].bytes);
  for (const char* group : {"[EXIF]", "[XMP]", "[IPTC]", "[ICC_Profile]", "[MakerNotes]", "[Photoshop]"}) {
    EXPECT_EQ(after.find(group), std::string::npos) << after;
  }
}

TEST_F(image, only_the_fields_that_were_asked_for_come_back) {
  const file_bytes file = with_exif(saved(scenery(64, 64), ".jpg"), exif_block(telling()));
  EXPECT_TRUE(make_renditions(file).fields.empty());
  const std::map<std::string, std::string> all{{"artist", "J\xc3\xb6rg"},        {"camera", "Acme Snap 3"},
                                               {"copyright", "(c) J\xc3\xb6rg"}, {"date", "2024-05-17T08:09:10+02:00"},
                                               {"description", "Our house"},     {"lens", "35mm F2"}};
  EXPECT_EQ(make_renditions(file, {.keep = {"artist", "camera", "copyright", "date", "description", "lens"}}).fields,
            all);
  EXPECT_EQ(make_renditions(file, {.keep = {"lens"}}).fields,
            (std::map<std::string, std::string>{{"lens", "35mm F2"}}));
}

TEST_F(image, options_that_cannot_be_met_are_refused_with_the_choice_there_is) {
  EXPECT_NO_THROW(check({}));
  EXPECT_THROW(check({.sizes = {}}), std::invalid_argument);
  EXPECT_THROW(check({.sizes = {2048, 0}}), std::invalid_argument);
  EXPECT_THROW(check({.quality = 101}), std::invalid_argument);
  EXPECT_THROW(check({.keep = {"gps"}}), std::invalid_argument);
}

// ---- damage

TEST_F(image, a_jpeg_cut_short_anywhere_is_refused) {
  for (const char* suffix : {".jpg[Q=90]", ".jpg[Q=90,interlace=true]"}) {
    const file_bytes whole = saved(scenery(640, 480), suffix);
    std::vector<std::size_t> cuts{whole.size() - 1, whole.size() - 2, whole.size() - 3, whole.size() - 40};
    for (std::size_t i = 1; i < 60; ++i) cuts.push_back(whole.size() * i / 60);
    for (const std::size_t cut : cuts) {
      const file_bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(cut));
      for (const int size : {640, 80}) {
        EXPECT_THROW(static_cast<void>(make_renditions(part, {.sizes = {size}})), bad_photo)
            << cut << " of " << whole.size() << " bytes";
      }
    }
  }
}

TEST_F(image, any_photo_cut_short_is_refused_or_lacks_no_pixel) {
  for (const auto& [name, suffix] : formats) {
    SCOPED_TRACE(suffix);
    const file_bytes whole = saved(scenery(320, 240), suffix);
    const auto wanted = make_renditions(whole, one_small).renditions[0].bytes;
    int refused = 0;
    for (std::size_t i = 1; i < 50; ++i) {
      const file_bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() * i / 50));
      try {
        EXPECT_EQ(make_renditions(part, one_small).renditions[0].bytes, wanted)
            << part.size() << " of " << whole.size() << " bytes";
      } catch (const bad_photo&) {
        ++refused;
      } catch (const not_a_photo&) {
        ++refused;
      }
    }
    EXPECT_GT(refused, 45);
  }
}

TEST_F(image, bytes_that_follow_a_jpeg_do_no_harm) {
  const file_bytes whole = saved(scenery(640, 480), ".jpg");
  const auto wanted = make_renditions(whole).renditions[0].bytes;
  file_bytes trailer = whole;  // as phones append a depth map or a second picture
  trailer.insert(trailer.end(), whole.begin(), whole.end());
  EXPECT_EQ(make_renditions(trailer).renditions[0].bytes, wanted);
  file_bytes padded = whole;  // as some cameras fill up to whole sectors before the end marker
  padded.insert(padded.end() - 2, 512, std::byte{0});
  EXPECT_EQ(make_renditions(padded).renditions[0].bytes, wanted);
}

TEST_F(image, damage_in_the_middle_of_a_jpeg_is_refused) {
  const file_bytes file = saved(scenery(640, 480), ".jpg");
  const auto middle = file.begin() + static_cast<std::ptrdiff_t>(file.size() / 2);
  file_bytes zeroed = file;
  std::fill_n(zeroed.begin() + (middle - file.begin()), 2000, std::byte{0});
  EXPECT_NE(reason_of_bad_photo(zeroed), "published");
  file_bytes shorter = file;
  shorter.erase(shorter.begin() + (middle - file.begin()), shorter.begin() + (middle - file.begin()) + 1500);
  EXPECT_NE(reason_of_bad_photo(shorter), "published");
  // The header tells of fewer rows than there are: all pixels come, and half of the data is left over.
  const auto frame = text_of(file).find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  file_bytes half = file;
  half[frame + 5] = std::byte{0};
  half[frame + 6] = std::byte{240};
  EXPECT_TRUE(reason_of_bad_photo(half).find("extraneous") != std::string::npos) << reason_of_bad_photo(half);
}

TEST_F(image, a_bomb_is_refused_by_its_header) {
  const file_bytes png = png_header(30000, 30000);
  EXPECT_EQ(reason_of_bad_photo(png),
            "too large: 30000 × 30000 pixels; the limit is 250000000 pixels: raise --max-pixels to publish this photo");
  EXPECT_THROW(static_cast<void>(probe(png)), bad_photo);

  file_bytes jpeg = saved(scenery(64, 64), ".jpg");
  const std::string text = text_of(jpeg);
  const auto frame = text.find("\xff\xc0");
  ASSERT_NE(frame, std::string::npos);
  for (const std::size_t i : {5U, 7U}) jpeg[frame + i] = std::byte{0xff};
  EXPECT_TRUE(reason_of_bad_photo(jpeg).starts_with("too large: 65")) << reason_of_bad_photo(jpeg);

  const file_bytes small = saved(scenery(100, 80), ".png");
  EXPECT_EQ(reason_of_bad_photo(small, {.max_pixels = 7999}),
            "too large: 100 × 80 pixels; the limit is 7999 pixels: raise --max-pixels to publish this photo");
  EXPECT_EQ(reason_of_bad_photo(small, {.max_pixels = 8000}), "published");
  EXPECT_TRUE(reason_of_bad_photo(png_header(1, 240'000)).ends_with("no side may be longer than 200000"));
}

// A picture of one colour in as many scans as the format allows: each coefficient of each channel on its own, bit by
// bit.
file_bytes jpeg_of_most_scans(int channels) {
  std::vector<jpeg_scan_info> scans;
  const auto scan = [&](int channel, int coefficient, int high, int low) {
    scans.push_back({1, {channel, 0, 0, 0}, coefficient, coefficient, high, low});
  };
  for (int channel = 0; channel < channels; ++channel) scan(channel, 0, 0, 0);
  for (int channel = 0; channel < channels; ++channel) {
    for (int coefficient = 1; coefficient < 64; ++coefficient) {
      scan(channel, coefficient, 0, 9);
      for (int bit = 9; bit > 0; --bit) scan(channel, coefficient, bit, bit - 1);
    }
  }
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* bytes = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &bytes, &size);
  jpeg.image_width = jpeg.image_height = 64;
  jpeg.input_components = channels;
  jpeg.in_color_space = channels == 1 ? JCS_GRAYSCALE : JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg.scan_info = scans.data();
  jpeg.num_scans = static_cast<int>(scans.size());
  jpeg_start_compress(&jpeg, TRUE);
  std::vector<unsigned char> row(static_cast<std::size_t>(64 * channels), 90);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW rows[] = {row.data()};
    jpeg_write_scanlines(&jpeg, rows, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  const auto* first = reinterpret_cast<const std::byte*>(bytes);
  file_bytes out(first, first + size);
  std::free(bytes);
  return out;
}

TEST_F(image, a_progressive_jpeg_of_very_many_scans_is_refused) {
  EXPECT_EQ(reason_of_bad_photo(jpeg_of_most_scans(1)), "published") << "631 scans are odd, and bearable";
  EXPECT_EQ(reason_of_bad_photo(jpeg_of_most_scans(3)), "damaged or cut short: more than 1000 progressive scans");
}

TEST_F(image, flipped_bits_end_in_a_picture_or_a_refusal) {
  constexpr std::uint32_t seeds = 60;
  const rendition_options options{.sizes = {32}, .max_pixels = 1'000'000, .keep = {"artist", "date", "camera"}};
  for (const auto& [name, suffix] : formats) {
    file_bytes whole = saved(scenery(96, 64), suffix);
    if (std::string(name) == "JPEG") whole = with_exif(whole, exif_block(telling()));
    for (std::uint32_t seed = 0; seed < seeds; ++seed) {
      SCOPED_TRACE(std::string(suffix) + ", seed " + std::to_string(seed));
      std::mt19937 random(seed);
      file_bytes file = whole;
      for (std::uint32_t flips = 1 + random() % 8; flips > 0; --flips) {
        // Half of the damage into the header, where the decisions are.
        const std::size_t reach = random() % 2 == 0 ? file.size() : std::min<std::size_t>(file.size(), 700);
        file[random() % reach] ^= static_cast<std::byte>(1U << random() % 8);
      }
      try {
        const auto made = make_renditions(file, options);
        EXPECT_GE(made.renditions.size(), 1U);
      } catch (const bad_photo&) {
      } catch (const not_a_photo&) {
      }
    }
  }
}

// ---- ending, threads, memory

TEST_F(image, a_requested_stop_ends_the_work) {
  std::stop_source stop;
  stop.request_stop();
  for (const auto& [name, suffix] : formats) {
    EXPECT_THROW(static_cast<void>(make_renditions(saved(scenery(64, 48), suffix), {}, stop.get_token())), cancelled);
  }
}

TEST_F(image, a_stop_at_any_moment_gives_cancelled_or_the_whole_result) {
  const file_bytes file = saved(scenery(1600, 1200), ".jpg[interlace=true]");
  const auto wanted = make_renditions(file).renditions.size();
  for (int round = 0; round < 20; ++round) {
    std::stop_source stop;
    std::jthread other([&] { stop.request_stop(); });
    try {
      EXPECT_EQ(make_renditions(file, {}, stop.get_token()).renditions.size(), wanted);
    } catch (const cancelled&) {
    }
  }
}

TEST_F(image, threads_do_not_disturb_each_other) {
  const file_bytes good = saved(scenery(640, 480), ".png");
  const file_bytes cut(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(good.size() / 2));
  const auto wanted = make_renditions(good).renditions[0].bytes;
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 5; ++round) {
        EXPECT_EQ(make_renditions(good).renditions[0].bytes, wanted);
        EXPECT_THROW(static_cast<void>(make_renditions(cut)), bad_photo);
      }
    });
  }
}

// The most resident memory that work() adds, in bytes. Not in a process of its own: libvips' threads do not survive a
// fork().
std::size_t peak_of(const std::function<void()>& work) {
  const auto kib = [](const char* name) {
    std::ifstream status("/proc/self/status");
    for (std::string line; std::getline(status, line);) {
      if (line.starts_with(name)) return std::stoul(line.substr(line.find_first_of("0123456789")));
    }
    return 0UL;
  };
  malloc_trim(0);                                 // what earlier work left over would be used again, and not be seen
  std::ofstream("/proc/self/clear_refs") << "5";  // forget the peak so far
  const std::size_t before = kib("VmRSS:");
  work();
  return 1024 * (kib("VmHWM:") - before);
}

TEST_F(image, making_renditions_takes_no_more_memory_than_was_foretold) {
  if (PENSTOCK_TEST_SANITIZED) GTEST_SKIP() << "the sanitizer's own memory would be measured";
  const VImage picture = scenery(2700, 1800);
  for (const char* suffix :
       {".jpg[Q=92]", ".jpg[Q=92,interlace=true]", ".jpg[Q=92,interlace=true,subsample-mode=off]",
        ".png[compression=1]", ".png[compression=1,interlace=true]", ".webp[Q=80,effort=0]", ".tif",
        ".tif[tile,tile-width=512,tile-height=512]", ".gif[effort=1]", ".webp[lossless=true,effort=0]",
        ".heic[Q=60,effort=0]", ".heic[Q=60,effort=0,bitdepth=10]", ".avif[Q=60,effort=0]"}) {
    const file_bytes file = saved(picture, suffix);
    const std::size_t foretold = probe(file).peak_bytes;
    const std::size_t taken = peak_of([&] { static_cast<void>(make_renditions(file)); });
    EXPECT_GT(taken, 0U);
    EXPECT_LE(taken, foretold) << suffix;
    EXPECT_LT(foretold, 6 * taken) << suffix << ": a bound so wide would leave processors idle";
    std::cout << suffix << ": " << (taken >> 20U) << " of " << (foretold >> 20U) << " MiB\n";
  }
  const file_bytes file = with_exif(saved(picture, ".jpg"), exif_block({.orientation = 6}));
  for (const auto format : {rendition_format::jpeg, rendition_format::webp, rendition_format::avif}) {
    const rendition_options options{.format = format};
    const std::size_t foretold = probe(file, options).peak_bytes;
    const std::size_t taken = peak_of([&] { static_cast<void>(make_renditions(file, options)); });
    EXPECT_LE(taken, foretold) << "published as format " << static_cast<int>(format);
    std::cout << "format " << static_cast<int>(format) << ": " << (taken >> 20U) << " of " << (foretold >> 20U)
              << " MiB\n";
  }
}

// ---- real cameras

TEST_F(image, every_jpeg_of_the_sample_packages_is_published) {
  std::size_t published = 0;
  for (const char* folder :
       {"/usr/share/forensics-samples/original-files", "/usr/share/backgrounds/mate", "/usr/share/wallpapers"}) {
    if (!std::filesystem::exists(folder)) continue;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || entry.is_symlink() || (extension != ".jpg" && extension != ".JPG")) continue;
      std::ifstream file(entry.path(), std::ios::binary);
      const file_bytes bytes = bytes_of(std::string(std::istreambuf_iterator<char>(file), {}));
      if (entry.path().filename() == "empty.jpg") continue;
      try {
        EXPECT_EQ(make_renditions(bytes, {.sizes = {320}}).renditions.size(), 1U);
        ++published;
      } catch (const std::exception& why) {
        ADD_FAILURE() << entry.path() << ": " << why.what();
      }
    }
  }
  if (published == 0)
    GTEST_SKIP() << "packages forensics-samples-files, mate-backgrounds, plasma-workspace-wallpapers are not installed";
}

}  // namespace
}  // namespace penstock::photos
