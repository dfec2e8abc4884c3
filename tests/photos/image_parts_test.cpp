// The parts of a rendition by themselves: what is hard to see from outside.
#include <algorithm>
#include <cstring>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "apps/photos/image.hpp"
#include "apps/photos/image_color.hpp"
#include "apps/photos/image_exif.hpp"
#include "apps/photos/image_jpeg.hpp"
#include "apps/photos/image_resize.hpp"
#include "apps/photos/image_vips.hpp"
#include "tests/photos/photo_files.hpp"

namespace penstock::photos {
namespace {

using namespace test_files;

raster noise(extent size, std::uint32_t seed) {
  std::mt19937 random(seed);
  raster out(size);
  for (int y = 0; y < size.height; ++y)
    std::generate_n(out.row(y), out.row_bytes(), [&] { return static_cast<std::uint8_t>(random()); });
  return out;
}

raster reduce(const raster& source, extent to, arithmetic how) {
  reducer r(source.size(), to, how);
  for (int y = 0; y < source.size().height; ++y) {
    std::memcpy(r.row(), source.row(y), source.row_bytes());
    r.row_done();
  }
  return r.take();
}

bool same_pixels(const raster& a, const raster& b) {
  return a.size() == b.size() && std::memcmp(a.row(0), b.row(0), a.bytes()) == 0;
}

TEST(image_resize, vector_and_plain_arithmetic_give_the_same_bytes) {
  std::mt19937 random(7);
  for (std::uint32_t round = 0; round < 60; ++round) {
    const extent from{1 + static_cast<int>(random() % 150), 1 + static_cast<int>(random() % 150)};
    const extent to{1 + static_cast<int>(random() % static_cast<std::uint32_t>(from.width)),
                    1 + static_cast<int>(random() % static_cast<std::uint32_t>(from.height))};
    const raster source = noise(from, round);
    EXPECT_TRUE(same_pixels(reduce(source, to, arithmetic::fastest), reduce(source, to, arithmetic::plain)))
        << from.width << "x" << from.height << " to " << to.width << "x" << to.height;
  }
}

TEST(image_resize, the_same_size_gives_the_same_pixels) {
  const raster source = noise({37, 23}, 1);
  EXPECT_TRUE(same_pixels(reduced(source, {37, 23}), source));
}

TEST(image_resize, a_plain_area_stays_exactly_as_it_is) {
  for (const int value : {0, 1, 100, 254, 255}) {
    raster source({101, 67});
    std::memset(source.row(0), value, source.bytes());
    for (const extent to : {extent{100, 66}, extent{50, 33}, extent{7, 5}, extent{1, 1}}) {
      const raster small = reduced(source, to);
      EXPECT_TRUE(std::all_of(small.row(0), small.row(0) + small.bytes(), [&](std::uint8_t v) { return v == value; }))
          << value;
    }
  }
}

TEST(image_resize, each_place_is_weighed_to_exactly_one) {
  for (const auto& [from, to] : {std::pair{4000, 2048}, {2048, 320}, {7, 3}, {5000, 1}, {9, 9}, {200'000, 16}}) {
    const weights w = lanczos_weights(from, to);
    for (int x = 0; x < to; ++x) {
      int sum = 0;
      for (int t = 0; t < w.taps; ++t) {
        const int weight =
            w.value[static_cast<std::size_t>(x) * static_cast<std::size_t>(w.taps) + static_cast<std::size_t>(t)];
        sum += weight;
        EXPECT_TRUE(weight == 0 || w.first[static_cast<std::size_t>(x)] + t < from);
      }
      EXPECT_EQ(sum, 1 << 14);
    }
  }
}

TEST(image_resize, agrees_with_libvips) {
  start_library();
  // Noise: in it every weight of the filter shows. On smooth pictures all filters agree.
  const raster source = noise({600, 400}, 5);
  const vips::VImage picture = vips::VImage::new_from_memory(const_cast<std::uint8_t*>(source.row(0)), source.bytes(),
                                                             600, 400, 4, VIPS_FORMAT_UCHAR);
  const raster ours = reduced(source, {250, 167});
  const vips::VImage wanted =
      picture.resize(250.0 / 600, vips::VImage::option()->set("vscale", 167.0 / 400)).copy_memory();
  ASSERT_EQ(wanted.width(), 250);
  ASSERT_EQ(wanted.height(), 167);
  const vips::VImage result = vips::VImage::new_from_memory(const_cast<std::uint8_t*>(ours.row(0)), ours.bytes(), 250,
                                                            167, 4, VIPS_FORMAT_UCHAR);
  // Inside the outermost pixels, where libvips goes on with the edge's colour and this leaves off.
  const vips::VImage difference = (result - wanted).abs().crop(8, 8, 234, 151);
  EXPECT_LT(difference.avg(), 1.0) << difference.max();
}

TEST(image_raster, turning_four_times_by_a_quarter_changes_nothing) {
  const raster source = noise({70, 41}, 3);
  raster turned = reduced(source, source.size());
  for (int i = 0; i < 4; ++i) turned = turn(std::move(turned), 6);
  EXPECT_TRUE(same_pixels(turned, source));
  EXPECT_TRUE(same_pixels(turn(turn(reduced(source, source.size()), 6), 8), source));
  for (const int mirrored : {2, 3, 4, 5, 7}) {
    EXPECT_TRUE(same_pixels(turn(turn(reduced(source, source.size()), mirrored), mirrored), source)) << mirrored;
  }
}

TEST(image_color, profiles_are_recognised_by_what_they_do) {
  start_library();
  EXPECT_TRUE(is_srgb(profile("srgb")));
  EXPECT_FALSE(is_srgb(profile("p3")));
  EXPECT_FALSE(is_srgb(profile("cmyk")));
  EXPECT_FALSE(is_srgb({}));
  EXPECT_FALSE(is_srgb(bytes_of("sRGB IEC61966-2.1")));
  const file_bytes srgb = system_profile("sRGB");
  if (srgb.empty()) GTEST_SKIP() << "package colord-data is not installed";
  EXPECT_TRUE(is_srgb(srgb));
  for (const char* other : {"AdobeRGB1998", "ProPhotoRGB", "AppleRGB", "WideGamutRGB", "ECI-RGBv2",
                            "SwappedRedAndGreen", "PAL-RGB", "SMPTE-C-RGB"}) {
    const file_bytes icc = system_profile(other);
    ASSERT_FALSE(icc.empty()) << other;
    EXPECT_FALSE(is_srgb(icc)) << other;
    EXPECT_NE(color_change::of(icc, pixel_colors::rgb), nullptr) << other;
  }
  EXPECT_EQ(color_change::of(srgb, pixel_colors::rgb), nullptr);
  EXPECT_EQ(color_change::of(profile("cmyk"), pixel_colors::rgb), nullptr)
      << "a profile for other colors counts as none";
}

TEST(image_exif, damage_is_absence) {
  const file_bytes whole = exif_block({.first = {{0x013b, "Somebody with a long name"}}, .orientation = 6});
  EXPECT_EQ(read_exif(whole).orientation, 6);
  EXPECT_EQ(read_exif(whole).fields.at("artist"), "Somebody with a long name");
  EXPECT_EQ(read_exif({}).orientation, 1);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const exif_facts facts = read_exif(std::span(whole).first(size));
    EXPECT_TRUE(facts.orientation == 1 || facts.orientation == 6);
  }
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    file_bytes bent = whole;
    for (int i = 0; i < 4; ++i) bent[random() % bent.size()] = static_cast<std::byte>(random());
    const exif_facts facts = read_exif(bent);
    EXPECT_TRUE(facts.orientation >= 1 && facts.orientation <= 8);
  }
}

TEST(image_exif, a_clock_that_was_never_set_is_no_date) {
  for (const char* date : {"0000:00:00 00:00:00", "    :  :     :  :  ", "2024-05-17 08:09:10", "2024:05:17"}) {
    EXPECT_TRUE(read_exif(exif_block({.exif = {{0x9003, date}}})).fields.empty()) << date;
  }
  EXPECT_EQ(read_exif(exif_block({.exif = {{0x9003, "2024:05:17 08:09:10"}}})).fields.at("date"),
            "2024-05-17T08:09:10");
}

TEST(image_jpeg, a_stop_is_noticed_inside_the_decoder) {
  start_library();
  std::stop_source stop;
  stop.request_stop();
  for (const char* suffix : {".jpg", ".jpg[interlace=true]"}) {
    const file_bytes file = saved(scenery(64, 64), suffix);
    jpeg_source source(file);
    reducer out({64, 64}, {32, 32});
    EXPECT_THROW(source.read(1, true, out, stop.get_token()), cancelled);
  }
  const file_bytes png = saved(scenery(64, 64), ".png");
  vips_source source(png, photo_kind::png);
  reducer out({64, 64}, {32, 32});
  EXPECT_THROW(source.read(out, stop.get_token()), cancelled);
}

}  // namespace
}  // namespace penstock::photos
