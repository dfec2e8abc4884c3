// TIFF files for the tests, of any structure and number format: what no program here writes.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "tests/photos/photo_files.hpp"

namespace penstock::photos::test_files {

enum class tiff_flavor { little_endian, big_endian, big_tiff };

// A directory: its tags with their whole numbers, its pixels (one strip), and the directories below it (SubIFDs).
struct tiff_directory {
  std::map<std::uint16_t, std::vector<std::uint32_t>> tags = {};
  file_bytes pixels = {};
  std::vector<tiff_directory> below = {};
};

// `chain` one after the other. The directories stand at the end of the file, behind all pixels.
[[nodiscard]] file_bytes tiff_file(const std::vector<tiff_directory>& chain,
                                   tiff_flavor flavor = tiff_flavor::little_endian);

// A number of a TIFF file as its bytes, little-endian.
template <class Number>
void put_number(file_bytes& out, Number value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

// A grey or RGB picture whose brightness rises from 0 on the left to 1 on the right.
// `write` puts one number for a brightness. format: 1 unsigned, 2 signed, 3 floating-point.
[[nodiscard]] tiff_directory ramp(int width, int height, int channels, unsigned bits, unsigned format,
                                  const std::function<void(file_bytes&, double)>& write);

// A picture of 8-bit RGB in one colour.
[[nodiscard]] tiff_directory plain_picture(int width, int height, std::array<std::uint8_t, 3> c);

}  // namespace penstock::photos::test_files
