// Which picture of a TIFF file is published, what is a camera's RAW file, and what its numbers mean.
#include "apps/photos/image_tiff.hpp"

#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "apps/photos/image.hpp"
#include "tests/photos/tiff_files.hpp"

namespace penstock::photos {
namespace {

using namespace test_files;

class tiff : public testing::Test {
 protected:
  tiff() { start_library(); }
};

constexpr std::array<tiff_flavor, 3> flavors{tiff_flavor::little_endian, tiff_flavor::big_endian,
                                             tiff_flavor::big_tiff};
constexpr std::array<std::uint8_t, 3> red{200, 30, 30}, green{30, 180, 30};

// "96x72 (30 180 30)", or why there is none.
std::string published(const file_bytes& file) {
  try {
    const auto made = make_renditions(file, {.quality = 100});
    const color c = color_at(decoded(made.renditions[0]), 0.5, 0.5);
    const auto near = [](double is, double wanted) { return std::abs(is - wanted) < 6; };
    const auto is = [&](std::array<std::uint8_t, 3> wanted) {
      return near(c[0], wanted[0]) && near(c[1], wanted[1]) && near(c[2], wanted[2]);
    };
    return std::to_string(made.renditions[0].width) + "x" + std::to_string(made.renditions[0].height) +
           (is(red)     ? " red"
            : is(green) ? " green"
                        : " of another color");
  } catch (const not_a_photo& why) {
    return why.what() == std::string(raw_reason) ? "RAW" : why.what();
  } catch (const bad_photo& why) {
    return why.what();
  }
}

tiff_directory with(tiff_directory d, std::uint16_t tag, std::uint32_t value) {
  d.tags[tag] = {value};
  return d;
}
tiff_directory reduced(tiff_directory d) { return with(std::move(d), 254, 1); }

tiff_directory mosaic(std::uint32_t photometric = 32803) {
  auto d =
      ramp(96, 72, 1, 16, 1, [](file_bytes& to, double v) { put_number(to, static_cast<std::uint16_t>(v * 4095)); });
  d.tags[262] = {photometric};
  return d;
}

TEST_F(tiff, a_raw_file_is_recognized_wherever_its_mark_stands) {
  const auto stamp = plain_picture(48, 36, red);
  for (const auto flavor : flavors) {
    SCOPED_TRACE(static_cast<int>(flavor));
    for (const auto& small : {stamp, reduced(stamp)}) {
      auto parent = small;
      parent.below = {mosaic()};
      EXPECT_EQ(published(tiff_file({parent}, flavor)), "RAW") << "below the thumbnail";
      parent.below = {reduced(plain_picture(20, 15, red)), mosaic(34892)};
      EXPECT_EQ(published(tiff_file({parent}, flavor)), "RAW") << "the second one below";
      auto nested = small;
      nested.below = {parent};
      EXPECT_EQ(published(tiff_file({nested}, flavor)), "RAW") << "two levels below";
      EXPECT_EQ(published(tiff_file({small, mosaic()}, flavor)), "RAW") << "the second in the chain";
      EXPECT_EQ(published(tiff_file({small, small, small, mosaic()}, flavor)), "RAW") << "the last in the chain";
      auto below_the_last = small;
      below_the_last.below = {mosaic()};
      EXPECT_EQ(published(tiff_file({small, below_the_last}, flavor)), "RAW") << "below the second";
    }
    EXPECT_EQ(published(tiff_file({mosaic()}, flavor)), "RAW");
    for (const std::uint32_t dng : {1U, 0x00000401U})
      EXPECT_EQ(published(tiff_file({with(stamp, 50706, dng)}, flavor)), "RAW") << "DNG version";
    for (const std::uint32_t camera : {32767U, 32769U, 32770U, 34713U, 65000U, 65535U}) {
      auto parent = stamp;
      parent.below = {with(mosaic(1), 259, camera)};
      EXPECT_EQ(published(tiff_file({parent}, flavor)), "RAW") << "compression " << camera;
    }
    EXPECT_EQ(published(tiff_file({with(stamp, 33422, 0x02010100)}, flavor)), "RAW") << "CFA pattern";
    EXPECT_EQ(published(tiff_file({reduced(stamp)}, flavor)), "RAW") << "nothing but a thumbnail";
  }
}

TEST_F(tiff, the_full_size_picture_is_published_wherever_it_stands) {
  const auto stamp = plain_picture(48, 36, red), whole = plain_picture(96, 72, green);
  for (const auto flavor : flavors) {
    SCOPED_TRACE(static_cast<int>(flavor));
    const auto expect_whole = [&](const std::vector<tiff_directory>& chain) {
      EXPECT_EQ(published(tiff_file(chain, flavor)), "96x72 green");
    };
    expect_whole({whole});
    expect_whole({stamp, whole});
    expect_whole({whole, stamp});
    expect_whole({reduced(stamp), whole});
    expect_whole({stamp, reduced(stamp), whole});
    auto parent = reduced(stamp);
    parent.below = {whole};
    expect_whole({parent});
    parent.below = {reduced(stamp), whole};
    expect_whole({parent});
    parent = stamp;
    parent.below = {whole};
    expect_whole({parent});
    parent = whole;
    parent.below = {reduced(stamp)};
    expect_whole({parent});
    // Larger, and of the same photo, but a mask.
    expect_whole({whole, with(with(plain_picture(300, 200, red), 254, 4), 262, 4)});
    // The first page of a document whose pages differ a little in size.
    expect_whole({whole, plain_picture(100, 75, red)});
  }
}

TEST_F(tiff, the_orientation_of_the_chosen_picture_counts_and_is_inherited_from_above) {
  auto parent = with(reduced(plain_picture(48, 36, red)), 274, 6);
  parent.below = {plain_picture(96, 72, green)};
  EXPECT_EQ(published(tiff_file({parent})), "72x96 green");
  EXPECT_EQ(
      published(tiff_file({with(plain_picture(48, 36, red), 274, 1), with(plain_picture(96, 72, green), 274, 8)})),
      "72x96 green");
}

TEST_F(tiff, a_file_that_is_cut_short_is_never_published_as_what_is_left) {
  auto parent = plain_picture(48, 36, red);
  parent.below = {plain_picture(96, 72, green)};
  for (const auto flavor : flavors) {
    const file_bytes file = tiff_file({parent, plain_picture(90, 70, green)}, flavor);
    for (std::size_t size = 0; size < file.size() - 8; size += 97) {
      const file_bytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
      try {
        static_cast<void>(make_renditions(cut));
        FAIL() << "published with " << size << " of " << file.size() << " bytes";
      } catch (const not_a_photo&) {  // a few bytes do not say what they are
        EXPECT_LT(size, 97U * 2);
      } catch (const bad_photo&) {
      }
    }
  }
}

TEST_F(tiff, directories_in_a_circle_come_to_an_end) {
  file_bytes file = tiff_file({plain_picture(96, 72, green)});
  std::uint32_t first;
  std::memcpy(&first, file.data() + 4, 4);
  std::uint16_t entries;
  std::memcpy(&entries, file.data() + first, 2);
  std::memcpy(file.data() + first + 2 + 12 * std::size_t{entries}, &first, 4);  // the next one is itself
  EXPECT_EQ(published(file), "96x72 green");
}

TEST_F(tiff, a_file_that_is_made_to_keep_a_reader_busy_is_refused) {
  // Directories of thousands of entries each, every one of them a few bytes into the one before.
  constexpr std::uint32_t count = 2000, first = 8, distance = 12;
  file_bytes file = bytes_of(std::string_view("II*\0\x08\0\0\0", 8));
  file.resize(first + 2 + 12 * std::size_t{60'000} + std::size_t{count} * distance + 4, std::byte{0});
  for (std::uint32_t i = 0; i < count; ++i) {
    const std::uint16_t entries = 60'000;
    const std::uint32_t at = first + i * distance, next = at + distance;
    std::memcpy(file.data() + at, &entries, sizeof entries);
    std::memcpy(file.data() + at + 2 + 12 * std::size_t{entries}, &next, sizeof next);
  }
  EXPECT_EQ(published(file), "damaged or cut short: its directories have no end");
}

// --- what numbers mean ---

struct stored_as {
  const char* name;
  unsigned bits;
  unsigned format;
  std::function<void(file_bytes&, double)> write;
};

template <class Number>
std::function<void(file_bytes&, double)> from_to(double black, double white) {
  return [=](file_bytes& to, double v) {
    const double value = black + v * (white - black);
    put_number(to, static_cast<Number>(std::is_integral_v<Number> ? std::round(value) : value));
  };
}

template <class Number>
std::function<void(file_bytes&, double)> whole_range() {
  return from_to<Number>(static_cast<double>(std::numeric_limits<Number>::min()),
                         static_cast<double>(std::numeric_limits<Number>::max()));
}

const std::vector<stored_as> ways{
    {"8 bits", 8, 1, whole_range<std::uint8_t>()},
    {"16 bits", 16, 1, whole_range<std::uint16_t>()},
    {"32 bits", 32, 1, whole_range<std::uint32_t>()},
    {"8-bit values in 32 bits", 32, 1, from_to<std::uint32_t>(0, 255)},
    {"16-bit values in 32 bits", 32, 1, from_to<std::uint32_t>(0, 65535)},
    {"signed 8 bits", 8, 2, whole_range<std::int8_t>()},
    {"signed 8 bits, upper half", 8, 2, from_to<std::int8_t>(0, 127)},
    {"signed 16 bits", 16, 2, whole_range<std::int16_t>()},
    {"signed 16 bits, upper half", 16, 2, from_to<std::int16_t>(0, 32767)},
    {"8-bit values in signed 16 bits", 16, 2, from_to<std::int16_t>(0, 255)},
    {"signed 32 bits", 32, 2, whole_range<std::int32_t>()},
    {"signed 32 bits, upper half", 32, 2, from_to<std::int32_t>(0, 2147483647)},
    {"16-bit values in signed 32 bits", 32, 2, from_to<std::int32_t>(0, 65535)},
    {"floating-point 0 to 1", 32, 3, from_to<float>(0, 1)},
    {"floating-point 0 to 255", 32, 3, from_to<float>(0, 255)},
    {"floating-point 0 to 65535", 32, 3, from_to<float>(0, 65535)},
};

void expect_ramp(const file_bytes& file) {
  const auto made = make_renditions(file, {.quality = 100});
  const auto out = decoded(made.renditions[0]);
  for (const double at : {0.1, 0.3, 0.5, 0.7, 0.9}) {
    const color c = color_at(out, at, 0.5);
    for (const double channel : c) EXPECT_NEAR(channel, at * 255, 4) << "at " << at;
  }
}

TEST_F(tiff, the_same_picture_is_the_same_in_every_number_format) {
  for (const stored_as& way : ways)
    for (const int channels : {1, 3, 4}) {
      SCOPED_TRACE(std::string(way.name) + ", channels: " + std::to_string(channels));
      int channel = 0;
      auto d = ramp(256, 8, channels, way.bits, way.format, [&](file_bytes& to, double v) {
        const bool alpha = channels == 4 && channel++ % 4 == 3;
        way.write(to, alpha ? 1 : v);
      });
      if (channels == 4) d.tags[338] = {2};  // the fourth is opacity
      expect_ramp(tiff_file({d}));
      // The same with white as zero. A part of the 32-bit range has no such meaning: white would be its full range.
      if (channels == 1 && !(way.format == 1 && std::string(way.name).find("values") != std::string::npos)) {
        auto negative = ramp(256, 8, 1, way.bits, way.format, [&](file_bytes& to, double v) { way.write(to, 1 - v); });
        negative.tags[262] = {0};
        expect_ramp(tiff_file({negative}));
      }
    }
}

TEST_F(tiff, highlights_beyond_full_are_white_and_do_not_darken_the_rest) {
  auto d = ramp(256, 8, 3, 32, 3, from_to<float>(0, 4));
  const auto made = make_renditions(tiff_file({d}), {.quality = 100});
  EXPECT_NEAR(color_at(decoded(made.renditions[0]), 0.125, 0.5)[0], 0.5 * 255, 5);
  EXPECT_NEAR(color_at(decoded(made.renditions[0]), 0.75, 0.5)[0], 255, 2);
}

TEST_F(tiff, few_bits_are_spread_over_the_whole_range) {
  for (const unsigned bits : {1U, 2U, 4U})
    for (const bool white_is_zero : {false, true}) {
      SCOPED_TRACE(bits);
      const unsigned steps = 1U << bits, per_byte = 8 / bits;
      auto d = ramp(256, 8, 1, bits, 1, [](file_bytes&, double) {});
      for (int y = 0; y < 8; ++y)
        for (unsigned x = 0; x < 256; x += per_byte) {
          unsigned byte = 0;
          for (unsigned i = 0; i < per_byte; ++i) {
            const unsigned value = (x + i) * steps / 256;
            byte = byte << bits | (white_is_zero ? steps - 1 - value : value);
          }
          d.pixels.push_back(static_cast<std::byte>(byte));
        }
      if (white_is_zero) d.tags[262] = {0};
      const auto made = make_renditions(tiff_file({d}), {.quality = 100});
      const auto out = decoded(made.renditions[0]);
      EXPECT_NEAR(color_at(out, 0.02, 0.5)[0], 0, 4);
      EXPECT_NEAR(color_at(out, 0.98, 0.5)[0], 255, 4);
    }
}

TEST_F(tiff, numbers_that_no_decoder_reads_are_refused_by_name) {
  const auto reason = [](unsigned bits, unsigned format) {
    return published(tiff_file(
        {ramp(64, 8, 1, bits, format, [&](file_bytes& to, double) { to.insert(to.end(), bits / 8, std::byte{0}); })}));
  };
  EXPECT_EQ(reason(16, 3), "TIFF files with 16-bit floating-point numbers are not supported: convert it to 16 bits");
  EXPECT_EQ(reason(64, 3), "TIFF files with 64-bit floating-point numbers are not supported: convert it to 16 bits");
  EXPECT_EQ(reason(24, 1), "TIFF files with 24-bit numbers are not supported: convert it to 16 bits");
}

}  // namespace
}  // namespace penstock::photos
