// choose_tiff_picture: which of the pictures in a TIFF file is the photo, and what its numbers mean.
//
//   tiff_picture photo = choose_tiff_picture(reader);     // throws not_a_photo for a camera's RAW file
//   load(page: photo.page, subifd: photo.subifd);
//
// A TIFF file holds any number of pictures: a chain of directories, each with directories below it (SubIFDs), anywhere
// in the file. A camera's RAW file is a TIFF file that usually begins with a thumbnail; the photo is a mosaic of sensor
// values further on. A decoder that takes the first picture publishes a stamp of 160 pixels. So every directory is read
// before a picture is chosen:
//
//   - one mark of a RAW file (colour filter array, LinearRaw, DNG version, a maker's compression) anywhere: RAW
//   - no picture but those marked "reduced from another picture in this file": RAW, of a kind that hides the photo
//   - otherwise the first picture that has at least half as many pixels as the largest. Half, because the pages of a
//     document differ a little in size and its first page is wanted, and a thumbnail has a quarter at most.
//
// THREADS  Any.
// MEMORY   One directory at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>

#include "apps/photos/image_kind.hpp"

namespace penstock::photos {

// Reads bytes that begin at `offset`; returns how many there were, fewer only at the end of the file.
using random_reader = std::function<std::size_t(std::uint64_t offset, std::span<std::byte> into)>;
[[nodiscard]] random_reader reader_of(std::span<const std::byte> bytes);
[[nodiscard]] random_reader reader_of(int file);  // throws std::system_error when a read fails

enum class number_format { unsigned_integer, signed_integer, floating };

struct tiff_picture {
  int page = 0;         // in the chain of directories
  int subifd = -1;      // below that page; -1: the page itself
  int orientation = 1;  // 1 to 8
  unsigned bits = 1;    // of one number
  number_format format = number_format::unsigned_integer;
  bool plain = true;           // grey, RGB or CMYK: a larger number is more of it, from none to full
  bool white_is_zero = false;  // grey in which it is less
};

// Throws not_a_photo (a camera's RAW file) and bad_photo (damaged, cut short, or a format that no decoder here reads).
[[nodiscard]] tiff_picture choose_tiff_picture(const random_reader& file);

}  // namespace penstock::photos
